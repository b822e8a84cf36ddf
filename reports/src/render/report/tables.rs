//! The reference table, which has the columns of the published one, and the table with all other
//! figures.

use super::super::document::{Table, left, right};
use super::super::format::{NOTHING, duration_s, grouped, milliseconds, or_nothing, percent, rate};
use super::super::rounds::{EngineRow, Ratio};
use super::label;
use crate::model::{AuditVerdict, Leg, RunResult};

/// Reference rows of the scenario first, then one row per engine.
pub(super) fn reference(run: &RunResult, rows: &[EngineRow<'_>]) -> Table {
    let columns = vec![
        left("scenario"),
        left("parameters"),
        right("total requests"),
        right("total time"),
        right("mean"),
        right("requests/s"),
        right("P99"),
        left("environment"),
    ];
    let elsewhere = if run.stack.is_embedded() {
        ", another stack"
    } else {
        ""
    };
    let published = run.scenario.reference.iter().map(|row| {
        vec![
            format!("{}, {}{elsewhere}", run.scenario.name, row.label),
            row.parameters.clone(),
            grouped(row.requests),
            duration_s(row.total_s),
            milliseconds(row.mean_ms * 1000.0),
            rate(row.requests_per_s),
            milliseconds(row.p99_ms * 1000.0),
            row.environment.clone(),
        ]
    });
    let measured = rows.iter().map(|row| {
        let leg = row.leg;
        let name = format!("{}, {}", run.scenario.name, label(run, row));
        let parameters = run.scenario.load.parameters();
        let environment = run.machine.environment();
        if leg.requests == 0 {
            let nothing = || NOTHING.to_owned();
            return vec![
                name,
                parameters,
                "0".to_owned(),
                nothing(),
                nothing(),
                nothing(),
                nothing(),
                environment,
            ];
        }
        vec![
            name,
            parameters,
            grouped(leg.requests),
            duration_s(leg.total_s),
            milliseconds(leg.latency.mean_us),
            rate(leg.requests_per_s),
            milliseconds(leg.latency.p99_us as f64),
            environment,
        ]
    });
    Table {
        columns,
        rows: published.chain(measured).collect(),
    }
}

type Show = fn(&EngineRow<'_>) -> String;

/// One column per engine, one row per figure: there are more figures than engines.
pub(super) fn details(run: &RunResult, rows: &[EngineRow<'_>]) -> Table {
    let figures: [(&str, Show); 20] = [
        ("P50", |row| latency(row.leg, row.leg.latency.p50_us)),
        ("P90", |row| latency(row.leg, row.leg.latency.p90_us)),
        ("P99.9", |row| latency(row.leg, row.leg.latency.p999_us)),
        ("slowest", |row| latency(row.leg, row.leg.latency.max_us)),
        ("accepted", |row| grouped(row.leg.counts.accepted)),
        ("refused", |row| grouped(row.leg.counts.refused)),
        ("duplicate", |row| grouped(row.leg.counts.duplicate)),
        ("error", |row| grouped(row.leg.counts.error)),
        ("unknown", |row| grouped(row.leg.counts.unknown)),
        ("accept to durable row, P50", |row| {
            durable(row.leg, |summary| summary.p50_us)
        }),
        ("accept to durable row, P99", |row| {
            durable(row.leg, |summary| summary.p99_us)
        }),
        ("accept to durable row, slowest", |row| {
            durable(row.leg, |summary| summary.max_us)
        }),
        ("rows committed at last reply", |row| {
            or_nothing(row.leg.committed_at_last_reply, percent)
        }),
        ("drain after last reply", |row| {
            or_nothing(row.leg.drain_s, duration_s)
        }),
        ("rows per second while draining", |row| {
            or_nothing(row.leg.drained_rows_per_s(), rate)
        }),
        ("system CPU per order, until last reply", |row| {
            cpu(row.leg.system_cpu_per_order.map(|cpu| cpu.until_reply_us))
        }),
        ("system CPU per order, until drained", |row| {
            cpu(row
                .leg
                .system_cpu_per_order
                .and_then(|cpu| cpu.until_drained_us))
        }),
        ("throughput against null", |row| {
            or_nothing(row.ratio_to_null, ratio)
        }),
        ("ranked", |row| {
            if row.is_ranked() { "yes" } else { "no" }.to_owned()
        }),
        ("audit", |row| audit(row.leg)),
    ];
    let mut columns = vec![left("")];
    columns.extend(rows.iter().map(|row| right(&label(run, row))));
    let mut lines: Vec<Vec<String>> = figures
        .iter()
        .map(|(name, show)| {
            std::iter::once((*name).to_owned())
                .chain(rows.iter().map(show))
                .collect()
        })
        .collect();
    let mut acknowledged = vec!["told yes after".to_owned()];
    acknowledged.extend(rows.iter().map(|_| run.ack.as_str().to_owned()));
    lines.push(acknowledged);
    Table {
        columns,
        rows: lines,
    }
}

pub(super) fn latency(leg: &Leg, us: u64) -> String {
    if leg.requests == 0 {
        NOTHING.to_owned()
    } else {
        milliseconds(us as f64)
    }
}

pub(super) fn durable(leg: &Leg, pick: fn(&crate::model::LatencySummary) -> u64) -> String {
    let measured = leg
        .durable_latency
        .as_ref()
        .filter(|durable| durable.samples > durable.missing);
    or_nothing(measured, |durable| {
        milliseconds(pick(&durable.summary) as f64)
    })
}

pub(super) fn cpu(us: Option<f64>) -> String {
    or_nothing(us, |us| format!("{us:.1} µs"))
}

pub(super) fn ratio(ratio: Ratio) -> String {
    match ratio.range {
        Some((low, high)) => format!("{:.2} ({low:.2} to {high:.2})", ratio.median),
        None => format!("{:.2}", ratio.median),
    }
}

pub(super) fn audit(leg: &Leg) -> String {
    match &leg.audit {
        None => "not reached".to_owned(),
        Some(report) if report.verdict == AuditVerdict::Failed => {
            format!(
                "FAILED ({} of {} checks)",
                report.failed_checks().count(),
                report.checks.len()
            )
        }
        Some(report) => report.verdict.shown().to_owned(),
    }
}
