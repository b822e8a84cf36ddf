//! One audit by itself: every check with its verdict, and with what was expected and found where it
//! failed.

use super::Screen;
use super::grid::{Cell, Grid, left};
use super::page::{Block, drawn};
use super::text::{Tone, clean, joined};
use crate::result::{AuditReport, AuditVerdict};

/// The checks, with the verdict in the last line.
pub fn audit(report: &AuditReport, screen: Screen) -> String {
    let mut grid = Grid::new(vec![left("check"), left("verdict"), left("found")]);
    for check in &report.checks {
        let (verdict, tone) = match check.passed {
            true => ("ok", Tone::Plain),
            false => ("FAILED", Tone::Bad),
        };
        grid.push(vec![
            format!("({}) {}", clean(&check.invariant), clean(&check.name)).into(),
            Cell::of(tone, verdict),
            clean(&check.actual).into(),
        ]);
    }
    let mut blocks = Vec::new();
    if !grid.rows.is_empty() {
        blocks.push(Block::Table(grid));
    }
    let failed = report.failed_checks().map(|check| {
        let text = format!(
            "expected {}, found {}",
            clean(&check.expected),
            clean(&check.actual)
        );
        (clean(&check.name), Cell::of(Tone::Bad, text))
    });
    let failed: Vec<(String, Cell)> = failed.collect();
    if !failed.is_empty() {
        blocks.push(Block::Facts(failed));
    }
    for blind in &report.blind_spots {
        blocks.push(Block::Text(
            Tone::Plain,
            format!("Not seen: {}", clean(blind)),
        ));
    }
    blocks.push(Block::Text(tone_of(report), verdict(report)));
    joined(&drawn(&blocks, screen.columns()), screen.colour)
}

fn tone_of(report: &AuditReport) -> Tone {
    match report.verdict {
        AuditVerdict::Failed => Tone::Bad,
        AuditVerdict::Passed => Tone::Good,
        _ => Tone::Plain,
    }
}

fn verdict(report: &AuditReport) -> String {
    let verdict = report.verdict.shown();
    match &report.verdict {
        AuditVerdict::Passed => format!("audit {verdict}: {} checks", report.checks.len()),
        AuditVerdict::Failed => {
            let names: Vec<&str> = report
                .failed_checks()
                .map(|check| check.name.as_str())
                .collect();
            format!("audit {verdict}: {}", names.join("; "))
        }
        AuditVerdict::NotApplicable => format!("audit {verdict}: this engine makes no orders"),
        AuditVerdict::Other(_) => format!("audit {verdict}"),
    }
}
