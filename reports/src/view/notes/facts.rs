//! What the figures are to be read with: their limits and references, the clock, what "durable"
//! promises, and the machine.

use super::note::{Note, some_of};
use crate::result::{Ack, ReferenceRow, Run};
use crate::view::numbers::{grouped, ms, percent, significant, times};
use crate::view::phrases;
use crate::view::subjects::{Audit, Row};
use crate::view::text::{Tone, clean};

/// References that are named one by one.
const REFERENCES_SHOWN: usize = 3;

pub(in crate::view) fn facts(run: &Run, rows: &[Row<'_>]) -> Vec<Note> {
    let mut notes = limits(rows);
    notes.extend(references(run, rows));
    notes.extend(outcomes(rows));
    notes.extend(latency(rows));
    let mut durable = phrases::durability(&run.durability, &run.machine);
    let published = |row: &&Row<'_>| row.subject.ack == Some(Ack::Published);
    let published: Vec<String> = rows
        .iter()
        .filter(published)
        .map(|row| clean(&row.subject.id))
        .collect();
    if !published.is_empty() {
        durable.push_str(&format!("; yes BEFORE confirm: {}", published.join(", ")));
    }
    notes.push(Note::new("durable", Tone::Plain, durable));
    notes.extend(rows_written(rows));
    notes.push(Note::new("machine", Tone::Plain, phrases::machine(&run.machine)).expendable(3));
    notes
}

/// Subjects by what limited them.
fn limits(rows: &[Row<'_>]) -> Vec<Note> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for row in rows {
        let Some(phase) = row.phase() else { continue };
        let limit = match rows.len() {
            1 => phrases::limit_with_share(&phase.limit),
            _ => phrases::limit(&phase.limit),
        };
        let name = clean(&row.subject.id);
        match groups.iter_mut().find(|(known, _)| *known == limit) {
            Some((_, names)) => names.push(name),
            None => groups.push((limit, vec![name])),
        }
    }
    let text = match groups.as_slice() {
        [] => return Vec::new(),
        [(limit, _)] if rows.len() == 1 => limit.clone(),
        [(limit, _)] => format!("{limit}, for each engine"),
        groups => {
            let groups = groups.iter();
            let said = groups.map(|(limit, names)| format!("{limit}: {}", some_of(names, 4, ", ")));
            said.collect::<Vec<_>>().join("; ")
        }
    };
    vec![Note::new("limited by", Tone::Plain, text)]
}

/// How the best subject stands against figures from elsewhere.
fn references(run: &Run, rows: &[Row<'_>]) -> Vec<Note> {
    let best = rows.iter().find(|row| row.competes);
    let best = best.or_else(|| rows.iter().find(|row| row.audit() == Audit::Passed));
    let Some((best, rate)) = best.and_then(|row| Some((row, row.value("throughput_per_s")?)))
    else {
        return Vec::new();
    };
    let other_stack = if run.stack.is_embedded() {
        ", another stack"
    } else {
        ""
    };
    let note = |reference: &ReferenceRow| {
        let text = format!(
            "{} {}: {}/s at {}, {}{other_stack}",
            times(rate / reference.requests_per_s),
            clean(&reference.label),
            significant(reference.requests_per_s),
            ms(reference.p99_ms),
            clean(&reference.environment)
        );
        Note::new("against", Tone::Plain, text).expendable(1)
    };
    let references = best.scenario.reference.iter();
    let usable = references.filter(|reference| reference.requests_per_s > 0.0);
    usable.take(REFERENCES_SHOWN).map(note).collect()
}

/// What buyers were told, where it was not yes to all.
fn outcomes(rows: &[Row<'_>]) -> Option<Note> {
    let of = |row: &Row<'_>| {
        let phase = row.phase()?;
        let told = phase.purchases();
        if told.refused == 0 && told.duplicate == 0 {
            return None;
        }
        let mut parts = vec![
            format!("{}\u{a0}accepted", grouped(told.accepted)),
            format!("{}\u{a0}refused", grouped(told.refused)),
        ];
        if told.duplicate > 0 {
            parts.push(format!(
                "{}\u{a0}had an order already",
                grouped(told.duplicate)
            ));
        }
        Some((parts.join(", "), clean(&row.subject.id)))
    };
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (told, name) in rows.iter().filter_map(of) {
        match groups.iter_mut().find(|(known, _)| *known == told) {
            Some((_, names)) => names.push(name),
            None => groups.push((told, vec![name])),
        }
    }
    let text = match groups.as_slice() {
        [] => return None,
        [(told, _)] => told.clone(),
        groups => {
            let said = groups
                .iter()
                .map(|(told, names)| format!("{}: {told}", names.join(", ")));
            some_of(&said.collect::<Vec<_>>(), 2, "; ")
        }
    };
    Some(Note::new("told", Tone::Plain, text))
}

/// The headline clock, once, with the load.
fn latency(rows: &[Row<'_>]) -> Option<Note> {
    let row = rows.first()?;
    let phase = row.phase()?;
    let clock = phrases::clock(&phase.headline_clock());
    let plan = row
        .scenario
        .phases
        .iter()
        .find(|plan| plan.name == phase.name);
    let load = plan.or(row.scenario.measured_phase()).map(phrases::load);
    let load = load.map_or_else(String::new, |load| format!("; {load}"));
    Some(Note::new("latency", Tone::Plain, format!("{clock}{load}")))
}

/// How far the database was behind.
fn rows_written(rows: &[Row<'_>]) -> Option<Note> {
    let row = rows
        .iter()
        .find(|row| row.value("committed_share").is_some())?;
    let committed = percent(row.value("committed_share")?);
    let mut text = format!("{committed} at the last reply");
    if let Some(drain_s) = row.value("drain_s") {
        text.push_str(&format!(", all after {}", ms(drain_s * 1e3)));
    }
    if let Some(p99) = row.value("durable_p99_ms") {
        text.push_str(&format!("; P99 from yes {}", ms(p99)));
    }
    if rows.len() > 1 {
        text.push_str(&format!(" ({})", clean(&row.subject.id)));
    }
    Some(Note::new("committed", Tone::Plain, text).expendable(2))
}
