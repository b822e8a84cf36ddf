//! What a report says about a run, and in which order: first what must not be missed; then the
//! engines by speed, if there are several; the reference table; one column per engine with all
//! other figures; CPU and memory per process; what failed; and what the run ran on.

mod notes;
mod processes;
mod ranking;
mod tables;

use super::document::Block;
use super::rounds::{EngineRow, engine_rows};
use crate::model::{AckMode, RunResult};

pub(super) fn report(run: &RunResult) -> Vec<Block> {
    let rows = engine_rows(run);
    let mut blocks = vec![
        Block::Title(format!("{}: {}", run.scenario.name, run.scenario.title)),
        Block::Paragraph(run.scenario.question.clone()),
    ];
    blocks.extend(notes::warnings(run, &rows).into_iter().map(Block::Warning));
    blocks.extend(notes::skipped(run));
    blocks.extend(ranking::blocks(run, &rows));
    blocks.push(Block::Heading("Throughput and latency".to_owned()));
    blocks.push(Block::Table(tables::reference(run, &rows)));
    blocks.extend(notes::reference_notes(run));
    if !rows.is_empty() {
        blocks.push(Block::Heading("Outcomes, durability, audit".to_owned()));
        blocks.push(Block::Table(tables::details(run, &rows)));
        blocks.extend(notes::reader_note(&rows));
    }
    blocks.extend(processes::blocks(&rows));
    blocks.extend(notes::failures(run));
    blocks.push(Block::Heading("What it ran on".to_owned()));
    blocks.push(Block::List(notes::provenance(run)));
    blocks
}

/// `lua-single-key, ack=published (median of 3 rounds)`: whatever changes the meaning of a row is
/// part of its name.
fn label(run: &RunResult, row: &EngineRow<'_>) -> String {
    let mut label = row.leg.engine.clone();
    if run.ack == AckMode::Published {
        label.push_str(", ack=published");
    }
    if row.is_null() {
        label.push_str(", not ranked");
    }
    if !row.leg.complete {
        label.push_str(", incomplete");
    }
    if row.of_rounds > 1 {
        label.push_str(&format!(" (median of {} rounds)", row.of_rounds));
    }
    label
}
