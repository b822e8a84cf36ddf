//! The question that a run answers, and the load that answers it.

use super::open_enum::open_enum;
use super::operations::Operation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scenario {
    pub name: String,
    /// Of the scenario as it was run, options of the command line included: two runs answer the
    /// same question exactly when these are equal.
    pub sha256: String,
    pub title: String,
    pub question: String,
    pub sales: Vec<SaleRecord>,
    /// After which an order that was not paid was cancelled; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_pay_ns: Option<u64>,
    pub phases: Vec<PhasePlan>,
    pub rounds: u32,
    /// The consumer was stopped until the last reply.
    #[serde(default)]
    pub consumer_held_back: bool,
    /// Stock that runs out belongs to the question, and takes no leg out of the ranking.
    #[serde(default)]
    pub may_sell_out: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits_wanted: Option<LimitsWanted>,
    pub reference: Vec<ReferenceRow>,
}

impl Scenario {
    /// The phase whose figures stand for a leg: the last one that measures.
    pub fn measured_phase(&self) -> Option<&PhasePlan> {
        let measures = |phase: &&PhasePlan| phase.purpose == Purpose::Measure;
        self.phases.iter().rfind(measures)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SaleRecord {
    pub product_id: i64,
    pub total: i64,
    pub price_cents: i64,
}

/// What a rate must meet to count as served.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Objective {
    /// From the intended send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ns_max: Option<u64>,
    /// Errors, unknown outcomes and drops, as a share of what was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_share_max: Option<f64>,
}

/// Resources that system and servers were meant to have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LimitsWanted {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

open_enum! {
    /// What a phase is for.
    Purpose {
        WarmUp = "warm_up",
        /// Its throughput is what rates of later phases are shares of.
        Calibrate = "calibrate",
        Measure = "measure",
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhasePlan {
    pub name: String,
    pub purpose: Purpose,
    /// Products that are asked for, by popularity, the most popular first.
    pub products: Vec<i64>,
    pub driver: DriverRecord,
    pub arrival: Arrival,
    pub end: PhaseEnd,
    pub data: DataPlan,
}

/// When a phase ends: exactly one of the two is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseEnd {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ns: Option<u64>,
}

open_enum! {
    /// Which products buyers prefer.
    Popularity { Uniform = "uniform", Zipf = "zipf" }
}

/// Who asks for what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DataPlan {
    pub users: u64,
    pub popularity: Popularity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zipf_exponent: Option<f64>,
    /// Share of each operation, where requests of several are mixed; absent when all are purchases,
    /// or follow one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mix: BTreeMap<Operation, f64>,
    /// Each purchase asks for 1 to this many units.
    pub quantity_max: u32,
    pub seed: u64,
    /// The same users may come again, because the scenario wants it.
    #[serde(default)]
    pub may_wrap: bool,
    /// What follows an accepted order; absent where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<AfterYes>,
}

/// What buyers do after the yes. The first three are shares of the accepted orders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AfterYes {
    pub cancel: f64,
    pub pay: f64,
    /// Both at once, so that they race.
    pub cancel_and_pay: f64,
    /// Of the cancels that were done, the share after which the buyer buys again.
    pub again: f64,
    /// Of the cancels, the share that is sent twice.
    pub twice: f64,
    /// From the yes to what follows, drawn evenly.
    pub delay_min_ns: u64,
    pub delay_max_ns: u64,
}

open_enum! {
    /// What sends the load.
    DriverKind {
        GrpcFast = "grpc",
        GrpcTonic = "grpc_tonic",
        HttpFast = "http",
        Goose = "goose",
        Ghz = "ghz",
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DriverRecord {
    pub kind: DriverKind,
    pub version: String,
    pub threads: u32,
    pub connections: u32,
    pub timeout_ns: u64,
    pub tls: bool,
    /// How sends are timed, for example `timerfd`; absent in a closed loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pacing: Option<String>,
}

open_enum! {
    /// When requests arrive.
    ArrivalShape {
        /// A fixed number of workers, each with one request at a time.
        Closed = "closed",
        /// Open: evenly spaced.
        Constant = "constant",
        /// Open: one constant rate after the other, each for the same share of the phase.
        Step = "step",
        /// Open: from the first rate to the last, in a straight line.
        Line = "line",
        /// Open: everybody at once.
        Spike = "spike",
        /// Open: independent buyers at a mean rate.
        Poisson = "poisson",
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Arrival {
    pub shape: ArrivalShape,
    /// Closed only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think_ns: Option<u64>,
    /// Open only: one rate, or several for `step`, or two for `line`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<Rate>,
    /// Open only: most requests that wait for a connection; more are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog_max: Option<u64>,
    /// Open only: most requests under way at once; at that bound, due requests wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight_max: Option<u64>,
}

impl Arrival {
    pub fn is_open(&self) -> bool {
        self.shape != ArrivalShape::Closed
    }
}

/// A rate as it was asked for: absolute, or as a share of a throughput that was measured before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_s: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// What it is a share of: the name of a phase of the same leg, or `slowest`, the lowest capacity
    /// of all subjects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

/// Figures measured elsewhere, with which this scenario is to be compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceRow {
    pub label: String,
    /// Where the figures were published, or how they were measured.
    pub source: String,
    pub parameters: String,
    pub requests: u64,
    pub total_s: f64,
    pub mean_ms: f64,
    pub requests_per_s: f64,
    pub p99_ms: f64,
    pub environment: String,
    /// What the columns of a table cannot hold: errors, CPU, drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
