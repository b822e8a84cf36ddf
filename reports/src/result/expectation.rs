//! A condition that a scenario or the command line sets, and whether a leg met it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Expectation {
    /// Id of a [`super::MetricDef`].
    pub metric: String,
    /// Leg that it was held against.
    pub leg: String,
    /// `<`, `<=`, `>`, `>=` or `==`.
    pub relation: String,
    pub bound: f64,
    /// Absent when it was not measured, which meets no expectation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual: Option<f64>,
    pub met: bool,
}
