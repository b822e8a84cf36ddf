//! One run: its command, builds, machine, stack, scenarios and legs. Reading a result checks the
//! schema number first.

use super::expectation::Expectation;
use super::gate::Gate;
use super::hist::{Hist, HistError};
use super::leg::Leg;
use super::metrics::MetricDef;
use super::open_enum::open_enum;
use super::provenance::{Build, Durability, Machine, StackRecord, Subject};
use super::scenario::Scenario;
use super::search::Search;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The schema that this version writes and reads.
pub const SCHEMA: u32 = 2;
/// Revision of this reader. A result names the oldest one that understands it.
pub const READER: u32 = 1;

open_enum! {
    /// What kind of run it was.
    RunKind {
        Bench = "bench",
        /// Several scenarios.
        Matrix = "matrix",
        Search = "search",
        Gate = "gate",
        /// Load on a system that was already running.
        Load = "load",
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    pub schema: u32,
    /// Oldest revision of a reader that understands it.
    pub min_reader: u32,
    pub id: String,
    /// A name that the user gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Runs that were interleaved with each other share this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    pub kind: RunKind,
    /// Without passwords.
    pub command: Vec<String>,
    pub seed: u64,
    pub started_unix_us: i64,
    pub finished_unix_us: i64,
    /// False when the run was interrupted or gave up: legs may be missing.
    pub complete: bool,
    /// What went wrong outside of any leg.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub lab: Build,
    pub machine: Machine,
    pub stack: StackRecord,
    pub durability: Durability,
    pub scenarios: Vec<Scenario>,
    pub subjects: Vec<Subject>,
    pub legs: Vec<Leg>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub searches: Vec<Search>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expectations: Vec<Expectation>,
    /// The metrics that its readers may compute.
    pub metrics: Vec<MetricDef>,
}

#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    #[error(
        "this file has schema {found}, and this version reads only schema {SCHEMA}; run it again, or read it with the \
         version that wrote it"
    )]
    Schema { found: String },
    #[error(
        "this result needs reader {needs}, and this version is reader {READER}; read it with a newer version"
    )]
    Reader { needs: u64 },
    #[error("the file is empty")]
    Empty,
    #[error("the file was cut off: its JSON ends in the middle, in line {line}")]
    CutOff { line: usize },
    #[error("not a result of this tool: it is not text in UTF-8")]
    NotText,
    #[error("not a result of this tool: it has no schema number")]
    Foreign,
    #[error("the file is broken: in leg {leg}, {part}, {why}")]
    Histogram {
        leg: String,
        /// The phase, or what else of a leg holds the histogram.
        part: String,
        #[source]
        why: HistError,
    },
    #[error("not a result of this tool: {0}")]
    Malformed(#[source] serde_json::Error),
}

impl From<serde_json::Error> for ResultError {
    fn from(error: serde_json::Error) -> Self {
        if error.is_eof() {
            Self::CutOff { line: error.line() }
        } else {
            Self::Malformed(error)
        }
    }
}

impl Run {
    /// Reads a result, and checks its schema and reader numbers first, so that a file of another
    /// schema is refused for that reason and not because some field differs. Every histogram is read
    /// once: whoever asks for its figures later gets them, or none where none were recorded.
    pub fn from_json(text: &str) -> Result<Self, ResultError> {
        if text.trim().is_empty() {
            return Err(ResultError::Empty);
        }
        let value: serde_json::Value = serde_json::from_str(text)?;
        let schema = value.get("schema").ok_or(ResultError::Foreign)?;
        if schema.as_u64() != Some(u64::from(SCHEMA)) {
            let found = schema.to_string();
            return Err(ResultError::Schema { found });
        }
        let needs = value.get("min_reader").and_then(serde_json::Value::as_u64);
        if let Some(needs) = needs.filter(|needs| *needs > u64::from(READER)) {
            return Err(ResultError::Reader { needs });
        }
        let run: Self = serde_json::from_value(value)?;
        run.legs.iter().try_for_each(read_histograms)?;
        Ok(run)
    }

    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("a result holds nothing that JSON cannot");
        text.push('\n');
        text
    }

    pub fn subject(&self, id: &str) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.id == id)
    }

    pub fn scenario(&self, name: &str) -> Option<&Scenario> {
        self.scenarios.iter().find(|scenario| scenario.name == name)
    }

    /// Legs of one subject in one scenario, in the order in which they ran.
    pub fn legs_of<'a>(
        &'a self,
        scenario: &'a str,
        subject: &'a str,
    ) -> impl Iterator<Item = &'a Leg> {
        self.legs
            .iter()
            .filter(move |leg| leg.scenario == scenario && leg.subject == subject)
    }
}

fn read_histograms(leg: &Leg) -> Result<(), ResultError> {
    let read = |part: &str, hist: &Hist| match hist.read() {
        Ok(_) => Ok(()),
        Err(why) => Err(ResultError::Histogram {
            leg: leg.id.clone(),
            part: part.to_owned(),
            why,
        }),
    };
    for phase in &leg.phases {
        let part = format!("phase {}", phase.name);
        let latencies = phase.operations.values().flat_map(|stats| &stats.latency);
        let latencies = latencies.map(|latency| &latency.hist);
        let timeline = phase.timeline.iter().map(|interval| &interval.latency);
        let again = phase.buy_again.as_ref().map(|again| &again.hist);
        let mut all = latencies
            .chain(&phase.send_lag)
            .chain(again)
            .chain(timeline);
        all.try_for_each(|hist| read(&part, hist))?;
    }
    let durable = leg.durable.as_ref();
    durable.map_or(Ok(()), |durable| read("time until durable", &durable.hist))
}

/// The JSON Schema of results, as it stands in the tree.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(Run);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text.push('\n');
    text
}
