//! What each audit checked: failed checks with what was expected and found, passed ones once.

use crate::result::{AuditCheck, Leg, Run, Scenario};
use crate::view::grid::Cell;
use crate::view::numbers::counted;
use crate::view::page::Block;
use crate::view::phrases::leg_name;
use crate::view::text::{Tone, clean};

pub(super) fn blocks(run: &Run, scenario: &Scenario) -> Vec<Block> {
    let legs: Vec<&Leg> = run
        .legs
        .iter()
        .filter(|leg| leg.scenario == scenario.name)
        .collect();
    let mut facts: Vec<(String, Cell)> = Vec::new();
    for leg in legs.iter().filter(|leg| leg.audit.is_some()) {
        let (name, cell) = (leg_name(run, leg), summary(leg));
        match facts.iter_mut().find(|(_, known)| known.text == cell.text) {
            // Legs of which the same is to be said share a line.
            Some((names, _)) => names.push_str(&format!("; {name}")),
            None => facts.push((name, cell)),
        }
    }
    let mut facts: Vec<(String, Cell)> = facts
        .into_iter()
        .map(|(names, cell)| said_first(names, cell))
        .collect();
    for leg in &legs {
        let failed = leg.audit.iter().flat_map(|report| report.failed_checks());
        facts.extend(failed.map(|check| (leg_name(run, leg), failed_check(check))));
    }
    if facts.is_empty() {
        return Vec::new();
    }
    let mut blocks = vec![Block::Heading("Audit".to_owned()), Block::Facts(facts)];
    let passed = passed(&legs);
    if !passed.is_empty() {
        blocks.push(Block::Text(
            Tone::Faint,
            format!("Passed: {}.", passed.join("; ")),
        ));
    }
    blocks
}

/// The verdict as the label, for whom it is as the text.
fn said_first(names: String, verdict: Cell) -> (String, Cell) {
    (verdict.text, Cell::of(verdict.tone, names))
}

fn summary(leg: &Leg) -> Cell {
    let Some(report) = &leg.audit else {
        return "".into();
    };
    let failed = report.failed_checks().count();
    let tone = if failed > 0 { Tone::Bad } else { Tone::Good };
    let mut text = report.verdict.shown().to_owned();
    if !report.checks.is_empty() {
        let checks = counted(report.checks.len() as u64, "check");
        text.push_str(&match failed {
            0 => format!(" ({checks})"),
            failed => format!(" ({failed} of {checks})"),
        });
    }
    for blind in &report.blind_spots {
        text.push_str(&format!("; not seen: {}", clean(blind)));
    }
    Cell::of(tone, text)
}

fn failed_check(check: &AuditCheck) -> Cell {
    let text = format!(
        "({}) {}: expected {}, found {}",
        clean(&check.invariant),
        clean(&check.name),
        clean(&check.expected),
        clean(&check.actual)
    );
    Cell::of(Tone::Bad, text)
}

/// Names of the checks that no leg failed.
fn passed(legs: &[&Leg]) -> Vec<String> {
    let checks = || {
        legs.iter()
            .flat_map(|leg| &leg.audit)
            .flat_map(|report| &report.checks)
    };
    let mut names: Vec<String> = Vec::new();
    for check in checks() {
        let name = format!("({})\u{a0}{}", clean(&check.invariant), clean(&check.name));
        let has_failed = checks().any(|other| other.name == check.name && !other.passed);
        if !has_failed && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
