//! The answer in one or two sentences.

use super::note::Note;
use crate::result::Run;
use crate::view::numbers::{counted, ms, or_nothing, percent, significant};
use crate::view::ranking::{Goal, Ranking};
use crate::view::subjects::{Audit, Row};
use crate::view::text::{Tone, clean};

/// Who is best and by how much, as far as that may be said; then what the audits say.
pub(in crate::view) fn verdict(run: &Run, rows: &[Row<'_>], ranking: &Ranking) -> Vec<Note> {
    let mut notes = Vec::new();
    notes.extend(searched(run));
    if notes.is_empty() {
        notes.extend(leader(rows, ranking).map(|text| Note::new("", Tone::Strong, text)));
    }
    notes.extend(caught(rows));
    notes.extend(audits(rows));
    notes
}

/// Who is best, by how much, and how far the order may be trusted.
pub(in crate::view) fn leader(rows: &[Row<'_>], ranking: &Ranking) -> Option<String> {
    let goal = ranking.goal;
    let candidates: Vec<&Row<'_>> = rows.iter().filter(|row| row.competes).collect();
    let p99 = if goal == Goal::Latency { "P99 " } else { "" };
    let alone = |row: &Row<'_>| format!("{}: {p99}{}.", clean(&row.subject.id), figures(row));
    let best = match candidates.as_slice() {
        [] => return rows.first().filter(|_| rows.len() == 1).map(alone),
        [only] => return Some(alone(only)),
        [best, ..] => best,
    };
    let name = clean(&best.subject.id);
    let shares_first = |row: &&&Row<'_>| {
        let place = ranking.places.get(&row.subject.id);
        place.is_some_and(|(best, _)| *best == 1)
    };
    let first: Vec<String> = candidates
        .iter()
        .filter(shares_first)
        .map(|row| clean(&row.subject.id))
        .collect();
    let what = match goal {
        Goal::Throughput => "fastest",
        Goal::Latency => "lowest P99",
    };
    let claim = match first.as_slice() {
        [] => format!("{what} here: {name}, {}.", figures(best)),
        [_] if ranking.unplaced.is_empty() => format!("{what}: {name}, {}.", figures(best)),
        [_] => format!("{what} of those with a place: {name}, {}.", figures(best)),
        several => format!(
            "{what}: {}, not separated; {}.",
            several.join(" or "),
            figures(best)
        ),
    };
    let mut letters = claim.chars();
    let first = letters.next()?.to_uppercase();
    Some(
        format!("{first}{} {}", letters.as_str(), ranking.remark)
            .trim_end()
            .to_owned(),
    )
}

/// `54,000 finished/s at a P99 of 16.7 ms`.
fn figures(row: &Row<'_>) -> String {
    let rate = or_nothing(row.value("throughput_per_s"), significant);
    let p99 = |id: &str| or_nothing(row.value(id), ms);
    let all = p99("p99_ms");
    match row.phase().and_then(|phase| phase.offered_per_s) {
        Some(offered) => format!("{all} at {}/s offered", significant(offered)),
        None if row.is_storm() => format!(
            "{rate} finished/s, P99 {} accepted and {} refused",
            p99("p99_accepted_ms"),
            p99("p99_refused_ms")
        ),
        None => format!("{rate} finished/s at a P99 of {all}"),
    }
}

/// What an unsafe engine did, which its audit found: the success of such a leg.
fn caught(rows: &[Row<'_>]) -> Vec<Note> {
    let caught = rows.iter().filter(|row| row.audit() == Audit::Caught);
    let note = |row: &Row<'_>| {
        let fault = *row.faults().first()?;
        let text = format!(
            "The audit caught {}, as it must: {} ({}), expected {}, found {}.",
            clean(&row.subject.id),
            clean(&fault.check.name),
            clean(&fault.check.invariant),
            clean(&fault.check.expected),
            clean(&fault.check.actual)
        );
        Some(Note::new("", Tone::Good, text))
    };
    caught.filter_map(note).collect()
}

/// What the audits say together.
pub(in crate::view) fn audits(rows: &[Row<'_>]) -> Option<Note> {
    let with = |audit: Audit| rows.iter().filter(move |row| row.audit() == audit);
    let names = |audit: Audit| -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in with(audit).map(|row| clean(&row.subject.id)) {
            // Once, although it may have been measured in several scenarios.
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    };
    let legs: usize = with(Audit::Passed).map(|row| row.legs.len()).sum();
    let checks = with(Audit::Passed).flat_map(|row| &row.legs);
    let checks: usize = checks
        .filter_map(|leg| leg.audit.as_ref())
        .map(|report| report.checks.len())
        .sum();
    let mut parts = Vec::new();
    if legs > 0 {
        parts.push(format!(
            "passed in {} ({})",
            counted(legs as u64, "leg"),
            counted(checks as u64, "check")
        ));
    }
    for (audit, said) in [
        (Audit::NotApplicable, "none for"),
        (Audit::NotReached, "not reached for"),
    ] {
        let names = names(audit);
        if !names.is_empty() {
            parts.push(format!("{said} {}", names.join(", ")));
        }
    }
    let tone = if with(Audit::NotReached).next().is_some() {
        Tone::Warn
    } else {
        Tone::Good
    };
    (!parts.is_empty()).then(|| Note::new("", tone, format!("Audit {}.", parts.join(", "))))
}

/// The best capacity that was found.
fn searched(run: &Run) -> Option<Note> {
    let held = |search: &&crate::result::Search| search.holds_per_s.unwrap_or(0.0);
    let mut searches: Vec<_> = run.searches.iter().collect();
    searches.sort_by(|a, b| held(b).total_cmp(&held(a)));
    let best = searches.first()?;
    let objective = &best.objective;
    let mut wanted = Vec::new();
    if let Some(p99) = objective.p99_ns_max {
        wanted.push(format!("P99 at most {}", ms(p99 as f64 / 1e6)));
    }
    if let Some(share) = objective.failed_share_max {
        wanted.push(format!("at most {} failed", percent(share)));
    }
    let text = match best.holds_per_s {
        Some(holds) => format!(
            "Highest rate that holds ({}): {}, {}/s.",
            wanted.join(", "),
            clean(&best.subject),
            significant(holds)
        ),
        None => format!("No rate was found that holds ({}).", wanted.join(", ")),
    };
    Some(Note::new("", Tone::Strong, text))
}
