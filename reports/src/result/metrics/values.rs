//! How the values of metrics are computed that take more than a word. None where something was not
//! measured.

use super::KEEPING_UP_SHARE;
use crate::result::leg::Leg;
use crate::result::operations::{LatencyClock, Operation, OutcomeName};
use crate::result::phase::Phase;

pub(super) fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

pub(super) fn per(cpu_ns: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| cpu_ns as f64 / 1e3 / count as f64)
}

pub(super) fn mean_ms(phase: &Phase, clock: &LatencyClock) -> Option<f64> {
    let latencies = phase.latencies(clock, None);
    (!latencies.is_empty()).then(|| latencies.mean_ns() / 1e6)
}

pub(super) fn quantile_ms(phase: &Phase, quantile: f64) -> Option<f64> {
    phase.headline_latencies().quantile_ns(quantile).map(ms)
}

pub(super) fn outcome_p99_ms(phase: &Phase, outcome: &OutcomeName) -> Option<f64> {
    let latencies = phase.latencies(&phase.headline_clock(), Some(outcome));
    latencies.quantile_ns(0.99).map(ms)
}

/// From when they were due, whatever they were told.
pub(super) fn change_p99_ms(phase: &Phase, operation: &Operation) -> Option<f64> {
    let latencies = phase.latencies_of(operation, &LatencyClock::Intended, None);
    latencies.quantile_ns(0.99).map(ms)
}

pub(super) fn accepted_per_s(_: &Leg, phase: &Phase) -> Option<f64> {
    (phase.length_ns > 0).then(|| phase.purchases().accepted as f64 * 1e9 / phase.length_ns as f64)
}

pub(super) fn failed_share(_: &Leg, phase: &Phase) -> Option<f64> {
    (phase.due > 0).then(|| phase.failed_share())
}

/// Work that is put off until after the last reply counts, too. Only the last phase is drained.
pub(super) fn cpu_us_per_request_drained(leg: &Leg, phase: &Phase) -> Option<f64> {
    let is_drained = leg.measured().is_some_and(|last| last.name == phase.name);
    let cpu_ns = leg.system_cpu_until_drained_ns().filter(|_| is_drained)?;
    per(cpu_ns, phase.finished)
}

/// None when the system was keeping up, because the drain is then too short to be measured.
pub(super) fn drained_rows_per_s(leg: &Leg, phase: &Phase) -> Option<f64> {
    let (drain_ns, committed) = (leg.drain_ns?, leg.committed_at_last_reply?);
    let rows = phase.purchases().accepted as f64 * (1.0 - committed);
    (committed < KEEPING_UP_SHARE && drain_ns > 0).then(|| rows * 1e9 / drain_ns as f64)
}
