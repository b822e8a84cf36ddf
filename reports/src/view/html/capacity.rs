//! What searches found: between which two rates the objective breaks, and how far that is from
//! saturation.

use super::blocks;
use super::plot::{Axis, short, strip_axis, strip_grid};
use crate::result::{Run, Search};
use crate::view::numbers::{or_nothing, significant};
use crate::view::table;
use crate::view::text::clean;
use maud::{Markup, html};

pub(super) fn section(run: &Run) -> Markup {
    if run.searches.is_empty() {
        return html! {};
    }
    let mut searches: Vec<&Search> = run.searches.iter().collect();
    let held = |search: &Search| search.holds_per_s.unwrap_or(0.0);
    searches.sort_by(|a, b| held(b).total_cmp(&held(a)));
    let rates = searches.iter().flat_map(|search| {
        let probes = search.probes.iter().map(|probe| probe.rate_per_s);
        probes.chain(search.saturated_per_s)
    });
    let axis = Axis::from_zero(rates.fold(0.0, f64::max));
    html! {
        section {
            h2 { "Highest rate that holds" }
            figure.capacity {
                @for search in &searches { (strip(search, &axis)) }
                div.row { div {} (strip_axis(&axis, |rate| format!("{}/s", short(rate)), &[])) }
                figcaption {
                    "Bar: between the rate that holds and the one that fails; circles: rates tried, filled where the \
                     objective was met; diamond: throughput of a saturating closed loop in the same minutes."
                }
            }
            (blocks::table("Searches", &table::searches(run)))
        }
    }
}

fn strip(search: &Search, axis: &Axis) -> Markup {
    let about = format!(
        "{}: holds {}/s, fails {}/s, saturated {}/s",
        clean(&search.subject),
        or_nothing(search.holds_per_s, significant),
        or_nothing(search.fails_per_s, significant),
        or_nothing(search.saturated_per_s, significant)
    );
    html! {
        div.row {
            div.name {
                b { (clean(&search.subject)) }
                @match search.holds_per_s {
                    Some(holds) => div.figure { (significant(holds)) "/s holds" },
                    None => div.figure { "no rate that holds was found" },
                }
                @if let Some(why) = &search.ended_why { div.note { (clean(why)) } }
            }
            svg.chart.strip role="img" aria-label=(about) width="100%" height="44" {
                (strip_grid(axis, &[]))
                @if let Some((holds, fails)) = search.holds_per_s.zip(search.fails_per_s) {
                    rect.bracket x=(axis.x(holds)) width=(axis.width(holds, fails)) y="10" height="24" {
                        title { (about) }
                    }
                }
                @if let Some(holds) = search.holds_per_s {
                    line.edge x1=(axis.x(holds)) x2=(axis.x(holds)) y1="8" y2="36" {}
                }
                @for probe in &search.probes {
                    circle class=(if probe.met { "met" } else { "missed" })
                        cx=(axis.x(probe.rate_per_s)) cy=(if probe.met { "27" } else { "17" }) r="3.5" {
                        title {
                            (significant(probe.rate_per_s)) "/s: "
                            (if probe.met { "met".to_owned() } else { clean(&probe.why) })
                        }
                    }
                }
                @if let Some(saturated) = search.saturated_per_s {
                    text.diamond x=(axis.x(saturated)) y="22" dy="0.35em" text-anchor="middle" {
                        "◆" title { "saturated: " (significant(saturated)) "/s" }
                    }
                }
            }
        }
    }
}
