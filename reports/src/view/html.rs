//! A run as one page for a browser: the answer first, a row per engine, then charts, and everything
//! else folded away. The page is complete without its script, loads nothing, and is as good on
//! paper and on a dark screen.

mod page;
mod plot;

mod blocks;
mod capacity;
mod choice;
mod folds;
mod gate;
mod headline;
mod latency;
mod matrix;
mod notes;
mod over_time;
mod overview;
mod processes;

use super::notes::{facts, warnings};
use super::ranking::{Ranking, ranked};
use super::subjects::Row;
use super::text::clean;
use crate::result::{Run, Scenario};
use maud::{Markup, html};

/// One scenario of a run with what was measured in it.
struct Part<'a> {
    scenario: &'a Scenario,
    rows: Vec<Row<'a>>,
    ranking: Ranking,
}

/// The whole page. Everything that comes from outside is escaped.
pub fn page(run: &Run) -> String {
    let parts: Vec<Part<'_>> = run
        .scenarios
        .iter()
        .map(|scenario| {
            let (rows, ranking) = ranked(run, scenario);
            Part {
                scenario,
                rows,
                ranking,
            }
        })
        .collect();
    let body = html! {
        (headline::headline(run, &parts))
        main {
            @if let Some(gate) = super::gate::of(run) { (gate::section(run, gate)) }
            @if parts.len() > 1 { (matrix::section(run, &parts)) }
            (capacity::section(run))
            @for part in &parts { (scenario(run, part, &parts)) }
            (folds::section(run, &parts))
        }
    };
    page::document(&title(run), &body)
}

fn title(run: &Run) -> String {
    match run.scenarios.as_slice() {
        [only] => format!("{}: {}", clean(&only.name), clean(&only.title)),
        several => format!("{}: {} scenarios", run.kind, several.len()),
    }
}

/// What one scenario measured. Probes of a search are legs at rates of their own, and have no
/// figures in common.
fn scenario(run: &Run, part: &Part<'_>, all: &[Part<'_>]) -> Markup {
    let engines = all.iter().map(|part| part.rows.len()).sum();
    let is_searched = !run.searches.is_empty();
    if part.rows.is_empty() {
        return html! {};
    }
    let alike: &[Row<'_>] = if is_searched { &[] } else { &part.rows };
    let charts = html! {
        (latency::section(&part.rows))
        (over_time::section(&part.rows, engines))
    };
    html! {
        section.scenario {
            @if all.len() > 1 {
                h2 { (clean(&part.scenario.name)) ": " (clean(&part.scenario.title)) }
                p.lead { (clean(&part.scenario.question)) }
            }
            @if !is_searched { (overview::section(run, part)) }
            (notes::warnings(&warnings(run, alike)))
            (notes::facts(&facts(run, alike)))
        }
        @if !is_searched { (charts) }
    }
}
