//! Engines by scenarios: what each does and what it costs beside it, in the same figures as the text.

use super::Part;
use crate::result::{Run, Subject};
use crate::view::matrix::{cost_name, figures, spread_name};
use crate::view::numbers::{ms, or_nothing, percent, significant};
use crate::view::ranking::Goal;
use crate::view::subjects::{Audit, Row};
use crate::view::text::clean;
use maud::{Markup, html};

pub(super) fn section(run: &Run, parts: &[Part<'_>]) -> Markup {
    let subjects: Vec<&Subject> = run
        .subjects
        .iter()
        .filter(|subject| parts.iter().any(|part| of(part, subject).is_some()))
        .collect();
    if subjects.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Engines and scenarios" }
            figure {
                div.scroll tabindex="0" role="region" aria-label="engines and scenarios" {
                    table.figures.matrix {
                        thead {
                            tr {
                                th scope="col" { "engine" }
                                @for part in parts {
                                    th scope="col" {
                                        (clean(&part.scenario.name))
                                        div.faint { (aim(part)) }
                                    }
                                }
                            }
                        }
                        tbody {
                            @for subject in subjects {
                                tr {
                                    th scope="row" { (clean(&subject.id)) }
                                    @for part in parts { (cell(part, subject)) }
                                }
                            }
                        }
                    }
                }
                figcaption {
                    (spreads(parts))
                    " The bar is the share of the column's best. ★ marks who is better than everybody else beyond \
                     chance; nobody is marked where that cannot be told."
                }
            }
        }
    }
}

fn of<'a, 'b>(part: &'a Part<'b>, subject: &Subject) -> Option<&'a Row<'b>> {
    part.rows.iter().find(|row| row.subject.id == subject.id)
}

/// What the figures are, as far as the scenarios were ranked.
fn spreads(parts: &[Part<'_>]) -> &'static str {
    let is_ranked = |part: &Part<'_>| part.ranking.margin.is_some();
    match (parts.iter().any(is_ranked), parts.iter().all(is_ranked)) {
        (_, true) => {
            "Means of those that were compared, with bounds: of two that do not overlap, one is better beyond chance. \
             Medians of the others."
        }
        (true, false) => {
            "Where there is a ±, means of those that were compared, with bounds: of two that do not overlap, one is \
             better beyond chance. Else medians, with the extremes of three or four rounds."
        }
        (false, _) => "Medians, with the extremes of three or four rounds.",
    }
}

fn aim(part: &Part<'_>) -> String {
    let (what, good) = match part.ranking.goal {
        Goal::Throughput => ("finished/s", "more is better"),
        Goal::Latency => ("P99", "less is better"),
    };
    let margin = part
        .ranking
        .margin
        .map(|margin| format!(" ±{}", percent(margin)));
    format!("{what}{}, {good}", margin.unwrap_or_default())
}

fn cell(part: &Part<'_>, subject: &Subject) -> Markup {
    let Some(row) = of(part, subject) else {
        return html! { td.faint { "–" } };
    };
    let show: fn(f64) -> String = match part.ranking.goal {
        Goal::Throughput => significant,
        Goal::Latency => ms,
    };
    let own = figures(row, &part.rows, &part.ranking);
    let competing = part.rows.iter().filter(|row| row.competes);
    let values = competing.filter_map(|row| figures(row, &part.rows, &part.ranking).value);
    let best = match part.ranking.goal {
        Goal::Throughput => values.reduce(f64::max),
        Goal::Latency => values.reduce(f64::min),
    };
    let share = own
        .value
        .zip(best)
        .map_or(0.0, |(own, best)| match part.ranking.goal {
            Goal::Throughput => own / best,
            Goal::Latency => best / own,
        });
    let failed = match row.audit() {
        Audit::Failed => Some("audit FAILED"),
        Audit::NotCaught => Some("unsafe, NOT CAUGHT"),
        Audit::NotReached => Some("not audited"),
        _ => None,
    };
    html! {
        td.best[own.is_best] {
            @if own.is_best { span title="better than everybody else, beyond chance" { "★ " } }
            b { (or_nothing(own.value, show)) }
            @if let Some(spread) = own.spread {
                div.faint title=(spread_name(&part.ranking)) { (show(spread.lower)) "–" (show(spread.upper)) }
            }
            @if row.competes {
                div.bar title={ (percent(share)) " of the best" } { div style={ "width:" (super::plot::percent(share.min(1.0))) } {} }
            }
            @if let Some(cpu_us) = own.cpu_us {
                div.faint { (significant(cpu_us)) " µs CPU per " (cost_name(&part.rows)) }
            }
            @if let Some(failed) = failed { div.bad { (failed) } }
        }
    }
}
