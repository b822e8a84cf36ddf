//! The result of one run, as it is written to disk: `schema` 1. Readers refuse every other schema
//! number instead of guessing. Units are last in names; times of day are Unix microseconds or RFC
//! 3339 text, in UTC.

mod latency;
mod leg;
mod run;

pub use crate::result::{AuditCheck, AuditReport, AuditVerdict};
pub use latency::LatencySummary;
pub use leg::{
    DRIVER, DurableLatency, LAB, Leg, NULL_ENGINE, OutcomeCounts, SystemCpuPerOrder, TimelinePoint,
    Usage, UsageByProcess, is_system_process,
};
pub use run::{
    AckMode, Expectation, LoadRecord, Machine, ReferenceRow, ResultError, RunResult, SCHEMA,
    SaleRecord, ScenarioRecord, SkippedEngine, StackRecord, ToolVersion,
};
