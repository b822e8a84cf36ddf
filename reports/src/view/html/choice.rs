//! When to take an engine, in one sentence: what it is best at here, what it asks for, and what it
//! promises that a faster one does not. All of it is read from figures, audits and the guarantees
//! that engines state; nothing is known about any engine by its name.

use super::processes::uses_redis;
use crate::result::{Ack, Side, Standing};
use crate::stats::ROUNDS_FOR_RANKING;
use crate::view::numbers::times;
use crate::view::ranking::{Goal, Ranking};
use crate::view::subjects::{Audit, Row};
use crate::view::text::clean;

/// How many times better every round has to be to speak for an engine, where there are too few for a
/// test: more than machines usually differ from themselves.
const MARGIN_OF_FEW_ROUNDS: f64 = 1.1;

/// `why_not_ranked`: of a row that does not compete, as a phrase.
pub(super) fn when(
    row: &Row<'_>,
    rows: &[Row<'_>],
    ranking: &Ranking,
    why_not_ranked: Option<&str>,
) -> String {
    match row.subject.side {
        Some(Side::Base) => return "The build that others are compared with.".to_owned(),
        Some(_) => return "A build that is compared: the gate above says how it did.".to_owned(),
        None => {}
    }
    let fixed = match (row.audit(), &row.subject.standing) {
        (Audit::Failed, _) => "Not before its audit passes: a buyer was told something untrue.",
        (Audit::Caught, _) => "Never: it breaks the contract on purpose, and the audit caught it.",
        (Audit::NotCaught, _) => "Never: it breaks the contract on purpose.",
        (_, Standing::Ceiling) => {
            "Never to sell with: it keeps no stock, and shows what the path around an engine costs."
        }
        (Audit::NotReached, _) => "Not known: it was not audited.",
        (_, Standing::Outside) => "Only to compare: it was measured with another driver.",
        _ if !row.competes => {
            let why = why_not_ranked.map_or_else(|| "it may not be compared".to_owned(), clean);
            return format!("Not known: {why}.");
        }
        _ => return chosen(row, rows, ranking),
    };
    fixed.to_owned()
}

fn chosen(row: &Row<'_>, rows: &[Row<'_>], ranking: &Ranking) -> String {
    let rivals: Vec<&Row<'_>> = rows
        .iter()
        .filter(|other| other.competes && other.subject.id != row.subject.id)
        .collect();
    let demands = demands(row);
    let condition = match demands.as_slice() {
        [] => String::new(),
        demands => format!(", if {}", demands.join(" and ")),
    };
    if rivals.is_empty() {
        return match demands.as_slice() {
            [] => "Nobody to compare it with here.".to_owned(),
            demands => format!(
                "Nobody to compare it with here; take it only if {}.",
                demands.join(" and ")
            ),
        };
    }
    let strengths = strengths(row, &rivals, ranking);
    let ahead: Vec<&Row<'_>> = rows
        .iter()
        .take_while(|other| other.subject.id != row.subject.id)
        .filter(|other| other.competes)
        .collect();
    let reasons = reasons(row, &ahead);
    match (strengths.as_slice(), reasons.as_slice()) {
        ([], []) if ahead.is_empty() => first_by_too_little(row, rivals[0], ranking),
        ([], []) => nothing_for_it(row, &rivals, ranking),
        ([], reasons) => format!(
            "Take it when {}{condition}; it has {}.",
            reasons.join(" or "),
            behind(row, rivals[0], ranking)
        ),
        (strengths, []) => format!("Take it for {}{condition}.", listed(strengths)),
        (strengths, reasons) => format!(
            "Take it for {}, and when {}{condition}.",
            listed(strengths),
            reasons.join(" or ")
        ),
    }
}

/// What nobody else has here.
fn strengths(row: &Row<'_>, rivals: &[&Row<'_>], ranking: &Ranking) -> Vec<String> {
    let mut strengths = Vec::new();
    let (aim, shared) = match ranking.goal {
        Goal::Throughput => ("the highest throughput", "a throughput that nobody beats"),
        Goal::Latency => ("the lowest P99", "a P99 that nobody beats"),
    };
    match ranking.places.get(&row.subject.id) {
        Some((1, 1)) => strengths.push(aim.to_owned()),
        Some((1, _)) if ranking.unplaced.is_empty() => strengths.push(shared.to_owned()),
        None if is_clearly_best(row, rivals, ranking) => {
            strengths.push(format!("{aim} of this run"));
        }
        _ => {}
    }
    if is_clearly_least(row, rivals, "cpu_us_per_request") {
        strengths.push("the least CPU per request".to_owned());
    }
    if ranking.goal == Goal::Throughput && is_clearly_least(row, rivals, "p99_ms") {
        strengths.push("the lowest P99".to_owned());
    }
    strengths
}

fn is_clearly_best(row: &Row<'_>, rivals: &[&Row<'_>], ranking: &Ranking) -> bool {
    match ranking.goal {
        Goal::Latency => is_clearly_least(row, rivals, "p99_ms"),
        Goal::Throughput => {
            let least = extremes(row, "throughput_per_s").map(|(least, _)| least);
            rivals.iter().all(|rival| {
                let greatest = extremes(rival, "throughput_per_s").map(|(_, greatest)| greatest);
                let margin = margin(row, rival);
                let pair = least.zip(greatest);
                pair.is_some_and(|(own, other)| own > other * margin)
            })
        }
    }
}

/// Its worst round is better than the best round of every other; with few rounds, by more than
/// rounds usually differ.
fn is_clearly_least(row: &Row<'_>, rivals: &[&Row<'_>], id: &str) -> bool {
    let greatest = extremes(row, id).map(|(_, greatest)| greatest);
    rivals.iter().all(|rival| {
        let least = extremes(rival, id).map(|(least, _)| least);
        let margin = margin(row, rival);
        greatest
            .zip(least)
            .is_some_and(|(own, other)| own * margin < other)
    })
}

/// Of the two, by the one with fewer rounds.
fn margin(row: &Row<'_>, rival: &Row<'_>) -> f64 {
    match row.counted.len().min(rival.counted.len()) {
        0..ROUNDS_FOR_RANKING => MARGIN_OF_FEW_ROUNDS,
        _ => 1.0,
    }
}

fn extremes(row: &Row<'_>, id: &str) -> Option<(f64, f64)> {
    row.range(id).or_else(|| {
        let only = row.value(id)?;
        Some((only, only))
    })
}

/// `a`, `a and b`, `a, b and c`.
fn listed(items: &[String]) -> String {
    match items {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        items => items.concat(),
    }
}

fn promises(row: &Row<'_>, guarantee: &str) -> Option<bool> {
    row.subject.guarantees.get(guarantee).copied()
}

fn works_with_redis(row: &Row<'_>) -> Option<bool> {
    uses_redis(&row.phase()?.usage)
}

/// What it asks of those who take it.
fn demands(row: &Row<'_>) -> Vec<&'static str> {
    let mut demands = Vec::new();
    if promises(row, "needs_user_affinity") == Some(true) {
        demands.push("each buyer can be sent to the instance that owns them");
    }
    if promises(row, "survives_process_kill") == Some(false) {
        demands.push("the state of a killed process may be lost with it");
    }
    if row.subject.ack == Some(Ack::Published) {
        demands.push("a yes may come before the broker's confirm");
    }
    demands
}

/// What speaks for it although others are ahead.
fn reasons(row: &Row<'_>, ahead: &[&Row<'_>]) -> Vec<&'static str> {
    let any = |is_so: &dyn Fn(&Row<'_>) -> bool| ahead.iter().any(|other| is_so(other));
    let mut reasons = Vec::new();
    let needs_affinity = |row: &Row<'_>| promises(row, "needs_user_affinity") == Some(true);
    if !needs_affinity(row) && any(&needs_affinity) {
        reasons.push("any instance must serve any buyer");
    }
    let survives = |row: &Row<'_>| promises(row, "survives_process_kill");
    if survives(row) == Some(true) && any(&|other| survives(other) == Some(false)) {
        reasons.push("state must survive a killed process");
    }
    let redis = |row: &Row<'_>| works_with_redis(row);
    if redis(row) == Some(false)
        && !ahead.is_empty()
        && ahead.iter().all(|other| redis(other) == Some(true))
    {
        reasons.push("there is to be no Redis");
    }
    if row.subject.ack != Some(Ack::Published)
        && any(&|other| other.subject.ack == Some(Ack::Published))
    {
        reasons.push("a yes must wait for the broker's confirm");
    }
    reasons
}

fn behind(row: &Row<'_>, leader: &Row<'_>, ranking: &Ranking) -> String {
    let (id, what) = match ranking.goal {
        Goal::Throughput => ("throughput_per_s", "throughput"),
        Goal::Latency => ("p99_ms", "P99"),
    };
    match row.value(id).zip(leader.value(id)) {
        Some((own, best)) if best > 0.0 => format!(
            "{} the {what} of {}",
            times(own / best),
            clean(&leader.subject.id)
        ),
        _ => format!("no {what} to compare"),
    }
}

/// Of the first row, when nothing tells it from the others.
fn first_by_too_little(row: &Row<'_>, next: &Row<'_>, ranking: &Ranking) -> String {
    format!(
        "First here, but not by enough to tell: {}.",
        behind(row, next, ranking)
    )
}

fn nothing_for_it(row: &Row<'_>, rivals: &[&Row<'_>], ranking: &Ranking) -> String {
    format!(
        "Nothing here speaks for it: {}, and no promise that others do not make.",
        behind(row, rivals[0], ranking)
    )
}
