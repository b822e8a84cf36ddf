//! One run: its tool, machine, stack, scenario and legs. Reading a result checks the schema number
//! first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Leg;

/// The only schema that this version writes and reads.
pub const SCHEMA: u32 = 1;

/// When a buyer is told yes: after the broker's confirm, or right after the publish as the Go
/// project does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckMode {
    #[default]
    Confirmed,
    Published,
}

impl AckMode {
    pub const ALL: [Self; 2] = [Self::Confirmed, Self::Published];

    /// The mode that [`Self::as_str`] gives this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Published => "published",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolVersion {
    pub version: String,
    /// Empty when the tool does not run inside its repository.
    pub commit: String,
    pub dirty: bool,
    /// `release` or `debug`; the figures of a debug build say nothing about speed.
    pub profile: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: u32,
    pub memory_bytes: u64,
    pub kernel: String,
    pub os: String,
}

impl Machine {
    /// The machine in one cell of a table: `2 cores, 15.6 GiB, AMD EPYC 7763`.
    pub fn environment(&self) -> String {
        format!(
            "{} cores, {:.1} GiB, {}",
            self.cores,
            self.memory_gib(),
            self.cpu
        )
    }

    pub fn memory_gib(&self) -> f64 {
        self.memory_bytes as f64 / (1u64 << 30) as f64
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaleRecord {
    pub product_id: i64,
    pub total: i64,
    pub price_cents: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadRecord {
    pub driver: String,
    pub concurrency: u32,
    pub connections: u32,
    pub requests: u64,
    pub timeout_ms: u64,
    pub users: u64,
    pub max_quantity: u32,
    pub seed: u64,
    pub warmup_requests: u64,
}

impl LoadRecord {
    /// The load as options of ghz, the reference tool: `-c 500 -n 500000 --connections=200
    /// --timeout=2s`.
    pub fn parameters(&self) -> String {
        let timeout = match self.timeout_ms % 1000 {
            0 => format!("{}s", self.timeout_ms / 1000),
            _ => format!("{}ms", self.timeout_ms),
        };
        format!(
            "-c {} -n {} --connections={} --timeout={timeout}",
            self.concurrency, self.requests, self.connections
        )
    }
}

/// Figures measured elsewhere, with which this scenario is to be compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// What the table's columns cannot hold: errors, CPU, drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A condition that the scenario sets, and whether a leg met it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// `p99_ms_max = 100, lua-single-key, round 1`.
    pub what: String,
    pub expected: String,
    pub actual: String,
    pub met: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScenarioRecord {
    pub name: String,
    pub title: String,
    pub question: String,
    pub sales: Vec<SaleRecord>,
    pub engines: Vec<String>,
    pub load: LoadRecord,
    pub rounds: u32,
    /// The consumer was stopped until the last reply.
    #[serde(default)]
    pub consumer_held_back: bool,
    pub reference: Vec<ReferenceRow>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackRecord {
    pub kind: String,
    /// The kind, and why it was chosen: `servers: private ones on free ports, …`.
    pub why: String,
    /// Versions and every durability setting in force, `redis.appendfsync` = `everysec`.
    pub settings: BTreeMap<String, String>,
    /// Settings of the roles that the user changed for an experiment (`--set`).
    #[serde(default)]
    pub overrides: BTreeMap<String, String>,
    /// Engines that were asked for and cannot run on this stack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedEngine>,
}

impl StackRecord {
    /// Whether this is the stack without servers, whose figures are never compared with those of
    /// servers.
    pub fn is_embedded(&self) -> bool {
        self.kind == "embedded"
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedEngine {
    pub engine: String,
    /// `needs redis`.
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    pub schema: u32,
    pub id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    pub finished_at: String,
    /// False when the run was interrupted or gave up: legs may be missing.
    pub complete: bool,
    pub tool: ToolVersion,
    pub machine: Machine,
    pub command: String,
    pub scenario: ScenarioRecord,
    pub stack: StackRecord,
    pub ack: AckMode,
    pub legs: Vec<Leg>,
    pub expectations: Vec<Expectation>,
    /// What went wrong outside of any leg.
    pub error: Option<String>,
}

#[derive(Debug, Error)]
pub enum ResultError {
    #[error("this file has schema {found}, and this version reads only schema {SCHEMA}")]
    Schema { found: String },
    #[error("not a result of this tool: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl RunResult {
    /// Reads a result, and checks its schema number first, so that a file of another schema is
    /// refused for that reason and not because some field differs.
    pub fn from_json(text: &str) -> Result<Self, ResultError> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        match value.get("schema") {
            Some(schema) if schema.as_u64() == Some(u64::from(SCHEMA)) => {
                Ok(serde_json::from_value(value)?)
            }
            Some(schema) => Err(ResultError::Schema {
                found: schema.to_string(),
            }),
            None => Err(ResultError::Schema {
                found: "none".to_owned(),
            }),
        }
    }

    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("a result holds nothing that JSON cannot");
        text.push('\n');
        text
    }
}
