//! Everything that the first screen has no room for, in sections that fold to the width.

mod after_yes;
mod audits;
mod figures;
mod legs;
mod machine;
mod processes;
pub(super) mod timeline;

use super::Screen;
use super::gate;
use super::page::{Block, drawn};
use super::ranking::ranked;
use super::text::{Tone, clean, joined};
use crate::result::Run;

/// All that the run measured and what it ran on, for a screen of this width.
pub fn details(run: &Run, screen: Screen) -> String {
    joined(&drawn(&blocks(run), screen.columns()), screen.colour)
}

pub(super) fn blocks(run: &Run) -> Vec<Block> {
    let mut blocks = Vec::new();
    if let Some(gate) = gate::of(run) {
        blocks.extend(gate::evidence(run, gate));
    }
    for scenario in &run.scenarios {
        let (rows, ranking) = ranked(run, scenario);
        if run.scenarios.len() > 1 {
            let name = format!("{}: {}", clean(&scenario.name), clean(&scenario.title));
            blocks.push(Block::Heading(name));
            blocks.push(Block::Text(Tone::Faint, clean(&scenario.question)));
        }
        if !rows.is_empty() {
            blocks.extend(figures::metrics(&rows, &ranking));
            blocks.extend(figures::latencies(&rows));
            blocks.extend(after_yes::blocks(&rows));
            blocks.extend(figures::statuses(&rows));
            blocks.extend(figures::durable(&rows));
            blocks.extend(processes::blocks(&rows));
            blocks.extend(timeline::blocks(&rows));
        }
        blocks.extend(legs::blocks(run, scenario, &rows));
        blocks.extend(audits::blocks(run, scenario));
        blocks.extend(machine::load(scenario));
    }
    blocks.extend(machine::provenance(run));
    blocks
}
