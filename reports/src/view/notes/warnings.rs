//! What weakens the figures: flags, failures, missed expectations, settings changed by hand.

use super::note::{Note, some_of};
use crate::result::metric;
use crate::result::{Ack, Flag, Noise, Operation, Run, Scenario, Standing};
use crate::view::numbers::{counted, grouped, ms, of_metric, percent, significant};
use crate::view::phrases;
use crate::view::stalls;
use crate::view::subjects::Row;
use crate::view::text::{Tone, clean};

/// Rates below this share of what was offered were missed.
const REACHED: f64 = 0.98;
/// CPU that others took, in cores, from which on it is said.
const DISTURBED: f64 = 0.1;

/// Of a run of one scenario. Rows must have figures in common, or there are none.
pub(in crate::view) fn warnings(run: &Run, rows: &[Row<'_>]) -> Vec<Note> {
    let mut texts = of_run(run);
    texts.extend(of_rows(rows));
    texts.extend(skipped(run).map(|text| (2, text)));
    texts.extend(run.scenarios.first().and_then(|it| limits(run, it)));
    texts.extend(by_hand(run).map(|text| (2, text)));
    notes(texts)
}

/// Of a run of several scenarios: what is said of the rows of some stands behind their names. None of
/// it may keep the figures from a screen.
pub(in crate::view) fn warnings_of_each<'a>(
    run: &Run,
    of_each: impl Iterator<Item = &'a [Row<'a>]>,
) -> Vec<Note> {
    let mut of_some: Vec<(Vec<String>, (u8, String))> = Vec::new();
    for (scenario, rows) in run.scenarios.iter().zip(of_each) {
        let name = clean(&scenario.name);
        for text in of_rows(rows).into_iter().chain(limits(run, scenario)) {
            match of_some.iter_mut().find(|(_, known)| *known == text) {
                Some((names, _)) => names.push(name.clone()),
                None => of_some.push((vec![name.clone()], text)),
            }
        }
    }
    let named = |(names, (order, text)): (Vec<String>, (u8, String))| {
        (order.max(1), format!("{}: {text}", names.join(", ")))
    };
    let mut texts = of_run(run);
    texts.extend(of_some.into_iter().map(named));
    texts.extend(skipped(run).map(|text| (2, text)));
    texts.extend(by_hand(run).map(|text| (2, text)));
    notes(texts)
}

fn of_run(run: &Run) -> Vec<(u8, String)> {
    let mut texts: Vec<(u8, String)> = Vec::new();
    texts.extend(expectations(run).map(|text| (0, text)));
    if run.durability.ack == Ack::Published {
        let text = "PUBLISHED: buyers are told yes before the broker's confirm; compare with no confirmed run";
        texts.push((0, text.to_owned()));
    }
    texts
}

fn of_rows(rows: &[Row<'_>]) -> Vec<(u8, String)> {
    let mut texts: Vec<(u8, String)> = Vec::new();
    texts.extend(disturbed(rows).map(|text| (0, text)));
    texts.extend(failed(rows).map(|text| (0, text)));
    texts.extend(not_reached(rows).into_iter().map(|text| (0, text)));
    texts.extend(explained(rows).into_iter().map(|text| (0, text)));
    texts.extend(flags(rows).into_iter().map(|text| (1, text)));
    texts
}

fn limits(run: &Run, scenario: &Scenario) -> Option<(u8, String)> {
    phrases::limits_missed(run, scenario).map(|text| (2, text))
}

fn notes(texts: Vec<(u8, String)>) -> Vec<Note> {
    texts
        .into_iter()
        .map(|(order, text)| Note::new("!", Tone::Warn, text).expendable(order))
        .collect()
}

fn expectations(run: &Run) -> Option<String> {
    let missed = run
        .expectations
        .iter()
        .filter(|expectation| !expectation.met);
    let missed: Vec<String> = missed
        .map(|missed| {
            let actual = match (missed.actual, metric(&missed.metric)) {
                (Some(actual), Ok(metric)) => of_metric(metric, actual),
                (Some(actual), Err(_)) => significant(actual),
                (None, _) => "not measured".to_owned(),
            };
            let leg = run.legs.iter().find(|leg| leg.id == missed.leg);
            let leg = leg.map_or_else(|| clean(&missed.leg), |leg| phrases::leg_name(run, leg));
            format!(
                "{} {} {}, but was {actual} ({leg})",
                clean(&missed.metric),
                clean(&missed.relation),
                missed.bound
            )
        })
        .collect();
    (!missed.is_empty()).then(|| format!("expectation missed: {}", some_of(&missed, 2, "; ")))
}

fn failed(rows: &[Row<'_>]) -> Option<String> {
    let of = |row: &Row<'_>| {
        let phases: Vec<_> = row
            .counted
            .iter()
            .filter_map(|leg| leg.measured())
            .collect();
        let failed: u64 = phases.iter().map(|phase| phase.outcomes().failed()).sum();
        let finished: u64 = phases.iter().map(|phase| phase.finished).sum();
        let statuses = phases.iter().flat_map(|phase| &phase.statuses);
        let failures = statuses.filter(|(status, _)| is_failure(status));
        let worst = failures.max_by_key(|(_, count)| **count);
        let worst = worst.map_or_else(String::new, |(status, _)| {
            format!(", most {}", clean(status))
        });
        (failed > 0).then(|| {
            format!(
                "{} {} of {}{worst}",
                clean(&row.subject.id),
                grouped(failed),
                counted(finished, "request")
            )
        })
    };
    let all: Vec<String> = rows.iter().filter_map(of).collect();
    (!all.is_empty()).then(|| format!("failed: {}", some_of(&all, 3, "; ")))
}

/// Not what was done or refused. That of a cancel or a pay begins with the operation, and its order's
/// state may forbid it.
fn is_failure(status: &str) -> bool {
    let change = Operation::KNOWN
        .iter()
        .find_map(|operation| status.strip_prefix(operation.as_str())?.strip_prefix(' '));
    let is_conflict = change.is_some_and(|status| status.starts_with("FAILED_PRECONDITION"));
    let status = change.unwrap_or(status);
    !is_conflict && status != "OK" && !status.starts_with("OK, refused")
}

/// Open loops: what was offered and did not come through.
fn not_reached(rows: &[Row<'_>]) -> Vec<String> {
    let mut texts = Vec::new();
    for row in rows {
        let Some(phase) = row.phase() else { continue };
        let name = clean(&row.subject.id);
        let mut parts = Vec::new();
        let finished = phase.finished_per_s();
        if let Some(offered) = phase.offered_per_s
            && finished < REACHED * offered
        {
            parts.push(format!(
                "{}/s of {}/s offered ({})",
                significant(finished),
                significant(offered),
                percent(finished / offered)
            ));
        }
        parts.extend(phrases::dropped(phase).map(|dropped| format!("dropped {dropped}")));
        if let Some(lag) = stalls::lag_ms(phase) {
            parts.push(format!("sends lag {} (P99) behind the schedule", ms(lag)));
        }
        if !parts.is_empty() {
            texts.push(format!("{name}: {}", parts.join("; ")));
        }
    }
    texts
}

fn explained(rows: &[Row<'_>]) -> Vec<String> {
    let mut texts = Vec::new();
    for row in rows {
        let Some(leg) = row.leg() else { continue };
        let name = clean(&row.subject.id);
        texts.extend(
            stalls::explained(leg)
                .into_iter()
                .map(|text| format!("{name} {text}")),
        );
    }
    texts
}

/// One sentence per flag, with those that bear it.
fn flags(rows: &[Row<'_>]) -> Vec<String> {
    let mut flags: Vec<&Flag> = rows.iter().flat_map(Row::flags).collect();
    flags.sort();
    flags.dedup();
    // Said about the machine already.
    flags.retain(|flag| **flag != Flag::Tmpfs);
    flags
        .into_iter()
        .map(|flag| {
            let bears = |row: &&Row<'_>| row.flags().contains(flag);
            let names: Vec<String> = rows
                .iter()
                .filter(bears)
                .map(|row| clean(&row.subject.id))
                .collect();
            let whose = match names.len() {
                all if all == rows.len() && all > 1 => "all".to_owned(),
                _ => some_of(&names, 3, ", "),
            };
            let ranked = if flag.unranks() { "not ranked, " } else { "" };
            format!("{ranked}{}: {whose}", phrases::flag(flag))
        })
        .collect()
}

/// CPU that went to other programs, or that the hypervisor took, as a share of all cores.
fn disturbed(rows: &[Row<'_>]) -> Option<String> {
    let share_of = |of: fn(&Noise) -> u64| {
        let phases = rows.iter().flat_map(|row| &row.legs);
        let noises = phases.filter_map(|leg| Some(&leg.measured()?.noise));
        let shares = noises.map(move |noise| of(noise) as f64 / (noise.window_ns as f64).max(1.0));
        shares.fold(0.0, f64::max)
    };
    let parts: Vec<String> = [
        ("other programs", share_of(|noise| noise.foreign_cpu_ns)),
        ("the hypervisor", share_of(|noise| noise.steal_ns)),
    ]
    .into_iter()
    .filter(|(_, share)| *share > DISTURBED)
    .map(|(who, share)| format!("{who} took up to {} of a core", percent(share)))
    .collect();
    let all = parts.join(", ");
    (!parts.is_empty()).then(|| format!("{all}: the figures are too low"))
}

fn skipped(run: &Run) -> Option<String> {
    let skipped = run.subjects.iter().filter_map(|subject| {
        let why = subject.skipped_why.as_deref()?;
        Some(format!("{} ({})", clean(&subject.id), clean(why)))
    });
    let skipped: Vec<String> = skipped.collect();
    (!skipped.is_empty()).then(|| format!("skipped: {}", some_of(&skipped, 3, ", ")))
}

fn by_hand(run: &Run) -> Option<String> {
    let settings = run.stack.overrides.iter();
    let settings: Vec<String> = settings
        .map(|(key, value)| clean(&format!("{key}={value}")))
        .collect();
    let outside = run
        .subjects
        .iter()
        .any(|subject| subject.standing == Standing::Outside);
    let note = if outside {
        " (not for those measured elsewhere)"
    } else {
        ""
    };
    (!settings.is_empty())
        .then(|| format!("settings changed by hand: {}{note}", settings.join(", ")))
}
