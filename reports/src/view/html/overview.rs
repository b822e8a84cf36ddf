//! A row per engine with what decides: place, audit, throughput, latency, CPU, and how long a yes
//! takes to become a row. On a narrow screen each row becomes a card; roles are written out, because
//! with its layout a table loses those of its own.

mod cells;
mod columns;

use super::{Part, choice};
use crate::result::{Run, Standing, metric};
use crate::stats;
use crate::view::subjects::{Audit, Row};
use crate::view::text::clean;
use columns::Columns;
use maud::{Markup, html};
use std::collections::BTreeMap;

pub(super) fn section(run: &Run, part: &Part<'_>) -> Markup {
    let columns = Columns::of(run, part);
    let has_places = !part.ranking.places.is_empty();
    let reasons = reasons(run, part);
    html! {
        figure.overview {
            div.scroll-not {
                table.overview role="table" {
                    (columns.head(has_places))
                    tbody role="rowgroup" {
                        @for row in &part.rows { (line(row, part, &columns, has_places, &reasons)) }
                    }
                }
            }
            figcaption { (columns.caption()) }
            (columns.legend())
        }
    }
}

/// Why subjects are not ranked, by their ids.
fn reasons(run: &Run, part: &Part<'_>) -> BTreeMap<String, String> {
    if part.rows.iter().all(|row| row.competes) {
        return BTreeMap::new();
    }
    let metric = metric(part.ranking.goal.metric()).expect("a metric of the registry");
    let compared = stats::ranking(run, &part.scenario.name, metric);
    let not_ranked = compared.not_ranked.into_iter();
    not_ranked
        .map(|not_ranked| (not_ranked.subject, not_ranked.why))
        .collect()
}

fn line(
    row: &Row<'_>,
    part: &Part<'_>,
    columns: &Columns,
    has_places: bool,
    reasons: &BTreeMap<String, String>,
) -> Markup {
    let why_not_ranked = reasons.get(&row.subject.id).map(String::as_str);
    let class = match row.subject.standing {
        Standing::Ranked if row.competes => "ranked",
        Standing::Unsafe => "unsafe",
        Standing::Ceiling => "ceiling",
        _ => "out",
    };
    html! {
        tr class=(class) role="row" {
            @if has_places {
                td.place role="cell" {
                    @match part.ranking.place(&row.subject.id) {
                        Some(place) => span { (place) },
                        None => span.faint { "–" },
                    }
                }
            }
            th.engine scope="row" role="rowheader" {
                span.name { (clean(&row.subject.id)) }
                " " (audit(row))
                p.when { (choice::when(row, &part.rows, &part.ranking, why_not_ranked)) }
            }
            td.cell role="cell" { (columns.throughput_cell(row)) }
            td.cell role="cell" { (columns.latency_cell(row)) }
            @if columns.has_cpu() { td.cell role="cell" { (columns.cpu_cell(row)) } }
            @if columns.has_durable() { td.cell.durable role="cell" { (columns.durable_cell(row)) } }
        }
    }
}

fn audit(row: &Row<'_>) -> Markup {
    let (class, text) = match row.audit() {
        Audit::Passed => ("good", "audit passed"),
        Audit::Failed => ("bad", "audit FAILED"),
        Audit::Caught => ("good", "unsafe, caught by the audit"),
        Audit::NotCaught => ("bad", "unsafe, NOT CAUGHT"),
        Audit::NotApplicable => ("none", "no audit"),
        Audit::NotReached if row.is_complete() => ("warn", "not audited"),
        Audit::NotReached => ("warn", "cut short"),
    };
    html! { span class={ "badge " (class) } { (text) } }
}
