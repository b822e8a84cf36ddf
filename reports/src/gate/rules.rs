//! What a gate holds against a head: metrics with their thresholds, looks with their errors, and what
//! makes a block void.

use crate::result::{Leg, Phase, Purpose};

#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    pub metrics: Vec<MetricRule>,
    /// In order, each with more blocks than the one before.
    pub looks: Vec<Look>,
    /// With more attempts void than this, nothing was measured.
    pub voided_max: u32,
    /// A benchmark whose instruction count rises by more than this, as a logarithm, fails its head.
    /// None where counts only inform.
    pub strict_instructions: Option<f64>,
    pub void: VoidLimits,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricRule {
    /// Id of a metric of the registry whose good direction is up or down.
    pub metric: &'static str,
    pub phase: GatePhase,
    /// A worse estimate than this fails, `ln(head/base)`: below 0 where up is good.
    pub threshold_ln: f64,
}

/// The phase of a leg whose value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatePhase {
    /// The last measuring phase at an offered rate.
    Open,
    /// The last measuring phase without one: a closed loop.
    Saturating,
}

/// A moment at which the blocks so far are judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Blocks that count.
    pub blocks: u32,
    /// One-sided error of a FAIL over all metrics. The sum over all looks bounds the probability
    /// that a head that changes nothing fails.
    pub alpha: f64,
    /// One-sided error of the bound that must lie inside the threshold for a PASS, of each metric.
    /// The sum over all looks bounds the probability that a head at a threshold passes.
    pub pass_error: f64,
}

/// From where on something outside both builds makes a block void. Shares are of the time of all
/// cores within a measured phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VoidLimits {
    pub steal_share_max: f64,
    pub foreign_share_max: f64,
    /// Samples of the lab's clock that a measured phase may miss.
    pub samples_missed_max: u64,
    /// Share of its time for which the busiest thread of the driver may run in a leg of the base.
    pub driver_busy_share_max: f64,
}

impl Default for Rules {
    /// Throughput 5 %, P99 10 %, CPU per finished request until drained 2 %; 10 blocks at α = .004, 20 at .016.
    fn default() -> Self {
        let rule = |metric, phase, ratio: f64| MetricRule {
            metric,
            phase,
            threshold_ln: ratio.ln(),
        };
        let look = |blocks, alpha, pass_error| Look {
            blocks,
            alpha,
            pass_error,
        };
        Self {
            metrics: vec![
                rule("throughput_per_s", GatePhase::Saturating, 0.95),
                rule("p99_ms", GatePhase::Open, 1.10),
                rule("cpu_us_per_request_drained", GatePhase::Saturating, 1.02),
            ],
            looks: vec![look(10, 0.004, 0.01), look(20, 0.016, 0.05)],
            voided_max: 5,
            strict_instructions: None,
            void: VoidLimits::default(),
        }
    }
}

impl VoidLimits {
    /// Every block counts, whatever else the machine did.
    pub const NONE: Self = Self {
        steal_share_max: f64::INFINITY,
        foreign_share_max: f64::INFINITY,
        samples_missed_max: u64::MAX,
        driver_busy_share_max: f64::INFINITY,
    };
}

impl Default for VoidLimits {
    fn default() -> Self {
        Self {
            steal_share_max: 0.05,
            foreign_share_max: 0.05,
            samples_missed_max: 0,
            driver_busy_share_max: 0.9,
        }
    }
}

impl Rules {
    /// Blocks that are missing until the next look of a head that has so many; 0 after the last one.
    pub fn missing(&self, have: usize) -> u32 {
        let have = u32::try_from(have).unwrap_or(u32::MAX);
        let mut looks = self.looks.iter().map(|look| look.blocks);
        let next = looks.find(|blocks| *blocks > have);
        next.map_or(0, |blocks| blocks - have)
    }
}

impl GatePhase {
    /// The phase of a leg; none where it has no such phase.
    pub fn of(self, leg: &Leg) -> Option<&Phase> {
        let is_wanted = |phase: &&Phase| {
            phase.purpose == Purpose::Measure
                && phase.offered_per_s.is_some() == (self == Self::Open)
        };
        leg.phases.iter().rfind(is_wanted)
    }
}
