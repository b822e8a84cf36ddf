//! Chooses the leg that represents an engine: its only one, or the round of median throughput. A
//! whole leg is chosen rather than a median per column, so that the figures of a row belong
//! together.

use crate::model::{AuditVerdict, Leg, NULL_ENGINE, RunResult};

#[derive(Debug)]
pub(super) struct EngineRow<'a> {
    pub leg: &'a Leg,
    /// From how many rounds the leg was chosen. Failed and interrupted ones count only if there are
    /// no others.
    pub of_rounds: usize,
    /// Slowest and fastest of those rounds in requests/s, when there was more than one.
    pub range: Option<(f64, f64)>,
    pub ratio_to_null: Option<Ratio>,
    /// Rounds of this engine whose audit failed, whichever leg represents it.
    pub failed_audits: Vec<u32>,
}

impl EngineRow<'_> {
    /// Whether the engine has a place in the ranking. A leg that lost an order has failed, however
    /// fast it was; one that did not end has no result; and `null` is no competitor, but the
    /// ceiling of the path around the engine.
    pub(super) fn is_ranked(&self) -> bool {
        let audited = self.leg.audit.is_some() && self.failed_audits.is_empty();
        self.leg.complete && audited && !self.is_null()
    }

    pub(super) fn is_null(&self) -> bool {
        self.leg.engine == NULL_ENGINE
    }
}

/// Throughput against `null` in the same rounds: the median, and the range when there was more than
/// one round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratio {
    pub median: f64,
    pub range: Option<(f64, f64)>,
}

/// One row per engine, in the order in which the engines first ran.
pub(super) fn engine_rows(run: &RunResult) -> Vec<EngineRow<'_>> {
    let mut names: Vec<&str> = Vec::new();
    for leg in &run.legs {
        if !names.contains(&leg.engine.as_str()) {
            names.push(&leg.engine);
        }
    }
    names
        .into_iter()
        .filter_map(|name| engine_row(run, name))
        .collect()
}

fn engine_row<'a>(run: &'a RunResult, name: &str) -> Option<EngineRow<'a>> {
    let mut legs: Vec<&Leg> = run.legs.iter().filter(|leg| leg.engine == name).collect();
    if legs.iter().any(|leg| leg.complete) {
        legs.retain(|leg| leg.complete);
    }
    legs.sort_by(|a, b| a.requests_per_s.total_cmp(&b.requests_per_s));
    let leg = *legs.get(legs.len().saturating_sub(1) / 2)?;
    let has_failed = |leg: &&&Leg| {
        leg.audit
            .as_ref()
            .is_some_and(|report| report.verdict == AuditVerdict::Failed)
    };
    let mut failed_audits: Vec<u32> = legs
        .iter()
        .filter(has_failed)
        .map(|leg| leg.round)
        .collect();
    failed_audits.sort_unstable();
    let range = match legs.as_slice() {
        [slowest, .., fastest] => Some((slowest.requests_per_s, fastest.requests_per_s)),
        _ => None,
    };
    Some(EngineRow {
        leg,
        of_rounds: legs.len(),
        range,
        ratio_to_null: ratio_to_null(run, name),
        failed_audits,
    })
}

fn ratio_to_null(run: &RunResult, name: &str) -> Option<Ratio> {
    let complete = |engine: &'static str| {
        run.legs
            .iter()
            .filter(move |leg| leg.complete && leg.engine == engine && leg.requests_per_s > 0.0)
    };
    if name == NULL_ENGINE {
        return None;
    }
    let mut ratios: Vec<f64> = complete(NULL_ENGINE)
        .filter_map(|null| {
            let other = run
                .legs
                .iter()
                .find(|leg| leg.complete && leg.engine == name && leg.round == null.round)?;
            Some(other.requests_per_s / null.requests_per_s)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let median = *ratios.get(ratios.len().saturating_sub(1) / 2)?;
    let range = (ratios.len() > 1).then(|| (ratios[0], ratios[ratios.len() - 1]));
    Some(Ratio { median, range })
}
