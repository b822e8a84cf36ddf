//! One line of a history: one head against the anchor, on one class of machines, in one scenario.

use crate::result::{LnRatio, Verdict};
use crate::stats::{hodges_lehmann, middle_bounds};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the lines that this lab reads and writes.
pub const VERSION: u32 = 1;
/// Each of the two bounds of a ratio is wrong with at most this probability: both together hold the
/// ratio in 95 % of all cases.
pub const MIDDLE_ERROR: f64 = 0.025;

/// Readers ignore fields that they do not know. Units stand last in names; a ratio is head by anchor,
/// as a natural logarithm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Version of the line's format.
    pub history: u32,
    /// Id of the run. Several heads of one run are several lines.
    pub run: String,
    /// When the run began.
    pub measured_unix_us: i64,
    #[serde(flatten)]
    pub key: Key,
    /// From 1; a new anchor begins the next one.
    pub segment: u32,
    pub anchor: Commit,
    pub head: Commit,
    /// Rate of the open phase.
    pub rate_per_s: f64,
    /// What the gate said of the head.
    pub verdict: Verdict,
    /// By the id of the metric.
    pub metrics: BTreeMap<String, Ratio>,
}

impl Line {
    /// Whether both are of one commit in one series. Changes that no commit holds are told apart by
    /// the binary.
    pub(super) fn repeats(&self, other: &Self) -> bool {
        let same_series = (&self.key, self.segment) == (&other.key, other.segment);
        same_series && self.head.is_same(&other.head)
    }
}

/// What two lines must have in common to belong to one series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    pub scenario: String,
    pub scenario_sha256: String,
    /// With its parameters, as in `sharded-slots?slots=4`.
    pub engine: String,
    /// Class of the machine.
    pub machine: String,
    /// Stack, durability, limits and changed settings, by name.
    pub conditions: BTreeMap<String, String>,
}

impl Key {
    /// `lua-single-key in gate on AMD EPYC 7763, 2 cores, 16 GiB, kvm`.
    pub fn described(&self) -> String {
        format!("{} in {} on {}", self.engine, self.scenario, self.machine)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub commit: String,
    /// It was built with changes that no commit holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dirty: bool,
    /// Of the binary.
    pub sha256: String,
}

impl Commit {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let same_bytes = !self.dirty || self.sha256 == other.sha256;
        (&self.commit, self.dirty) == (&other.commit, other.dirty) && same_bytes
    }

    /// The first 12 digits, with a `+` behind them where there were changes.
    pub fn short(&self) -> String {
        let digits: String = self.commit.chars().take(12).collect();
        format!("{digits}{}", if self.dirty { "+" } else { "" })
    }
}

/// The ratio of one metric, head by anchor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// Blocks that count.
    pub blocks: u32,
    /// Hodges–Lehmann estimate; infinite when the head missed a rate that the anchor kept.
    pub ln: LnRatio,
    /// Bounds by the signed-rank test, see [`MIDDLE_ERROR`]; infinite with fewer than six blocks.
    pub lower_ln: LnRatio,
    pub upper_ln: LnRatio,
    /// Standard deviation of the blocks; absent where it is not finite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
}

impl Ratio {
    /// None without a block.
    pub(super) fn of(differences: &[LnRatio], spread: f64) -> Option<Self> {
        let differences: Vec<f64> = differences.iter().map(|d| d.0).collect();
        let (lower, upper) = middle_bounds(&differences, MIDDLE_ERROR);
        Some(Self {
            blocks: u32::try_from(differences.len()).ok()?,
            ln: LnRatio(hodges_lehmann(&differences)?),
            lower_ln: LnRatio(lower),
            upper_ln: LnRatio(upper),
            spread: spread.is_finite().then_some(spread),
        })
    }
}
