//! One leg of a run: one subject, one round, with everything that was measured about it.

use super::audit::AuditReport;
use super::hist::Hist;
use super::open_enum::open_enum;
use super::phase::{Phase, system_cpu_ns};
use super::scenario::Purpose;
use super::usage::UsageByProcess;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

open_enum! {
    /// What a reader must know before they use a leg's figures.
    Flag {
        /// A profiler ran, which costs.
        Profiled = "profiled",
        /// The data ended and began again, so that buyers came twice who should not.
        DataWrapped = "data_wrapped",
        /// Stock ran out although the scenario does not ask for it.
        StockEnded = "stock_ended",
        /// Measured for less than three seconds.
        ShortWindow = "short_window",
        /// Less than three seconds of warm-up.
        ShortWarmUp = "short_warm_up",
        /// The data of the servers lay in memory, so that "durable" means nothing.
        Tmpfs = "tmpfs",
        /// The system or the driver did not keep up with the schedule.
        RateMissed = "rate_missed",
        DriverSaturated = "driver_saturated",
        /// Little's law does not hold, so the driver's clocks are not to be trusted.
        LittleBroken = "little_broken",
    }
}

impl Flag {
    /// Whether a leg with this flag may not be ranked against others.
    pub fn unranks(&self) -> bool {
        matches!(
            self,
            Self::Profiled | Self::DataWrapped | Self::StockEnded | Self::LittleBroken
        )
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Leg {
    pub id: String,
    /// Name of its scenario and id of its subject.
    pub scenario: String,
    pub subject: String,
    /// From 1.
    pub round: u32,
    /// Position in the order of the run, from 1.
    pub position: u32,
    /// Gate only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<Pair>,
    /// Search only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    pub started_unix_us: i64,
    pub ended_unix_us: i64,
    /// False when the leg was interrupted or failed before its audit. Its figures are then those
    /// measured until that moment.
    pub complete: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub flags: BTreeSet<Flag>,
    pub phases: Vec<Phase>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durable: Option<Durable>,
    /// Share of accepted units committed at the last reply, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_at_last_reply: Option<f64>,
    /// From the last reply until everything accepted was committed and settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_ns: Option<u64>,
    /// From the start of the measured phase to the end of the drain.
    #[serde(default, skip_serializing_if = "UsageByProcess::is_empty")]
    pub usage_until_drained: UsageByProcess,
    /// Bytes that the measured phase and its drain added to the servers' folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// Absent when the leg ended before its audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditReport>,
}

/// Place of a leg in a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pair {
    pub block: u32,
    /// Order of the subjects within the block.
    pub order: Vec<u16>,
    pub attempt: u32,
    /// Why the block does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void: Option<String>,
}

/// Place of a leg in a search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// Index of the search in the run.
    pub search: u32,
    pub step: u32,
}

/// Time from the reply "accepted" at the driver to a committed row, as a reader sees it that polls
/// the database on a connection of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Durable {
    /// An order that stands for others which were left out counts for them too, so this holds more
    /// than `samples` values.
    pub hist: Hist,
    /// Orders that were followed until their row was there.
    pub samples: u64,
    /// Samples that still had no row when the leg was drained or given up.
    pub missing: u64,
    /// Samples that were not followed because too many were waiting.
    pub left_out: u64,
    /// Rows that took longer than the distribution tells apart.
    pub overflow: u64,
    /// Time between two looks that was really kept: a value may be too large by it.
    pub poll_gap_p50_ns: u64,
    pub poll_gap_p99_ns: u64,
}

impl Leg {
    /// A leg of which nothing has been measured yet.
    pub fn begin(
        id: impl Into<String>,
        scenario: impl Into<String>,
        subject: impl Into<String>,
        round: u32,
        position: u32,
    ) -> Self {
        Self {
            id: id.into(),
            scenario: scenario.into(),
            subject: subject.into(),
            round,
            position,
            pair: None,
            probe: None,
            started_unix_us: 0,
            ended_unix_us: 0,
            complete: false,
            error: None,
            flags: BTreeSet::new(),
            phases: Vec::new(),
            durable: None,
            committed_at_last_reply: None,
            drain_ns: None,
            usage_until_drained: UsageByProcess::new(),
            disk_bytes: None,
            audit: None,
        }
    }

    /// The phase whose figures stand for the leg: the last one that measures.
    pub fn measured(&self) -> Option<&Phase> {
        let measures = |phase: &&Phase| phase.purpose == Purpose::Measure;
        self.phases.iter().rfind(measures)
    }

    /// CPU of the system's processes until everything was drained, in ns.
    pub fn system_cpu_until_drained_ns(&self) -> Option<u64> {
        system_cpu_ns(&self.usage_until_drained)
    }
}
