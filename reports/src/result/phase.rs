//! One phase of a leg: what was offered, what came of it, and what it cost.

use super::hist::{Hist, Latencies};
use super::operations::{LatencyClock, OpStats, Operation, OutcomeName, Outcomes};
use super::scenario::Purpose;
use super::usage::{Limit, Noise, UsageByProcess, is_system_process};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    pub name: String,
    pub purpose: Purpose,
    pub start_unix_us: i64,
    /// From the first request that was due (open) or taken (closed) to the end of the last purchase.
    pub length_ns: u64,
    /// From there to the end of the last cancel or pay, which the usage covers, too; 0 where none
    /// ended later.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tail_ns: u64,
    /// Open only: mean rate of the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered_per_s: Option<f64>,
    /// Requests that the schedule, or the workers, wanted to send, and what buyers wanted to do after
    /// the yes. In an open loop `due = sent + dropped + waiting_at_end`, but for what was wanted after
    /// the yes and could not be sent: that ends as an error.
    pub due: u64,
    pub sent: u64,
    pub waiting_at_end: u64,
    /// Requests that ended, in a reply or otherwise.
    pub finished: u64,
    /// Never sent, by the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, u64>,
    pub operations: BTreeMap<Operation, OpStats>,
    /// Only where buyers who cancelled bought again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buy_again: Option<BuyAgain>,
    /// Status of gRPC, or the driver's own reason, and its number of requests. That of a cancel or a
    /// pay begins with the name of the operation.
    pub statuses: BTreeMap<String, u64>,
    /// Open only: real send minus intended send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_lag: Option<Hist>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<InFlight>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub little: Option<Little>,
    pub timeline: Vec<Interval>,
    pub usage: UsageByProcess,
    pub noise: Noise,
    pub limit: Limit,
}

fn is_zero(ns: &u64) -> bool {
    *ns == 0
}

/// From this share of what was offered on, a rate was kept.
pub const ACHIEVED_SHARE_MIN: f64 = 0.98;

/// Requests under way, sampled at fixed times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InFlight {
    pub sampled_mean: f64,
    pub max: u64,
    pub samples: u64,
}

/// How soon buyers could buy again after a cancel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BuyAgain {
    /// From when the cancel that was accepted was due to the yes to the next purchase, of those who
    /// were told yes.
    pub hist: Hist,
    /// Purchases that came too early: answered with the cancelled order, or refused as sold out, and
    /// tried again.
    pub retries: u64,
    /// Buyers who were not told yes within the time that they try. Whoever was still trying when the
    /// run was told to stop is not among them.
    pub gave_up: u64,
}

/// Little's law in a closed loop: workers that are never idle make throughput times mean latency
/// equal to their number. A driver whose clocks lie breaks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Little {
    /// The number of workers.
    pub expected: f64,
    /// Throughput by mean latency from the moment a worker took its request.
    pub measured: f64,
    /// Whether there were enough requests (20 per worker) for the law to hold within 2 %.
    pub applies: bool,
}

impl Little {
    /// How far both may be apart.
    pub const TOLERANCE: f64 = 0.02;
    /// Requests per worker from which on the law is held against a phase.
    pub const REQUESTS_PER_WORKER_MIN: u64 = 20;

    pub fn holds(&self) -> bool {
        !self.applies || (self.measured / self.expected - 1.0).abs() <= Self::TOLERANCE
    }
}

/// One interval of the timeline, which is of purchases alone; all of a phase have the same length but the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Since the start of the phase.
    pub t_ns: u64,
    pub length_ns: u64,
    pub due: u64,
    pub sent: u64,
    pub dropped: u64,
    /// Of those that ended in the interval.
    pub counts: Outcomes,
    /// Of those that ended in the interval, by the phase's headline clock.
    pub latency: Hist,
    /// Committed so far, as the allocation guard counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_units: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steal_ns: Option<u64>,
}

impl Phase {
    /// The clock whose latencies stand for the phase: what a buyer would feel. That is the intended
    /// send in an open loop, and the taking in a closed one.
    pub fn headline_clock(&self) -> LatencyClock {
        if self.offered_per_s.is_some() {
            LatencyClock::Intended
        } else {
            LatencyClock::Taken
        }
    }

    /// Outcomes over all operations.
    pub fn outcomes(&self) -> Outcomes {
        let mut sum = Outcomes::default();
        for stats in self.operations.values() {
            sum.add(&stats.counts);
        }
        sum
    }

    /// Outcomes of the purchases alone.
    pub fn purchases(&self) -> Outcomes {
        let stats = self.operations.get(&Operation::Buy);
        stats.map_or_else(Outcomes::default, |stats| stats.counts)
    }

    pub fn units_accepted(&self) -> u64 {
        let units = |stats: &OpStats| stats.units_accepted;
        self.operations.values().map(units).sum()
    }

    /// Requests that were never sent.
    pub fn dropped_in_all(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Errors, unknown outcomes and drops, as a share of what was due; 0 where nothing was.
    pub fn failed_share(&self) -> f64 {
        let failed = self.outcomes().failed() + self.dropped_in_all();
        match self.due {
            0 => 0.0,
            due => failed as f64 / due as f64,
        }
    }

    /// Finished purchases per second; 0 in an empty phase.
    pub fn finished_per_s(&self) -> f64 {
        per_s(self.purchases().total(), self.length_ns)
    }

    /// Accepted purchases per second; 0 in an empty phase.
    pub fn accepted_per_s(&self) -> f64 {
        per_s(self.purchases().accepted, self.length_ns)
    }

    /// Of the purchases that were due, the share that finished, in whatever way; 1 where none was due.
    /// What buyers want after the yes always finishes, unless the run is told to stop.
    pub fn finished_share(&self) -> f64 {
        let finished = self.purchases().total();
        match finished + self.due.saturating_sub(self.finished) {
            0 => 1.0,
            due => finished as f64 / due as f64,
        }
    }

    /// Whether less came through of an open loop than was due; never so of a closed one.
    pub fn missed_its_rate(&self) -> bool {
        self.offered_per_s.is_some() && self.finished_share() < ACHIEVED_SHARE_MIN
    }

    /// Latencies of purchases by one clock, of one outcome or of all.
    pub fn latencies(&self, clock: &LatencyClock, outcome: Option<&OutcomeName>) -> Latencies {
        self.latencies_of(&Operation::Buy, clock, outcome)
    }

    /// Latencies of one operation by one clock, of one outcome or of all. Empty where nothing was
    /// recorded; what cannot be read is refused when a result is.
    pub fn latencies_of(
        &self,
        operation: &Operation,
        clock: &LatencyClock,
        outcome: Option<&OutcomeName>,
    ) -> Latencies {
        let mut merged = Latencies::new();
        let stats = self.operations.get(operation);
        let all = stats.into_iter().flat_map(|stats| &stats.latency);
        let wanted = all.filter(|latency| {
            latency.clock == *clock && outcome.is_none_or(|outcome| latency.outcome == *outcome)
        });
        for latency in wanted {
            if let Ok(read) = latency.hist.read() {
                merged.merge(&read);
            }
        }
        merged
    }

    /// Latencies of every purchase that ended, by [`Self::headline_clock`].
    pub fn headline_latencies(&self) -> Latencies {
        self.latencies(&self.headline_clock(), None)
    }

    /// CPU of the system's processes, in ns; none where no usage was read.
    pub fn system_cpu_ns(&self) -> Option<u64> {
        system_cpu_ns(&self.usage)
    }
}

/// CPU of all processes but the driver and the lab; none where none was seen.
pub(super) fn system_cpu_ns(usage: &UsageByProcess) -> Option<u64> {
    let mut system = usage
        .iter()
        .filter(|(name, _)| is_system_process(name))
        .map(|(_, usage)| usage.cpu_ns())
        .peekable();
    system.peek().is_some().then(|| system.sum())
}

pub(super) fn per_s(count: u64, length_ns: u64) -> f64 {
    match length_ns {
        0 => 0.0,
        length_ns => count as f64 * 1e9 / length_ns as f64,
    }
}
