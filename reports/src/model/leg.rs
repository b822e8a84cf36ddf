//! One leg of a run: one engine, one round, with everything that was measured about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AuditReport, LatencySummary};

/// What the buyers were told, counted once per request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeCounts {
    pub accepted: u64,
    pub refused: u64,
    /// Answered with an order that the same buyer was already given.
    pub duplicate: u64,
    pub error: u64,
    /// Sent, but without an answer, so that it is not known whether there is an order.
    pub unknown: u64,
}

impl OutcomeCounts {
    pub fn total(&self) -> u64 {
        self.accepted + self.refused + self.duplicate + self.error + self.unknown
    }
}

/// What a process and its children used: CPU since the leg's load began, and the peak of memory
/// since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub cpu_us: u64,
    pub peak_rss_bytes: u64,
}

/// Name of the process that sends the load.
pub const DRIVER: &str = "driver";
/// Name of the process that runs the legs and watches them.
pub const LAB: &str = "lab";
/// The engine that sells nothing: it shows the ceiling of the path around an engine.
pub const NULL_ENGINE: &str = "null";

/// Whether a process belongs to the system that is measured: all but the driver and the lab do.
pub fn is_system_process(name: &str) -> bool {
    name != DRIVER && name != LAB
}

/// Usage by the name of the process: `driver`, `lab`, each role (`seckill`, `create-consumer`, …)
/// and each server (`redis`, …).
pub type UsageByProcess = BTreeMap<String, Usage>;

/// Time from the reply "accepted" at the driver to a committed row, as a reader sees it that polls
/// the database on a connection of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DurableLatency {
    pub summary: LatencySummary,
    pub samples: u64,
    /// Samples that still had no row when the leg was drained or given up.
    pub missing: u64,
    /// Time between two polls. A value may be too large by this much and the duration of a poll.
    pub resolution_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimelinePoint {
    /// Since the first send.
    pub t_ms: u64,
    pub rps: f64,
    pub p99_us: u64,
    /// Units committed so far, as the allocation guard counts them.
    pub committed_units: u64,
}

/// CPU of every server process (services, consumers, Redis, broker, database), divided by accepted
/// orders.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SystemCpuPerOrder {
    /// From first send to last reply.
    pub until_reply_us: f64,
    /// From first send until everything accepted was in the database and settled; none when that
    /// was never reached.
    pub until_drained_us: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    pub engine: String,
    /// From 1.
    pub round: u32,
    /// False when the leg was interrupted or failed before its audit. Its figures are then those
    /// measured until that moment.
    pub complete: bool,
    pub counts: OutcomeCounts,
    /// Requests that have ended, in a reply or in an error.
    pub requests: u64,
    pub requests_planned: u64,
    pub accepted_units: u64,
    /// From first send to last reply.
    pub total_s: f64,
    pub requests_per_s: f64,
    /// From send to reply, of every request.
    pub latency: LatencySummary,
    /// gRPC status, or the driver's own reason, and its number of requests.
    pub statuses: Vec<(String, u64)>,
    pub durable_latency: Option<DurableLatency>,
    /// Share of accepted units committed at the last reply, 0 to 1.
    pub committed_at_last_reply: Option<f64>,
    /// From the last reply until everything accepted was committed and settled.
    pub drain_s: Option<f64>,
    pub usage_until_reply: UsageByProcess,
    pub usage_until_drained: Option<UsageByProcess>,
    pub system_cpu_per_order: Option<SystemCpuPerOrder>,
    pub timeline: Vec<TimelinePoint>,
    /// None when the leg ended before its audit.
    pub audit: Option<AuditReport>,
    pub error: Option<String>,
}

/// A system is keeping up if at least this share of the accepted rows is committed at the last
/// reply.
pub const KEEPING_UP: f64 = 0.95;

impl Leg {
    /// Rows per second that were committed after the last reply; none if the system was keeping up,
    /// because the drain is then too short to be measured.
    pub fn drained_rows_per_s(&self) -> Option<f64> {
        let (drain_s, committed) = (self.drain_s?, self.committed_at_last_reply?);
        let rows = self.counts.accepted as f64 * (1.0 - committed);
        (committed < KEEPING_UP && drain_s > 0.0).then(|| rows / drain_s)
    }

    /// A leg of which nothing has been measured yet.
    pub fn begin(engine: impl Into<String>, round: u32, requests_planned: u64) -> Self {
        Self {
            engine: engine.into(),
            round,
            complete: false,
            counts: OutcomeCounts::default(),
            requests: 0,
            requests_planned,
            accepted_units: 0,
            total_s: 0.0,
            requests_per_s: 0.0,
            latency: LatencySummary::default(),
            statuses: Vec::new(),
            durable_latency: None,
            committed_at_last_reply: None,
            drain_s: None,
            usage_until_reply: UsageByProcess::new(),
            usage_until_drained: None,
            system_cpu_per_order: None,
            timeline: Vec::new(),
            audit: None,
            error: None,
        }
    }
}
