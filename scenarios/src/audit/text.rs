//! An audit report as a plain table: one line per check, with what was expected and what was found.

use reports::result::{AuditReport, AuditVerdict};

/// The table, with the verdict in its last line.
pub fn text(report: &AuditReport) -> String {
    let mut rows = vec![["", "check", "verdict", "expected", "actual"].map(String::from)];
    for check in &report.checks {
        let verdict = if check.passed { "ok" } else { "FAILED" };
        let name = format!("({})", check.invariant);
        rows.push([
            name,
            check.name.clone(),
            verdict.into(),
            check.expected.clone(),
            check.actual.clone(),
        ]);
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..4).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            let width = *width;
            out.push_str(&format!("{cell:<width$}  "));
        }
        out.push_str(&row[4]);
        out.push('\n');
    }
    out.push_str(&summary(report));
    out.push('\n');
    out
}

fn summary(report: &AuditReport) -> String {
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
