//! Every metric of every subject, and the distributions by clock and outcome.

use crate::result::{Good, Latencies, LatencyClock, METRICS, OutcomeName, Phase};
use crate::view::grid::{Cell, Grid, left, right};
use crate::view::numbers::{NOTHING, counted, grouped, ms, ns, of_metric, or_nothing, significant};
use crate::view::page::Block;
use crate::view::phrases;
use crate::view::ranking::Ranking;
use crate::view::subjects::Row;
use crate::view::text::{Tone, clean};
use std::collections::BTreeMap;

const QUANTILES: [(&str, f64); 4] = [("P50", 0.5), ("P90", 0.9), ("P99", 0.99), ("P99.9", 0.999)];

/// All metrics that somebody has, medians over the rounds.
pub(super) fn metrics(rows: &[Row<'_>], ranking: &Ranking) -> Vec<Block> {
    let mut blocks = vec![Block::Heading("Figures".to_owned())];
    let rounds = rows.iter().map(|row| row.counted.len()).max().unwrap_or(0);
    let mut said = match rounds {
        0 | 1 => String::new(),
        rounds => format!("Medians of {}. ", counted(rounds as u64, "round")),
    };
    said.push_str(&ranking.remark);
    if !said.trim().is_empty() {
        blocks.push(Block::Text(Tone::Faint, said.trim().to_owned()));
    }
    let mut columns = vec![left("metric"), left("")];
    columns.extend(rows.iter().map(|row| right(&clean(&row.subject.id))));
    let mut grid = Grid::new(columns).repeating(2);
    for metric in METRICS {
        let values: Vec<Option<f64>> = rows.iter().map(|row| row.value(metric.id)).collect();
        if values.iter().all(Option::is_none) {
            continue;
        }
        let better = match metric.good() {
            Good::Up => "↑",
            Good::Down => "↓",
            Good::Neutral | Good::Other(_) => "",
        };
        let mut cells: Vec<Cell> = vec![metric.title.into(), Cell::of(Tone::Faint, better)];
        let shown = |value: &Option<f64>| or_nothing(*value, |value| of_metric(metric, value));
        cells.extend(values.iter().map(|value| Cell::from(shown(value))));
        grid.push(cells);
    }
    blocks.push(Block::Table(grid));
    blocks
}

/// By clock and outcome, over all rounds that count.
pub(super) fn latencies(rows: &[Row<'_>]) -> Vec<Block> {
    let mut blocks = vec![Block::Heading("Latency".to_owned())];
    let mut columns = vec![left("engine, clock, outcome"), right("count")];
    columns.extend(QUANTILES.iter().map(|(name, _)| right(name)));
    columns.push(right("longest"));
    let mut grid = Grid::new(columns);
    let mut clocks = Vec::new();
    for row in rows {
        let phases: Vec<&Phase> = row
            .counted
            .iter()
            .filter_map(|leg| leg.measured())
            .collect();
        let mut name = Some(clean(&row.subject.id));
        for clock in LatencyClock::KNOWN {
            for outcome in OutcomeName::KNOWN {
                let Some(merged) = merged(&phases, clock, outcome) else {
                    continue;
                };
                if let Some(name) = name.take() {
                    grid.push_heading(&name);
                }
                let mut cells: Vec<Cell> = vec![
                    format!("  {clock}, {outcome}").into(),
                    grouped(merged.count()).into(),
                ];
                let quantiles = QUANTILES.iter().map(|(_, q)| merged.quantile_ns(*q));
                cells.extend(quantiles.map(|value| Cell::from(or_nothing(value, ns))));
                cells.push(ns(merged.max_ns()).into());
                grid.push(cells);
                if !clocks.contains(&clock) {
                    clocks.push(clock);
                }
            }
        }
    }
    if grid.rows.is_empty() {
        return Vec::new();
    }
    let said: Vec<String> = clocks
        .iter()
        .map(|clock| format!("{clock}: {}", phrases::clock(clock)))
        .collect();
    blocks.push(Block::Table(grid));
    blocks.push(Block::Text(Tone::Faint, format!("{}.", said.join("; "))));
    blocks
}

fn merged(phases: &[&Phase], clock: &LatencyClock, outcome: &OutcomeName) -> Option<Latencies> {
    let mut merged = Latencies::new();
    for phase in phases {
        merged.merge(&phase.latencies(clock, Some(outcome)));
    }
    (!merged.is_empty()).then_some(merged)
}

/// What clients were answered, where it was not OK throughout.
pub(super) fn statuses(rows: &[Row<'_>]) -> Vec<Block> {
    let mut facts = Vec::new();
    for row in rows {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for phase in row.counted.iter().filter_map(|leg| leg.measured()) {
            for (status, count) in phase.statuses.iter().chain(&phase.dropped) {
                *sums.entry(status).or_default() += count;
            }
        }
        let said: Vec<String> = sums
            .iter()
            .map(|(status, count)| format!("{}\u{a0}{}", clean(status), grouped(*count)))
            .collect();
        if !said.is_empty() {
            facts.push((clean(&row.subject.id), Cell::from(said.join(", "))));
        }
    }
    match facts.is_empty() {
        true => Vec::new(),
        false => vec![Block::Heading("Statuses".to_owned()), Block::Facts(facts)],
    }
}

/// From "accepted" at the driver to a committed row.
pub(super) fn durable(rows: &[Row<'_>]) -> Vec<Block> {
    let mut columns = vec![left("engine"), right("samples")];
    columns.extend([
        right("P50"),
        right("P90").expendable(1),
        right("P99"),
        right("P99.9").expendable(2),
        right("longest"),
        right("without\na row"),
        right("not\nfollowed"),
        right("resolution\nP50/P99"),
    ]);
    let mut grid = Grid::new(columns);
    for row in rows {
        let Some(durable) = row.leg().and_then(|leg| leg.durable.as_ref()) else {
            continue;
        };
        let read = durable.hist.read().unwrap_or_default();
        let mut cells: Vec<Cell> = vec![
            clean(&row.subject.id).into(),
            grouped(durable.samples).into(),
        ];
        let quantiles = QUANTILES.iter().map(|(_, q)| read.quantile_ns(*q));
        cells.extend(quantiles.map(|value| Cell::from(or_nothing(value, ns))));
        let longest = match durable.overflow {
            0 => ns(read.max_ns()),
            overflow => format!("{} too long", grouped(overflow)),
        };
        let missing_tone = if durable.missing > 0 {
            Tone::Bad
        } else {
            Tone::Plain
        };
        cells.extend([
            longest.into(),
            Cell::of(missing_tone, grouped(durable.missing)),
            grouped(durable.left_out).into(),
            format!(
                "{}/{}",
                significant(durable.poll_gap_p50_ns as f64 / 1e6),
                ns(durable.poll_gap_p99_ns)
            )
            .into(),
        ]);
        grid.push(cells);
    }
    if grid.rows.is_empty() {
        return Vec::new();
    }
    vec![
        Block::Heading("From yes to a committed row".to_owned()),
        Block::Table(grid),
        Block::Text(
            Tone::Faint,
            "As a reader of its own sees it; a value may be too large by the resolution."
                .to_owned(),
        ),
    ]
}

/// A drain in words.
pub(super) fn drain(drain_ns: Option<u64>) -> String {
    drain_ns.map_or_else(|| NOTHING.to_owned(), |drain_ns| ms(drain_ns as f64 / 1e6))
}
