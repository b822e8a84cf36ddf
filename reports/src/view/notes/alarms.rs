//! What must be seen before anything else: a failed audit, a run that did not end, a build or a
//! stack whose figures mean something else.

use super::note::{Note, some_of};
use crate::result::{
    AuditReport, AuditVerdict, Leg, Phase, Purpose, Run, Scenario, Sees, Standing, Subject,
};
use crate::view::numbers::counted;
use crate::view::phrases::leg_name;
use crate::view::subjects::{Audit, Fault, Row, has_measured};
use crate::view::text::{Tone, clean};

/// In the order of their weight.
pub(in crate::view) fn alarms(run: &Run, rows: &[Row<'_>]) -> Vec<Note> {
    let mut notes = failed_audits(run, rows);
    notes.extend(missed_demonstrations(rows));
    notes.extend(incomplete(run));
    notes.extend(not_what_it_seems(run));
    notes
}

fn failed_audits(run: &Run, rows: &[Row<'_>]) -> Vec<Note> {
    let faults: Vec<Fault<'_>> = rows
        .iter()
        .filter(|row| !row.is_unsafe())
        .flat_map(Row::faults)
        .collect();
    let Some(first) = faults.first() else {
        return Vec::new();
    };
    let mut legs: Vec<&str> = faults.iter().map(|fault| fault.leg.id.as_str()).collect();
    legs.dedup();
    let mut text = format!(
        "{}: {} ({})",
        leg_name(run, first.leg),
        clean(&first.check.name),
        clean(&first.check.invariant)
    );
    if faults.len() > 1 {
        text.push_str(&format!(
            "; {} failed in {}",
            counted(faults.len() as u64, "check"),
            counted(legs.len() as u64, "leg")
        ));
    }
    vec![
        Note::new("AUDIT FAILED", Tone::Bad, text),
        Note::new("expected", Tone::Plain, clean(&first.check.expected)),
        Note::new("found", Tone::Bad, clean(&first.check.actual)),
    ]
}

/// An unsafe engine that passes shows nothing.
fn missed_demonstrations(rows: &[Row<'_>]) -> Option<Note> {
    let missed = rows.iter().filter(|row| row.audit() == Audit::NotCaught);
    let missed: Vec<String> = missed.map(|row| clean(&row.subject.id)).collect();
    (!missed.is_empty()).then(|| {
        let text = format!(
            "{}: unsafe, and yet the audit found nothing; it must fail here",
            missed.join(", ")
        );
        Note::new("NOT CAUGHT", Tone::Bad, text)
    })
}

fn incomplete(run: &Run) -> Vec<Note> {
    let mut notes = Vec::new();
    if !run.complete {
        let ended = run.legs.iter().filter(|leg| leg.complete && counts(leg));
        let ended = ended.count() as u64;
        let of = match planned(run) {
            Some(planned) => format!("{ended} of {}", counted(planned, "leg")),
            None => counted(ended, "leg"),
        };
        let text = format!("{of} ended; the figures are what was measured until then");
        notes.push(Note::new("INCOMPLETE", Tone::Bad, text));
    }
    let reasons = errors(run);
    if !reasons.is_empty() {
        notes.push(Note::new("why", Tone::Bad, some_of(&reasons, 2, "; ")));
    }
    notes
}

/// A leg that only calibrated is none of those that were planned.
fn counts(leg: &Leg) -> bool {
    let calibrates = |phase: &Phase| phase.purpose == Purpose::Calibrate;
    !(leg.complete && leg.phases.last().is_some_and(calibrates))
}

/// Legs that the run was to have; none for a search, which decides as it goes, and for several
/// scenarios until each had a round, because not all have the same engines.
fn planned(run: &Run) -> Option<u64> {
    let takes_part = |scenario: &Scenario, subject: &Subject| {
        subject.skipped_why.is_none()
            && (run.scenarios.len() == 1
                || run.legs_of(&scenario.name, &subject.id).next().is_some())
    };
    let legs_in = |scenario: &Scenario| {
        let subjects = run.subjects.iter().filter(|one| takes_part(scenario, one));
        subjects.count() as u64 * u64::from(scenario.rounds)
    };
    if run.scenarios.len() > 1 && !run.legs.iter().any(|leg| leg.round > 1) {
        return None;
    }
    let planned = run.scenarios.iter().map(legs_in).sum();
    let begun = run.legs.iter().filter(|leg| counts(leg)).count() as u64;
    (run.searches.is_empty() && planned >= begun).then_some(planned)
}

/// What went wrong, in legs and outside of them. Behind the first line of an error may come the last
/// lines of a log, of which the first is shown; all of them are for the result and its summary.
pub(in crate::view) fn errors(run: &Run) -> Vec<String> {
    said(run, |error| {
        let second = error.match_indices('\n').map(|(at, _)| at).nth(1);
        &error[..second.unwrap_or(error.len())]
    })
}

/// The same with the logs.
pub(in crate::view) fn errors_in_full(run: &Run) -> Vec<String> {
    said(run, |error| error)
}

fn is_caught(run: &Run, leg: &Leg) -> bool {
    let subject = run.subject(&leg.subject);
    let failed = |audit: &AuditReport| audit.verdict == AuditVerdict::Failed;
    subject.is_some_and(|subject| subject.standing == Standing::Unsafe)
        && leg.audit.as_ref().is_some_and(failed)
}

fn said(run: &Run, part: fn(&str) -> &str) -> Vec<String> {
    let of_leg = |leg: &Leg| {
        // That orders of an unsafe engine never become rows is what it is there to show.
        if is_caught(run, leg) {
            return None;
        }
        let error = part(leg.error.as_deref()?);
        let until = if has_measured(leg) {
            ""
        } else {
            ", before anything was measured"
        };
        Some(format!("{}{until}: {}", leg_name(run, leg), clean(error)))
    };
    let outside = run.error.as_deref().map(|error| clean(part(error)));
    outside
        .into_iter()
        .chain(run.legs.iter().filter_map(of_leg))
        .collect()
}

fn not_what_it_seems(run: &Run) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut debug: Vec<String> = Vec::new();
    if run.lab.profile == "debug" {
        debug.push("the driver".to_owned());
    }
    if run
        .subjects
        .iter()
        .any(|subject| subject.build.profile == "debug")
    {
        debug.push("the system".to_owned());
    }
    if !debug.is_empty() {
        let text = format!(
            "{}: the figures say nothing about speed",
            debug.join(" and ")
        );
        notes.push(Note::new("DEBUG BUILD", Tone::Bad, text));
    }
    if run.stack.is_embedded() {
        let text = "one process on SQLite, no servers; never compared with a stack of servers";
        notes.push(Note::new("EMBEDDED", Tone::Warn, text));
    }
    if run.machine.scratch.is_tmpfs || !run.durability.storage_survives {
        let text = "data in memory (tmpfs): \"durable\" means nothing";
        notes.push(Note::new("TMPFS", Tone::Bad, text));
    }
    if let Some(text) = blindness(&run.stack.sees) {
        notes.push(Note::new("SEES LESS", Tone::Warn, text));
    }
    notes
}

fn blindness(sees: &Sees) -> Option<String> {
    match sees {
        Sees::All => None,
        Sees::RolesOnly => {
            Some("sees roles only: CPU and memory are without the servers".to_owned())
        }
        Sees::OutsideOnly => Some("sees only what the driver sees: no CPU, no memory".to_owned()),
        Sees::Other(name) => Some(format!("sees {}", clean(name))),
    }
}
