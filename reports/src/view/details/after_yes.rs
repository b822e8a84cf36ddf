//! What became of orders after the yes: cancels, pays, and how soon buyers could buy again.

use crate::result::{Latencies, LatencyClock, Operation, Outcomes, Phase};
use crate::view::grid::{Cell, Grid, left, right};
use crate::view::numbers::{grouped, ns, or_nothing};
use crate::view::page::Block;
use crate::view::subjects::Row;
use crate::view::text::{Tone, clean};

/// Nothing where all requests were purchases.
pub(super) fn blocks(rows: &[Row<'_>]) -> Vec<Block> {
    let mut grid = Grid::new(vec![
        left("engine, request"),
        right("count"),
        right("done"),
        right("refused"),
        right("failed"),
        right("P50"),
        right("P99"),
        right("longest"),
    ]);
    for row in rows {
        let phases: Vec<&Phase> = row
            .counted
            .iter()
            .filter_map(|leg| leg.measured())
            .collect();
        let mut lines: Vec<Vec<Cell>> = Operation::KNOWN
            .iter()
            .filter(|operation| **operation != Operation::Buy)
            .filter_map(|operation| change(&phases, operation))
            .collect();
        lines.extend(again(&phases));
        if !lines.is_empty() {
            grid.push_heading(&clean(&row.subject.id));
            lines.into_iter().for_each(|line| grid.push(line));
        }
    }
    if grid.rows.is_empty() {
        return Vec::new();
    }
    vec![
        Block::Heading("After the yes".to_owned()),
        Block::Table(grid),
        Block::Text(
            Tone::Faint,
            "Cancel and pay: from when it was due. Buy again: from when a cancel that was done was due to \
             the yes to the next purchase; refused are tries that came too early."
                .to_owned(),
        ),
    ]
}

fn change(phases: &[&Phase], operation: &Operation) -> Option<Vec<Cell>> {
    let (mut counts, mut latencies) = (Outcomes::default(), Latencies::new());
    for phase in phases {
        if let Some(stats) = phase.operations.get(operation) {
            counts.add(&stats.counts);
        }
        let felt = phase.latencies_of(operation, &LatencyClock::Intended, None);
        latencies.merge(&felt);
    }
    let told = [counts.total(), counts.accepted, counts.refused];
    (counts.total() > 0).then(|| line(&operation.to_string(), told, counts.failed(), &latencies))
}

fn again(phases: &[&Phase]) -> Option<Vec<Cell>> {
    let (mut retries, mut gave_up, mut latencies) = (0, 0, Latencies::new());
    for again in phases.iter().filter_map(|phase| phase.buy_again.as_ref()) {
        retries += again.retries;
        gave_up += again.gave_up;
        if let Ok(read) = again.hist.read() {
            latencies.merge(&read);
        }
    }
    let bought = latencies.count();
    let told = [bought + gave_up, bought, retries];
    (bought + gave_up > 0).then(|| line("buy again", told, gave_up, &latencies))
}

fn line(name: &str, told: [u64; 3], failed: u64, latencies: &Latencies) -> Vec<Cell> {
    let longest = (!latencies.is_empty()).then(|| latencies.max_ns());
    let mut cells: Vec<Cell> = vec![format!("  {name}").into()];
    cells.extend(told.map(|count| Cell::from(grouped(count))));
    let tone = if failed > 0 { Tone::Warn } else { Tone::Plain };
    cells.push(Cell::of(tone, grouped(failed)));
    let figures = [
        latencies.quantile_ns(0.5),
        latencies.quantile_ns(0.99),
        longest,
    ];
    cells.extend(figures.map(|value| Cell::from(or_nothing(value, ns))));
    cells
}
