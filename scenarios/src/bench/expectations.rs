//! Whether a run is a success: compares every leg that was measured with what the scenario expects.

use reports::model::{AuditVerdict, Expectation, Leg, NULL_ENGINE, RunResult};

use super::system_binary::engine_name;
use crate::scenario::Expectations;

pub(super) fn expectations(wanted: &Expectations, legs: &[Leg]) -> Vec<Expectation> {
    legs.iter()
        .filter(|leg| leg.complete)
        .flat_map(|leg| of_leg(wanted, leg))
        .collect()
}

/// Why a run is not a success, in one sentence: the first thing that went wrong. None when the run
/// is complete, nothing failed, every audit passed and every expectation is met.
pub fn failure(run: &RunResult) -> Option<String> {
    run.legs
        .iter()
        .find_map(failure_of_leg)
        .or_else(|| run.error.clone())
        .or_else(|| {
            let missed = run.expectations.iter().find(|expectation| !expectation.met);
            missed.map(|missed| {
                format!(
                    "{}: expected {}, was {}",
                    missed.what, missed.expected, missed.actual
                )
            })
        })
        .or_else(|| (!run.complete).then(|| "the run was interrupted".to_owned()))
}

fn failure_of_leg(leg: &Leg) -> Option<String> {
    // After the first line of an error come the last lines of a log, which the report shows.
    let error = leg
        .error
        .as_ref()
        .map(|error| error.lines().next().unwrap_or_default().to_owned());
    let said: Vec<String> = error.into_iter().chain(failure_of_audit(leg)).collect();
    let name = format!("{} round {}", leg.engine, leg.round);
    (!said.is_empty()).then(|| format!("{name}: {}", said.join("; ")))
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

fn of_leg(wanted: &Expectations, leg: &Leg) -> Vec<Expectation> {
    let mut expectations = LegExpectations {
        leg,
        found: Vec::new(),
    };
    let failed = leg.counts.error + leg.counts.unknown;
    expectations.at_most(
        "errors",
        wanted.errors.map(|errors| errors as f64),
        Some(failed as f64),
    );
    // It sells nothing, so that only its errors say something.
    if engine_name(&leg.engine) == NULL_ENGINE {
        return expectations.found;
    }
    let cpu = leg.system_cpu_per_order;
    expectations.at_most(
        "P99 in ms",
        wanted.p99_ms_max,
        Some(leg.latency.p99_us as f64 / 1000.0),
    );
    expectations.at_least(
        "requests/s",
        wanted.requests_per_s_min,
        Some(leg.requests_per_s),
    );
    expectations.at_least(
        "share committed at last reply",
        wanted.committed_at_last_reply_min,
        leg.committed_at_last_reply,
    );
    expectations.at_most(
        "system CPU µs per order until last reply",
        wanted.system_cpu_until_reply_us_max,
        cpu.map(|cpu| cpu.until_reply_us),
    );
    expectations.at_most(
        "system CPU µs per order until drained",
        wanted.system_cpu_until_drained_us_max,
        cpu.and_then(|cpu| cpu.until_drained_us),
    );
    expectations.found
}

struct LegExpectations<'a> {
    leg: &'a Leg,
    found: Vec<Expectation>,
}

impl LegExpectations<'_> {
    fn at_most(&mut self, what: &str, bound: Option<f64>, actual: Option<f64>) {
        self.add(what, "at most", bound, actual, |actual, bound| {
            actual <= bound
        });
    }

    fn at_least(&mut self, what: &str, bound: Option<f64>, actual: Option<f64>) {
        self.add(what, "at least", bound, actual, |actual, bound| {
            actual >= bound
        });
    }

    /// A figure that was not measured meets no expectation.
    fn add(
        &mut self,
        what: &str,
        words: &str,
        bound: Option<f64>,
        actual: Option<f64>,
        met: fn(f64, f64) -> bool,
    ) {
        let Some(bound) = bound else { return };
        self.found.push(Expectation {
            what: format!("{what}, {} round {}", self.leg.engine, self.leg.round),
            expected: format!("{words} {bound}"),
            actual: actual.map_or_else(
                || "not measured".to_owned(),
                |actual| format!("{actual:.2}"),
            ),
            met: actual.is_some_and(|actual| met(actual, bound)),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::model::{AuditCheck, AuditReport};

    fn leg(engine: &str) -> Leg {
        let mut leg = Leg::begin(engine, 1, 10);
        leg.complete = true;
        leg.latency.p99_us = 120_000;
        leg.counts.unknown = 1;
        leg
    }

    #[test]
    fn a_slow_leg_with_an_unknown_outcome_meets_neither_bound() {
        let wanted = Expectations {
            errors: Some(0),
            p99_ms_max: Some(100.0),
            ..Expectations::default()
        };
        let found = expectations(&wanted, &[leg("lua-single-key")]);
        assert_eq!(found.len(), 2);
        assert!(
            found.iter().all(|expectation| !expectation.met),
            "{found:?}"
        );
        assert_eq!(found[1].actual, "120.00");
    }

    #[test]
    fn a_failed_audit_is_named_with_what_was_found() {
        let check = |passed| AuditCheck {
            name: "every accepted order has a row".to_owned(),
            invariant: "b".to_owned(),
            passed,
            expected: "10".to_owned(),
            actual: "9".to_owned(),
        };
        let mut audited = leg("lua-single-key");
        audited.audit = Some(AuditReport::of(vec![check(true)]));
        assert_eq!(failure_of_leg(&audited), None);
        audited.audit = Some(AuditReport::of(vec![check(true), check(false)]));
        let said = "lua-single-key round 1: the audit failed: (b) every accepted order has a row: expected 10, found 9";
        assert_eq!(failure_of_leg(&audited).as_deref(), Some(said));
        audited.error = Some("not drained".to_owned());
        let said = said.replace(": the audit", ": not drained; the audit");
        assert_eq!(failure_of_leg(&audited), Some(said));
    }

    #[test]
    fn a_leg_that_broke_is_named_in_one_line() {
        let mut broken = leg("lua-single-key");
        broken.error = Some("redis died\n  last lines of its log".to_owned());
        assert_eq!(
            failure_of_leg(&broken).as_deref(),
            Some("lua-single-key round 1: redis died")
        );
    }

    #[test]
    fn only_errors_are_held_against_null() {
        let wanted = Expectations {
            errors: Some(1),
            p99_ms_max: Some(100.0),
            ..Expectations::default()
        };
        let found = expectations(&wanted, &[leg("null")]);
        assert!(found.len() == 1 && found[0].met, "{found:?}");
    }

    #[test]
    fn bounds_on_speed_are_not_held_against_another_stack_and_errors_are() {
        let wanted = Expectations {
            errors: Some(0),
            p99_ms_max: Some(100.0),
            ..Expectations::default()
        };
        let found = expectations(&wanted.without_speed(), &[leg("preallocated")]);
        assert!(
            found.len() == 1 && found[0].what.starts_with("errors") && !found[0].met,
            "{found:?}"
        );
    }

    #[test]
    fn what_was_not_measured_meets_nothing() {
        let wanted = Expectations {
            committed_at_last_reply_min: Some(0.95),
            ..Expectations::default()
        };
        let found = expectations(&wanted, &[leg("lua-single-key")]);
        assert_eq!(
            (found[0].met, found[0].actual.as_str()),
            (false, "not measured")
        );
    }
}
