//! Engines by scenarios: throughput with its extremes, cost beside speed. The best is marked only
//! where it is separated from all others.

use super::Part;
use crate::result::{Run, Subject};
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
                    "Medians with the extremes of all rounds, and CPU per finished request. The bar is the share of \
                     the column's best. ★ marks who is better than everybody else beyond chance; nobody is marked \
                     where that cannot be told."
                }
            }
        }
    }
}

fn of<'a, 'b>(part: &'a Part<'b>, subject: &Subject) -> Option<&'a Row<'b>> {
    part.rows.iter().find(|row| row.subject.id == subject.id)
}

fn aim(part: &Part<'_>) -> &'static str {
    match part.ranking.goal {
        Goal::Throughput => "finished/s, more is better",
        Goal::Latency => "P99, less is better",
    }
}

fn cell(part: &Part<'_>, subject: &Subject) -> Markup {
    let Some(row) = of(part, subject) else {
        return html! { td.faint { "–" } };
    };
    let (id, show): (&str, fn(f64) -> String) = match part.ranking.goal {
        Goal::Throughput => ("throughput_per_s", significant),
        Goal::Latency => ("p99_ms", ms),
    };
    let value = row.value(id);
    let is_best =
        part.ranking.places.get(&subject.id) == Some(&(1, 1)) && part.ranking.places.len() > 1;
    let competing = part.rows.iter().filter(|row| row.competes);
    let values = competing.filter_map(|row| row.value(id));
    let best = match part.ranking.goal {
        Goal::Throughput => values.reduce(f64::max),
        Goal::Latency => values.reduce(f64::min),
    };
    let share = value
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
        td.best[is_best] {
            @if is_best { span title="better than everybody else, beyond chance" { "★ " } }
            b { (or_nothing(value, show)) }
            @if let Some((least, greatest)) = row.range(id) {
                div.faint { (show(least)) "–" (show(greatest)) }
            }
            @if row.competes {
                div.bar title={ (percent(share)) " of the best" } { div style={ "width:" (super::plot::percent(share.min(1.0))) } {} }
            }
            @if let Some(cpu) = row.value("cpu_us_per_request") { div.faint { (significant(cpu)) " µs CPU" } }
            @if let Some(failed) = failed { div.bad { (failed) } }
        }
    }
}
