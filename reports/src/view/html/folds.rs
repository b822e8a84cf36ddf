//! Everything else, folded away: every figure as a table, the audit's checks, what limited the legs,
//! what it ran on, and how to repeat it.

use super::{Part, blocks};
use crate::result::{Purpose, Run};
use crate::view::details;
use crate::view::page::Block;
use crate::view::phrases;
use crate::view::text::{clean, shell_command};
use maud::{Markup, html};

/// The chart of it is there already, with a table of its own.
const DRAWN: &str = "Timeline";
/// One fold for all engines.
const PROCESSES: &str = "CPU and memory";
const SURROUNDINGS: &str = "What it ran on";

struct Fold {
    title: String,
    blocks: Vec<Block>,
}

pub(super) fn section(run: &Run, parts: &[Part<'_>]) -> Markup {
    html! {
        section.folds {
            h2 { "Everything else" }
            @for part in parts {
                @let own = of_scenario(run, part);
                @let all = folds(details::blocks(&own));
                @if parts.len() > 1 { h3 { (clean(&part.scenario.name)) } }
                @for fold in all.iter().filter(|fold| fold.title != SURROUNDINGS) { (drawn(fold)) }
            }
            @for fold in folds(details::blocks(&without_scenarios(run))) { (drawn(&fold)) }
            (durability(run))
            (repeat(run))
        }
    }
}

/// The same run as if it had only this scenario.
fn of_scenario(run: &Run, part: &Part<'_>) -> Run {
    let mut own = without_scenarios(run);
    own.scenarios = vec![part.scenario.clone()];
    let legs = run.legs.iter();
    own.legs = legs
        .filter(|leg| leg.scenario == part.scenario.name)
        .cloned()
        .collect();
    own
}

fn without_scenarios(run: &Run) -> Run {
    Run {
        scenarios: Vec::new(),
        legs: Vec::new(),
        ..run.clone()
    }
}

/// Blocks by their headings.
fn folds(all: Vec<Block>) -> Vec<Fold> {
    let mut folds: Vec<Fold> = Vec::new();
    for block in all {
        let Block::Heading(heading) = &block else {
            if let Some(fold) = folds.last_mut() {
                fold.blocks.push(block);
            }
            continue;
        };
        let group = heading.split(':').next().unwrap_or_default();
        let is_process = group == PROCESSES;
        let title = if is_process { group } else { heading }.to_owned();
        match folds.last_mut() {
            Some(last) if is_process && last.title == PROCESSES => last.blocks.push(block),
            _ => folds.push(Fold {
                title,
                blocks: if is_process { vec![block] } else { Vec::new() },
            }),
        }
    }
    folds.retain(|fold| fold.title != DRAWN);
    folds
}

fn drawn(fold: &Fold) -> Markup {
    html! {
        details {
            summary { (fold.title) }
            (blocks::drawn(&fold.title, &fold.blocks))
        }
    }
}

fn durability(run: &Run) -> Markup {
    let kept = &run.durability;
    let survives = if kept.storage_survives {
        "outlives a power cut"
    } else {
        "is memory: nothing outlives a power cut"
    };
    html! {
        details {
            summary { "What “accepted” promises" }
            p { (phrases::durability(kept, &run.machine)) "." }
            dl.facts {
                div { dt { "yes" } dd { (clean(kept.ack.as_str())) } }
                div { dt { "queue" } dd { (clean(kept.queue.as_str())) } }
                @if let Some(aof) = &kept.redis_aof { div { dt { "Redis AOF" } dd { (clean(aof)) } } }
                @if let Some(flush) = &kept.db_flush { div { dt { "database flush" } dd { (clean(flush)) } } }
                div { dt { "storage" } dd { (survives) } }
            }
        }
    }
}

fn repeat(run: &Run) -> Markup {
    let lab = "lab".to_owned();
    let is_named = run.command.first() == Some(&lab);
    let command = shell_command((!is_named).then_some(&lab).into_iter().chain(&run.command));
    // What is no hash of a commit has no place in a command that is copied.
    let commit = run.lab.commit.as_str();
    let is_commit = !commit.is_empty() && commit.chars().all(|digit| digit.is_ascii_hexdigit());
    let measured = run
        .scenarios
        .iter()
        .flat_map(|scenario| &scenario.phases)
        .any(|plan| plan.purpose == Purpose::Measure);
    html! {
        details {
            summary { "How to repeat it" }
            pre.command {
                @if is_commit { "git checkout " (commit) "\n" }
                "cargo " (command) "\n"
            }
            @if run.lab.dirty { p.warn { "The tree had uncommitted changes." } }
            @if measured { p { "Seed " (run.seed) "; run " (clean(&run.id)) "." } }
        }
    }
}
