//! A search for the highest rate that meets an objective.

use super::scenario::Objective;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Search {
    /// Scenario and subject, by name and id.
    pub scenario: String,
    pub subject: String,
    pub objective: Objective,
    /// Ratio between neighbouring rates, 1.05.
    pub grid_ratio: f64,
    pub probes: Vec<ProbeResult>,
    /// Highest rate at which three of three legs met the objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds_per_s: Option<f64>,
    /// Lowest rate above at which three of three legs missed it; two of three where the driver
    /// reached no further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fails_per_s: Option<f64>,
    /// Throughput of a saturating closed loop within the same minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturated_per_s: Option<f64>,
    /// Why `holds_per_s` or `fails_per_s` is absent, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_why: Option<String>,
}

/// One leg of the search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeResult {
    pub leg: String,
    pub rate_per_s: f64,
    pub met: bool,
    /// What missed the objective; empty when it was met.
    pub why: String,
}
