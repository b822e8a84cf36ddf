//! The sentences around the tables: what weakens the figures, what failed, and where they come
//! from.

use super::super::document::Block;
use super::super::format::grouped;
use super::super::rounds::EngineRow;
use crate::model::{AckMode, Leg, RunResult};

pub(super) fn warnings(run: &RunResult, rows: &[EngineRow<'_>]) -> Vec<String> {
    let mut warnings = Vec::new();
    if !run.complete {
        warnings.push(
            "INCOMPLETE: this run was interrupted or gave up; its figures are what was seen until then.".to_owned(),
        );
    }
    if let Some(error) = &run.error {
        warnings.push(format!("the run failed: {error}"));
    }
    if run.ack == AckMode::Published {
        warnings.push(
            "ack mode PUBLISHED: buyers were told yes before the broker confirmed; not comparable with confirmed runs."
                .to_owned(),
        );
    }
    if run.tool.profile != "release" {
        warnings.push(format!(
            "{} BUILD: these figures say nothing about speed.",
            run.tool.profile.to_uppercase()
        ));
    }
    if !run.stack.overrides.is_empty() {
        let settings: Vec<String> = run
            .stack
            .overrides
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        warnings.push(format!(
            "role settings changed by hand: {}.",
            settings.join(", ")
        ));
    }
    if run.stack.is_embedded() {
        warnings.push(
            "EMBEDDED stack: every role in one process on one SQLite file. Its figures compare with one another only; \
             rows and bounds on speed that were set for servers are those of another stack."
                .to_owned(),
        );
    }
    if rows.iter().any(EngineRow::is_null) {
        warnings.push(
            "null sells nothing: not ranked, audit not applicable; it is the ceiling of the path around the engine."
                .to_owned(),
        );
    }
    warnings
}

pub(super) fn skipped(run: &RunResult) -> Option<Block> {
    let list: Vec<String> = run
        .stack
        .skipped
        .iter()
        .map(|it| format!("{} ({})", it.engine, it.why))
        .collect();
    (!list.is_empty())
        .then(|| Block::Paragraph(format!("Skipped on this stack: {}.", list.join(", "))))
}

pub(super) fn reference_notes(run: &RunResult) -> Option<Block> {
    let notes: Vec<String> = run
        .scenario
        .reference
        .iter()
        .map(|row| {
            let note = row
                .note
                .as_ref()
                .map_or_else(String::new, |note| format!("; {note}"));
            format!("{}: {}{note}", row.label, row.source)
        })
        .collect();
    (!notes.is_empty()).then_some(Block::List(notes))
}

/// The resolution of the reader of durable rows, because a figure below it means nothing.
pub(super) fn reader_note(rows: &[EngineRow<'_>]) -> Option<Block> {
    let measured: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let durable = row.leg.durable_latency.as_ref()?;
            let missing = match durable.missing {
                0 => String::new(),
                missing => format!(", {} of them never seen", grouped(missing)),
            };
            Some(format!(
                "{}: {} samples{missing}, resolution {} ms",
                row.leg.engine,
                grouped(durable.samples),
                durable.resolution_us as f64 / 1000.0
            ))
        })
        .collect();
    (!measured.is_empty()).then(|| {
        Block::Paragraph(format!(
            "Accept to durable row: from the reply at the driver to a row that an independent reader sees ({}).",
            measured.join("; ")
        ))
    })
}

pub(super) fn failures(run: &RunResult) -> Vec<Block> {
    let mut lines = Vec::new();
    for leg in &run.legs {
        let name = format!("{} round {}", leg.engine, leg.round);
        lines.extend(leg.error.as_ref().map(|error| format!("{name}: {error}")));
        lines.extend(other_statuses(leg).map(|line| format!("{name}: {line}")));
        lines.extend(
            leg.audit
                .iter()
                .flat_map(|report| report.failed_checks())
                .map(|check| {
                    format!(
                        "{name}: audit ({}) {}: expected {}, found {}",
                        check.invariant, check.name, check.expected, check.actual
                    )
                }),
        );
    }
    lines.extend(
        run.expectations
            .iter()
            .filter(|expectation| !expectation.met)
            .map(|expectation| {
                format!(
                    "{}: expected {}, was {}",
                    expectation.what, expectation.expected, expectation.actual
                )
            }),
    );
    if lines.is_empty() {
        return Vec::new();
    }
    vec![
        Block::Heading("What went wrong".to_owned()),
        Block::List(lines),
    ]
}

/// Statuses other than OK. A refusal is an answer (`OK, refused: sold out`) and not a failure.
fn other_statuses(leg: &Leg) -> Option<String> {
    let failed: Vec<String> = leg
        .statuses
        .iter()
        .filter(|(status, _)| !status.to_ascii_lowercase().starts_with("ok"))
        .map(|(status, count)| format!("{status} {}", grouped(*count)))
        .collect();
    (!failed.is_empty()).then(|| format!("replies other than OK: {}", failed.join(", ")))
}

pub(super) fn provenance(run: &RunResult) -> Vec<String> {
    let machine = &run.machine;
    let tool = &run.tool;
    let commit = match (tool.commit.as_str(), tool.dirty) {
        ("", _) => "commit unknown".to_owned(),
        (commit, true) => format!("commit {commit} with uncommitted changes"),
        (commit, false) => format!("commit {commit}"),
    };
    let load = &run.scenario.load;
    let mut lines = vec![
        format!(
            "run {} from {} to {}",
            run.id, run.started_at, run.finished_at
        ),
        format!("command: {}", run.command),
        format!("lab {} ({}), {commit}", tool.version, tool.profile),
        format!(
            "machine: {}, {} cores, {:.1} GiB, {}, kernel {}",
            machine.cpu,
            machine.cores,
            machine.memory_gib(),
            machine.os,
            machine.kernel
        ),
        format!("stack: {}", run.stack.why),
        format!(
            "load: {} users, quantity 1 to {}, seed {}, {} warm-up requests, ack {}",
            grouped(load.users),
            load.max_quantity,
            load.seed,
            grouped(load.warmup_requests),
            run.ack.as_str()
        ),
    ];
    let settings: Vec<String> = run
        .stack
        .settings
        .iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    if !settings.is_empty() {
        let of = if run.stack.is_embedded() {
            "settings"
        } else {
            "servers"
        };
        lines.push(format!("{of}: {}", settings.join("; ")));
    }
    lines
}
