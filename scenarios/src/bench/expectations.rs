//! Whether a run is a success: what every leg is held to, and the first thing that went wrong.

use reports::expect::Expected;
use reports::result::{AuditVerdict, Expectation, Leg, Run, Standing};

use super::leg::NOT_DRAINED;

/// Metrics that say whether a run is correct; all others were set for the stack with servers.
const OF_CORRECTNESS: [&str; 6] = [
    "errors",
    "dropped",
    "failed_share",
    "accepted",
    "refused",
    "duplicates",
];

/// What is held against the legs: of the scenario's expectations on the embedded stack only what says
/// whether they are correct, and always what the user asked for.
pub(super) fn wanted(
    of_scenario: &[Expected],
    by_hand: &[Expected],
    is_embedded: bool,
) -> Vec<Expected> {
    let is_wanted = |expect: &&Expected| !is_embedded || OF_CORRECTNESS.contains(&expect.metric.id);
    let of_scenario = of_scenario.iter().filter(is_wanted);
    of_scenario.chain(by_hand).copied().collect()
}

/// Holds every whole leg of a subject that competes against what is wanted; of `null`, which sells
/// nothing, only the errors say something.
pub(super) fn expectations(wanted: &[Expected], run: &Run, scenario: &str) -> Vec<Expectation> {
    let mut found = Vec::new();
    let legs = run.legs.iter().filter(|leg| leg.scenario == scenario);
    for leg in legs.filter(|leg| leg.complete) {
        if leg.measured().is_none() || leg.probe.is_some() {
            continue;
        }
        let standing = run.subject(&leg.subject).map(|subject| &subject.standing);
        let held = wanted.iter().filter(|expect| match standing {
            Some(Standing::Unsafe) | None => false,
            Some(Standing::Ceiling) => expect.metric.id == "errors",
            _ => true,
        });
        found.extend(held.map(|expect| expect.hold_against(leg)));
    }
    found
}

/// Why a run is not a success, in one sentence: the first thing that went wrong. None when the run
/// is complete, nothing failed, every audit came out as it should and every expectation is met.
pub fn failure(run: &Run) -> Option<String> {
    let missed = || {
        let missed = run
            .expectations
            .iter()
            .find(|expectation| !expectation.met)?;
        let leg = run.legs.iter().find(|leg| leg.id == missed.leg)?;
        let actual = missed.actual.map_or_else(
            || "it was not measured".to_owned(),
            |actual| format!("it was {actual:.2}"),
        );
        Some(format!(
            "{}: expected {}{}{}, and {actual}",
            named(leg),
            missed.metric,
            missed.relation,
            missed.bound
        ))
    };
    // A step of a search that broke was tried again, unless the search could not be ended.
    let counts = |leg: &&Leg| leg.probe.is_none() || !run.complete;
    run.legs
        .iter()
        .filter(counts)
        .find_map(|leg| failure_of_leg(run, leg))
        .or_else(|| run.error.clone())
        .or_else(missed)
        .or_else(|| (!run.complete).then(|| "the run was interrupted".to_owned()))
}

fn named(leg: &Leg) -> String {
    format!("{} round {}", leg.subject, leg.round)
}

fn failure_of_leg(run: &Run, leg: &Leg) -> Option<String> {
    let is_unsafe = run
        .subject(&leg.subject)
        .is_some_and(|subject| subject.standing == Standing::Unsafe);
    let caught = leg
        .audit
        .as_ref()
        .is_some_and(|audit| audit.verdict == AuditVerdict::Failed);
    let only_not_drained = leg
        .error
        .as_deref()
        .is_none_or(|error| error.starts_with(NOT_DRAINED));
    if is_unsafe && leg.audit.is_some() && only_not_drained {
        let missed = "the audit did not catch an engine that breaks the contract on purpose";
        return (!caught).then(|| format!("{}: {missed}", named(leg)));
    }
    // After the first line of an error come the last lines of a log, which the report shows.
    let error = leg
        .error
        .as_ref()
        .map(|error| error.lines().next().unwrap_or_default().to_owned());
    let said: Vec<String> = error.into_iter().chain(failure_of_audit(leg)).collect();
    (!said.is_empty()).then(|| format!("{}: {}", named(leg), said.join("; ")))
}

fn failure_of_audit(leg: &Leg) -> Option<String> {
    let audit = leg
        .audit
        .as_ref()
        .filter(|audit| audit.verdict == AuditVerdict::Failed)?;
    let check = audit
        .failed_checks()
        .next()
        .map_or_else(String::new, |check| {
            format!(
                ": ({}) {}: expected {}, found {}",
                check.invariant, check.name, check.expected, check.actual
            )
        });
    Some(format!("the audit failed{check}"))
}
