//! What a reader must see first: alarms, then the question and its answer, then with what caution
//! it is to be taken.

use super::Part;
use super::blocks::class;
use crate::result::Run;
use crate::view::gate;
use crate::view::notes::{Note, alarms, errors_in_full, verdict};
use crate::view::phrases;
use crate::view::ranking::Ranking;
use crate::view::subjects::Row;
use crate::view::text::{Tone, clean};
use maud::{Markup, html};
use std::time::{Duration, UNIX_EPOCH};

pub(super) fn headline(run: &Run, parts: &[Part<'_>]) -> Markup {
    let all: Vec<Row<'_>> = parts.iter().flat_map(|part| part.rows.clone()).collect();
    let gate = gate::of(run);
    let mut alarms = alarms(run, &all);
    // Why a gate was not measured is its answer.
    alarms.retain(|note| gate.is_none() || note.label != "INCOMPLETE");
    // A figure of a run that lost an order is no answer.
    let is_doubtful = alarms.iter().any(|note| note.label == "AUDIT FAILED");
    let is_empty = all.is_empty() && run.searches.is_empty();
    html! {
        header.doubtful[is_doubtful] {
            (alarm(&alarms))
            p.kicker { (kicker(run)) }
            @match parts {
                _ if gate.is_some() => h1 { "Is it as fast as before, and is every order right?" },
                [only] => h1 { (clean(&only.scenario.question)) },
                several => h1 { (several.len()) " scenarios, one table" },
            }
            // A gate may have its verdict without a single leg.
            @if let Some(gate) = gate { (super::gate::answer(run, gate)) }
            @else if is_empty { (nothing(run, &alarms)) }
            @else if !run.searches.is_empty() { (answer(&verdict(run, &all, &Ranking::default()), "")) }
            @else if let [only] = parts { (answer(&verdict(run, &only.rows, &only.ranking), &only.ranking.remark)) }
            @else {
                @for part in parts {
                    div.each {
                        p.kicker { (clean(&part.scenario.name)) }
                        (answer(&verdict(run, &part.rows, &part.ranking), &part.ranking.remark))
                    }
                }
            }
            p.meta { (measured(run)) }
        }
    }
}

/// Notes without a label of their own follow the alarm before them.
fn alarm(notes: &[Note]) -> Markup {
    html! {
        @if !notes.is_empty() {
            div.alarm role="alert" {
                dl {
                    @for note in notes {
                        div {
                            dt { (note.label) }
                            dd { (note.text) }
                        }
                    }
                }
            }
        }
    }
}

/// What the order is worth follows the claim in smaller letters.
fn answer(notes: &[Note], remark: &str) -> Markup {
    html! {
        @for note in notes {
            @if note.tone == Tone::Strong {
                p.answer { (note.text.strip_suffix(remark).unwrap_or(&note.text).trim_end()) }
                @if !remark.is_empty() { p.said { (remark) } }
            } @else {
                p class={ "said " (class(note.tone).unwrap_or_default()) } { (note.text) }
            }
        }
    }
}

/// The reasons, as far as no alarm has said them.
fn nothing(run: &Run, alarms: &[Note]) -> Markup {
    let skipped = run.subjects.iter().filter_map(|subject| {
        let why = subject.skipped_why.as_deref()?;
        Some(format!(
            "{} was skipped: {}",
            clean(&subject.id),
            clean(why)
        ))
    });
    let mut reasons: Vec<String> = errors_in_full(run);
    if reasons.is_empty() {
        reasons = skipped.collect();
    }
    if reasons.is_empty() {
        reasons.push("It ended before the first request.".to_owned());
    }
    reasons.retain(|reason| alarms.iter().all(|note| note.text != *reason));
    html! {
        p.answer { "Nothing was measured." }
        @for reason in reasons { p.said.bad { (reason) } }
    }
}

fn kicker(run: &Run) -> String {
    let what = match run.scenarios.as_slice() {
        [only] => format!("{} · {}", clean(&only.name), clean(&only.title)),
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|scenario| clean(&scenario.name))
                .collect();
            format!("{} · {}", run.kind, names.join(", "))
        }
    };
    match &run.name {
        Some(name) if !what.starts_with(&clean(name)) => format!("{} · {what}", clean(name)),
        _ => what,
    }
}

fn measured(run: &Run) -> String {
    let started = Duration::from_micros(run.started_unix_us.max(0).unsigned_abs());
    let started = humantime::format_rfc3339_seconds(UNIX_EPOCH + started).to_string();
    let minute = started.get(..16).unwrap_or(&started).replace('T', "\u{a0}");
    format!(
        "Measured {minute} UTC on {} · stack {} · seed {}",
        phrases::machine(&run.machine),
        clean(&run.stack.kind),
        run.seed
    )
}
