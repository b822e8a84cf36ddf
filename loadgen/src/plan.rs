//! What one run of the driver does: where it sends, when requests arrive, when it ends, and with
//! which data. A plan is written as JSON by whoever starts a driver, or built from the options of
//! the command line; both are checked by the same rules.

mod after;
mod check;

use crate::data::DataSpec;
use crate::duration::as_ns;
use crate::{Error, Result};
use reports::result::Purpose;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use after::{Delay, Orders};
pub(crate) use check::mean_per_s;
pub use check::{
    BACKLOG_MAX, CONCURRENCY_MAX, DELAY_MAX, RATE_MAX_PER_S, REQUESTS_MAX, THREADS_MAX, TIME_MAX,
    TIMEOUT_MAX, TIMEOUT_RESOLUTION,
};

/// How many requests may wait for a connection where nobody says otherwise.
pub const BACKLOG_DEFAULT: u64 = 100_000;

/// The load of one phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadPlan {
    /// `host:port`, plain text.
    pub address: String,
    /// Name of the phase.
    pub name: String,
    pub purpose: Purpose,
    pub arrival: Arrival,
    pub end: End,
    /// How long each request is waited for, from the moment when it was due (open loop) or taken
    /// (closed) until it is given up.
    #[serde(rename = "timeout_ns", with = "as_ns")]
    pub timeout: Duration,
    pub connections: u32,
    /// Runtimes of one thread each, to which the connections are assigned in turn.
    #[serde(default = "one_thread")]
    pub threads: u32,
    pub data: Data,
    /// Request `k` uses element `(start_index + k) mod len`.
    #[serde(default)]
    pub start_index: u64,
    /// The data may end and begin again, because the same users are meant to come again and again.
    #[serde(default)]
    pub may_wrap: bool,
    /// One in this many accepted orders is reported as it is accepted.
    #[serde(default = "sample_every_default")]
    pub sample_every: u64,
    /// Keep a record per request for the outcome log (32 bytes each).
    #[serde(default)]
    pub keep_outcomes: bool,
    /// Report progress and samples while it runs.
    #[serde(default)]
    pub report: bool,
    /// Of the schedule, where it is random, and of what follows the yes. The data has a seed of its
    /// own.
    #[serde(default)]
    pub seed: u64,
    /// What follows the yes; none: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<Orders>,
    /// What it takes to ask a gateway over HTTP; none: services are asked over gRPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,
}

/// What the tokens of buyers are made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Holds the key that the system verifies tokens with.
    pub secret_file: PathBuf,
    pub issuer: String,
    pub audience: String,
}

/// When requests arrive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrival {
    /// A fixed number of workers, each with one request at a time.
    Closed {
        workers: u32,
        /// Between a reply and the next request of the same worker.
        #[serde(default, rename = "think_ns", with = "as_ns")]
        think: Duration,
    },
    /// By a schedule, whatever the server does.
    Open {
        shape: Shape,
        /// Most requests that are due and wait for a connection; more are dropped.
        #[serde(default = "backlog_default")]
        backlog_max: u64,
        /// Most requests under way at once; at that bound, due requests wait. None: no bound.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        in_flight_max: Option<u64>,
    },
}

/// Course of an open loop's rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Shape {
    /// Evenly spaced.
    Constant { rate_per_s: f64 },
    /// One constant rate after the other, each for the same share of the phase.
    Step { rates_per_s: Vec<f64> },
    /// From one rate to the other in a straight line.
    Line { from_per_s: f64, to_per_s: f64 },
    /// Everybody at once, at the start.
    Spike { buyers: u64 },
    /// Independent buyers at a mean rate.
    Poisson { rate_per_s: f64 },
}

/// When the phase ends: with so many requests, or after so long. Requests that are due or under way
/// then are still waited for, until their time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Count(u64),
    #[serde(rename = "time_ns", with = "as_ns")]
    Time(Duration),
}

/// Who asks for what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Data {
    Generated(DataSpec),
    /// A JSON array of `{"user_id", "product_id", "quantity"}`.
    File(PathBuf),
}

impl LoadPlan {
    /// A closed loop with ghz's defaults: one connection, 20 s.
    pub fn closed(address: impl Into<String>, workers: u32, requests: u64) -> Self {
        Self {
            address: address.into(),
            name: "load".to_owned(),
            purpose: Purpose::Measure,
            arrival: Arrival::Closed {
                workers,
                think: Duration::ZERO,
            },
            end: End::Count(requests),
            timeout: Duration::from_secs(20),
            connections: 1,
            threads: one_thread(),
            data: Data::Generated(DataSpec::default()),
            start_index: 0,
            may_wrap: false,
            sample_every: sample_every_default(),
            keep_outcomes: false,
            report: false,
            seed: 0,
            orders: None,
            http: None,
        }
    }

    /// An open loop of one shape, with the same defaults.
    pub fn open(address: impl Into<String>, shape: Shape, end: End) -> Self {
        Self {
            arrival: Arrival::Open {
                shape,
                backlog_max: BACKLOG_DEFAULT,
                in_flight_max: None,
            },
            end,
            ..Self::closed(address, 1, 1)
        }
    }

    /// Reads a plan. It is not checked yet.
    ///
    /// # Errors
    /// When the file cannot be read, or does not hold a plan; the error names the field.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::file("read", path, source))?;
        let mut json = serde_json::Deserializer::from_str(&text);
        serde_path_to_error::deserialize(&mut json)
            .map_err(|error| Error::Usage(format!("{}: {error}", path.display())))
    }

    /// Refuses a load that cannot be driven.
    ///
    /// # Errors
    /// [`Error::Usage`], which says what is allowed.
    pub fn check(&self) -> Result<()> {
        check::plan(self).map_err(Error::Usage)
    }

    pub fn is_open(&self) -> bool {
        matches!(self.arrival, Arrival::Open { .. })
    }
}

fn one_thread() -> u32 {
    1
}

fn sample_every_default() -> u64 {
    100
}

fn backlog_default() -> u64 {
    BACKLOG_DEFAULT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_its_json() {
        let open = LoadPlan {
            seed: 7,
            ..LoadPlan::open(
                "h:1",
                Shape::Step {
                    rates_per_s: vec![1.0, 2.5],
                },
                End::Time(Duration::from_millis(1_500)),
            )
        };
        let followed = LoadPlan {
            orders: Some(Orders {
                address: "h:2".to_owned(),
                connections: 3,
                cancel: 0.25,
                pay: 0.5,
                cancel_and_pay: 0.125,
                again: 1.0,
                twice: 0.5,
                delay: Delay {
                    min: Duration::from_millis(50),
                    max: Duration::from_millis(500),
                },
            }),
            ..LoadPlan::closed("h:1", 5, 10)
        };
        for plan in [LoadPlan::closed("h:1", 5, 10), open, followed] {
            let json = serde_json::to_string(&plan).expect("written");
            let read: LoadPlan = serde_json::from_str(&json).expect(&json);
            assert_eq!(read, plan, "{json}");
        }
    }

    #[test]
    fn a_plan_is_short_to_write() {
        let json = r#"{"address":"h:1","name":"measure","purpose":"measure",
            "arrival":{"open":{"shape":{"constant":{"rate_per_s":1000}}}},"end":{"time_ns":3000000000},
            "timeout_ns":20000000000,"connections":10,
            "data":{"generated":{"seed":1,"users":10,"products":[1],"quantity_max":2}}}"#;
        let plan: LoadPlan = serde_json::from_str(json).expect("a plan");
        plan.check().expect("valid");
        assert_eq!(plan.end, End::Time(Duration::from_secs(3)));
        assert_eq!((plan.threads, plan.sample_every), (1, 100));
    }

    #[test]
    fn an_unknown_field_is_refused_at_every_depth() {
        let json = serde_json::to_value(LoadPlan::closed("h:1", 5, 10)).expect("written");
        for path in ["", "/arrival/closed", "/data/generated"] {
            let mut json = json.clone();
            let object = json
                .pointer_mut(path)
                .and_then(|place| place.as_object_mut());
            object.expect(path).insert("colour".to_owned(), 3.into());
            let refused = serde_json::from_value::<LoadPlan>(json).expect_err("refused");
            assert!(
                refused.to_string().contains("unknown field `colour`"),
                "{path}: {refused}"
            );
        }
    }
}
