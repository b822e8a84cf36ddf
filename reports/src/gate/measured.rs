//! What a metric differs by in each block, or why it cannot be told.

use super::blocks::Pair;
use super::rules::{GatePhase, MetricRule};
use crate::result::{Flag, Good, Leg, Metric, Phase, metric};

/// The differences of one metric, one per block.
pub(super) struct Measured {
    pub id: &'static str,
    pub threshold_ln: f64,
    pub up_is_good: bool,
    /// `ln(head/base)`.
    pub d: Vec<f64>,
}

/// A metric that cannot be judged.
pub(super) struct LeftOut {
    pub remark: String,
    /// Neither side shows it in any block: nobody can be blamed for that.
    pub is_unseen: bool,
}

impl Measured {
    /// # Panics
    /// When the rule names no metric of the registry.
    pub(super) fn of(rule: &MetricRule, pairs: &[Pair<'_>]) -> Result<Self, LeftOut> {
        let metric = metric(rule.metric).expect("a gate's metric is one of the registry");
        let up_is_good = metric.good() == Good::Up;
        let worst_ln = if up_is_good {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
        let differences: Vec<Difference> = pairs
            .iter()
            .map(|pair| difference(rule, metric, worst_ln, pair))
            .collect();
        if differences.iter().all(|it| *it == Difference::Unseen) {
            return Err(LeftOut {
                remark: format!(
                    "{} was not seen on either side, so it was not judged",
                    metric.id
                ),
                is_unseen: true,
            });
        }
        let mut d = Vec::with_capacity(pairs.len());
        for (difference, pair) in differences.iter().zip(pairs) {
            let Difference::Ln(ln) = difference else {
                let (id, block) = (metric.id, pair.block);
                return Err(LeftOut {
                    remark: format!(
                        "{id} is missing in block {block}, so it was not judged, and nothing passes without it"
                    ),
                    is_unseen: false,
                });
            };
            d.push(*ln);
        }
        Ok(Self {
            id: metric.id,
            threshold_ln: rule.threshold_ln,
            up_is_good,
            d,
        })
    }

    /// Turned so that a positive value is a change for the worse, or back again.
    pub(super) fn turn(&self, ln: f64) -> f64 {
        // Never -0, which JSON would show.
        if self.up_is_good { 0.0 - ln } else { ln }
    }

    pub(super) fn turned(&self) -> Vec<f64> {
        self.d.iter().map(|ln| self.turn(*ln)).collect()
    }
}

/// What a block says of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Difference {
    Ln(f64),
    /// Neither side has a value.
    Unseen,
    /// Only one side has a value.
    OneSided,
}

/// Share of what was due that may fail at the head, beyond what failed at the base. Requests that fail
/// are quick and cheap, so a head that fails more of them is no better for its figures.
const FAILED_SHARE_MORE_MAX: f64 = 0.001;

/// A head that finished nothing, missed a rate that the base kept, or failed more requests than the
/// base, is infinitely worse, which is `worst_ln`.
fn difference(rule: &MetricRule, metric: &Metric, worst_ln: f64, pair: &Pair<'_>) -> Difference {
    let value = |leg: &Leg| {
        let value = metric.of_phase(leg, rule.phase.of(leg)?);
        value.filter(|value| *value > 0.0)
    };
    let (base_phase, head_phase) = (rule.phase.of(pair.base), rule.phase.of(pair.head));
    let base_missed = base_phase.is_some_and(|phase| phase.missed_its_rate());
    let head_missed = head_phase.is_some_and(|phase| {
        let missed = rule.phase == GatePhase::Open && phase.missed_its_rate();
        let failed_of_base = base_phase.map_or(0.0, Phase::failed_share);
        let fails_more = phase.failed_share() > failed_of_base + FAILED_SHARE_MORE_MAX;
        phase.finished == 0 || (missed && !base_missed) || fails_more
    });
    match (value(pair.base), value(pair.head)) {
        (Some(_), _) if head_missed => Difference::Ln(worst_ln),
        (Some(base), Some(head)) => Difference::Ln((head / base).ln()),
        (None, None) => Difference::Unseen,
        _ => Difference::OneSided,
    }
}

/// Legs whose figures are not what they seem, one sentence per flag.
pub(super) fn flags(pairs: &[Pair<'_>]) -> Vec<String> {
    let legs = || pairs.iter().flat_map(|pair| [pair.base, pair.head]);
    let mut flags: Vec<&Flag> = legs().flat_map(|leg| &leg.flags).collect();
    flags.retain(|flag| flag.unranks());
    flags.sort();
    flags.dedup();
    let remark = |flag: &Flag| {
        let bearers = legs().filter(|leg| leg.flags.contains(flag)).count();
        match bearers {
            1 => format!("1 leg is flagged {flag}, so nothing passes"),
            bearers => format!("{bearers} legs are flagged {flag}, so nothing passes"),
        }
    };
    flags.into_iter().map(remark).collect()
}
