//! The result of a run as it is written to disk: schema 2. Ranking, comparison, gate, search,
//! history and every report read it, so nothing is measured twice. What can be computed from it
//! (percentiles, ratios, ranks) is computed by one function and never stored.
//!
//! Units stand last in names. A field that is absent was not measured or does not apply. Readers
//! ignore fields that they do not know, and every set of names is open: a name that a reader does
//! not know arrives as `Other`. Instants are Unix microseconds, lengths nanoseconds.

mod audit;
mod expectation;
mod gate;
mod hist;
mod leg;
mod metrics;
mod open_enum;
mod operations;
mod phase;
mod provenance;
mod run;
mod scenario;
mod search;
mod usage;

pub use audit::{AuditCheck, AuditReport, AuditVerdict};
pub use expectation::Expectation;
pub use gate::{Cause, Gate, GateHead, GateLook, GateMetric, LnRatio, Verdict};
pub use hist::{Hist, HistError, HistRecorder, LATENCY_MAX_NS, LATENCY_MIN_NS, Latencies};
pub use leg::{Durable, Flag, Leg, Pair, Probe};
pub use metrics::{Good, KEEPING_UP_SHARE, METRICS, Metric, MetricDef, UnknownMetric, metric};
pub use operations::{Latency, LatencyClock, OpStats, Operation, OutcomeName, Outcomes};
pub use phase::{ACHIEVED_SHARE_MIN, BuyAgain, InFlight, Interval, Little, Phase};
pub use provenance::{
    Ack, AppliedLimits, Build, Durability, LimitsBy, Machine, QueueKind, Scratch, Sees, Side,
    StackRecord, Standing, Subject,
};
pub use run::{READER, ResultError, Run, RunKind, SCHEMA, json_schema};
pub use scenario::{
    AfterYes, Arrival, ArrivalShape, DataPlan, DriverKind, DriverRecord, LimitsWanted, Objective,
    PhaseEnd, PhasePlan, Popularity, Purpose, Rate, ReferenceRow, SaleRecord, Scenario,
};
pub use search::{ProbeResult, Search};
pub use usage::{
    BusiestThread, DRIVER, LAB, Limit, LimitBy, Noise, Usage, UsageByProcess, UsageSource,
    is_system_process,
};
