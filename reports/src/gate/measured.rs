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

/// Shares of what was due that may differ between both sides: requests that failed, and those that were
/// not told yes. To fail or to refuse is quick and cheap, so whoever does more of it is no better for
/// their figures.
const SHARE_MORE_MAX: f64 = 0.001;

/// A side that finished nothing, missed a rate that the other kept, failed more requests or accepted
/// fewer of them, is infinitely worse, which is `worst_ln` for the head. The same holds for both sides:
/// of two equal builds each one has the same chance of a bad block.
fn difference(rule: &MetricRule, metric: &Metric, worst_ln: f64, pair: &Pair<'_>) -> Difference {
    let value = |leg: &Leg| {
        let value = metric.of_phase(leg, rule.phase.of(leg)?);
        value.filter(|value| *value > 0.0)
    };
    let phases = rule.phase.of(pair.base).zip(rule.phase.of(pair.head));
    let (base_is_worse, head_is_worse) = match phases {
        Some((base, head)) => (is_worse(rule, base, head), is_worse(rule, head, base)),
        None => (false, false),
    };
    let (base, head) = (value(pair.base), value(pair.head));
    match (base, head) {
        (Some(_), _) if head_is_worse && !base_is_worse => Difference::Ln(worst_ln),
        (_, Some(_)) if base_is_worse && !head_is_worse => Difference::Ln(-worst_ln),
        (Some(base), Some(head)) => Difference::Ln((head / base).ln()),
        (None, None) => Difference::Unseen,
        _ => Difference::OneSided,
    }
}

/// Whether one side did not do the work that the other did, whatever its figures.
fn is_worse(rule: &MetricRule, one: &Phase, other: &Phase) -> bool {
    let misses = |phase: &Phase| {
        rule.phase == GatePhase::Open && phase.missed_its_rate() || phase.finished == 0
    };
    let accepted_share = |phase: &Phase| phase.outcomes().accepted as f64 / phase.due.max(1) as f64;
    (misses(one) && !misses(other))
        || one.failed_share() > other.failed_share() + SHARE_MORE_MAX
        || accepted_share(one) < accepted_share(other) - SHARE_MORE_MAX
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
