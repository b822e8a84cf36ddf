//! Several engines side by side: how fast each of them was in the same rounds, how that compares
//! with `null`, and the figures of each round. A run has one machine and one stack, so that nothing
//! else is ever compared here.

use super::super::document::{Block, Table, left, right};
use super::super::format::{NOTHING, milliseconds, or_nothing, rate};
use super::super::rounds::EngineRow;
use super::tables::{audit, cpu, durable, latency, ratio};
use crate::model::{AuditVerdict, Leg, RunResult};

pub(super) fn blocks(run: &RunResult, rows: &[EngineRow<'_>]) -> Vec<Block> {
    if rows.len() < 2 {
        return Vec::new();
    }
    let mut blocks = vec![
        Block::Heading("Engines, fastest first".to_owned()),
        Block::Table(places(rows)),
        Block::Paragraph(how_to_read(rows).to_owned()),
    ];
    if rows.iter().any(|row| row.of_rounds > 1) {
        blocks.push(Block::Heading("Every round: requests/s, P99".to_owned()));
        blocks.push(Block::Table(every_round(run, rows)));
    }
    blocks
}

fn places(rows: &[EngineRow<'_>]) -> Table {
    let columns = vec![
        right("place"),
        left("engine"),
        right("requests/s"),
        right("range over rounds"),
        right("against null"),
        right("P99"),
        right("accept to durable row, P99"),
        right("system CPU per order, until drained"),
        left("audit"),
    ];
    let mut sorted: Vec<&EngineRow<'_>> = rows.iter().collect();
    // The sort is stable: engines without a place stay in the order in which they ran.
    sorted.sort_by(|a, b| {
        let speed = |row: &EngineRow<'_>| {
            if row.is_ranked() {
                row.leg.requests_per_s
            } else {
                -1.0
            }
        };
        speed(b).total_cmp(&speed(a))
    });
    let lines = sorted.iter().map(|row| {
        let leg = row.leg;
        let place = if row.is_ranked() {
            place(row, rows)
        } else {
            NOTHING.to_owned()
        };
        let speed = if leg.requests == 0 {
            NOTHING.to_owned()
        } else {
            rate(leg.requests_per_s)
        };
        vec![
            place,
            name(row),
            speed,
            or_nothing(row.range, |(low, high)| {
                format!("{} to {}", rate(low), rate(high))
            }),
            or_nothing(row.ratio_to_null, ratio),
            latency(leg, leg.latency.p99_us),
            durable(leg, |summary| summary.p99_us),
            cpu(leg
                .system_cpu_per_order
                .and_then(|cpu| cpu.until_drained_us)),
            audit_of(row),
        ]
    });
    Table {
        columns,
        rows: lines.collect(),
    }
}

/// `2`, or `1–3` if the rounds do not tell the engines apart: an engine is ahead of another only if
/// its slowest round was faster than the fastest round of the other.
fn place(row: &EngineRow<'_>, rows: &[EngineRow<'_>]) -> String {
    let others = || {
        rows.iter()
            .filter(|other| other.is_ranked() && other.leg.engine != row.leg.engine)
    };
    let (low, high) = rounds_of(row);
    let best = 1 + others().filter(|other| rounds_of(other).0 > high).count();
    let worst = 1 + others().filter(|other| rounds_of(other).1 >= low).count();
    if best == worst {
        best.to_string()
    } else {
        format!("{best}–{worst}")
    }
}

/// Slowest and fastest round, in requests/s.
fn rounds_of(row: &EngineRow<'_>) -> (f64, f64) {
    row.range
        .unwrap_or((row.leg.requests_per_s, row.leg.requests_per_s))
}

/// As in the table of details, with the failed audits of rounds other than the one shown.
fn audit_of(row: &EngineRow<'_>) -> String {
    let elsewhere: Vec<String> = row
        .failed_audits
        .iter()
        .filter(|round| **round != row.leg.round)
        .map(u32::to_string)
        .collect();
    match elsewhere.as_slice() {
        [] => audit(row.leg),
        rounds => format!("{}, FAILED in round {}", audit(row.leg), rounds.join(", ")),
    }
}

fn name(row: &EngineRow<'_>) -> String {
    let mut name = row.leg.engine.clone();
    if row.is_null() {
        name.push_str(", not ranked");
    } else if !row.leg.complete {
        name.push_str(", incomplete");
    }
    name
}

fn how_to_read(rows: &[EngineRow<'_>]) -> &'static str {
    if rows.iter().any(|row| row.range.is_some()) {
        "Each engine by its round of median throughput; the rounds are interleaved. Engines whose ranges overlap share \
         places such as 1–2: this run does not tell them apart."
    } else {
        "One round each, so the order may be noise: --rounds 3 shows how much."
    }
}

/// One line per engine, one column per round.
fn every_round(run: &RunResult, rows: &[EngineRow<'_>]) -> Table {
    let last = run.legs.iter().map(|leg| leg.round).max().unwrap_or(0);
    let mut columns = vec![left("engine")];
    columns.extend((1..=last).map(|round| right(&format!("round {round}"))));
    let lines = rows.iter().map(|row| {
        let of_round = |round| {
            run.legs
                .iter()
                .find(|leg| leg.engine == row.leg.engine && leg.round == round)
        };
        let cells =
            (1..=last).map(|round| of_round(round).map_or_else(|| NOTHING.to_owned(), one_round));
        std::iter::once(row.leg.engine.clone())
            .chain(cells)
            .collect()
    });
    Table {
        columns,
        rows: lines.collect(),
    }
}

fn one_round(leg: &Leg) -> String {
    if leg.requests == 0 {
        return NOTHING.to_owned();
    }
    let failed = leg
        .audit
        .as_ref()
        .is_some_and(|report| report.verdict == AuditVerdict::Failed);
    let remark = match (leg.complete, failed) {
        (false, _) => ", incomplete",
        (true, true) => ", audit FAILED",
        (true, false) => "",
    };
    format!(
        "{}, {}{remark}",
        rate(leg.requests_per_s),
        milliseconds(leg.latency.p99_us as f64)
    )
}
