//! What one look at the differences of a head says: every metric tested, estimated and held against
//! its threshold. It knows neither results nor names; the gate and its simulations both stand on it.

use super::rules::Look;
use crate::result::Verdict;
use crate::stats::{SignedRank, hodges_lehmann, holm, middle_bounds};

/// The differences of one metric, one per block, turned so that a positive one is a change for the
/// worse, and the threshold in the same direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adverse<'a> {
    pub d: &'a [f64],
    pub threshold_ln: f64,
}

/// What a look says of one metric, in the direction of [`Adverse`].
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub hl_ln: f64,
    pub lower_ln: f64,
    pub upper_ln: f64,
    pub p_one_sided: f64,
    pub p_adjusted: f64,
    pub verdict: Verdict,
}

/// Tests all metrics of a head at once. A metric fails when its p value, after Holm's correction
/// over all of them, is at most the look's α, and its estimate lies beyond its threshold; it passes
/// when its upper bound, which no correction widens, lies inside.
pub(super) fn look_at(metrics: &[Adverse<'_>], look: &Look) -> Vec<Finding> {
    let p_values: Vec<f64> = metrics
        .iter()
        .map(|metric| SignedRank::of(metric.d).p_greater)
        .collect();
    let adjusted = holm(&p_values);
    let findings = metrics.iter().zip(p_values).zip(adjusted);
    let finding = |((metric, p_one_sided), p_adjusted): ((&Adverse<'_>, f64), f64)| {
        let hl_ln = hodges_lehmann(metric.d).unwrap_or(0.0);
        let (lower_ln, upper_ln) = middle_bounds(metric.d, look.pass_error);
        let verdict = if p_adjusted <= look.alpha && hl_ln > metric.threshold_ln {
            Verdict::Fail
        } else if upper_ln < metric.threshold_ln {
            Verdict::Pass
        } else {
            Verdict::Inconclusive
        };
        Finding {
            hl_ln,
            lower_ln,
            upper_ln,
            p_one_sided,
            p_adjusted,
            verdict,
        }
    };
    findings.map(finding).collect()
}

/// One metric that fails fails the head; it passes when every metric does, and there is one.
pub(super) fn of_all<'a>(verdicts: impl IntoIterator<Item = &'a Verdict>) -> Verdict {
    let mut all_pass = None;
    for verdict in verdicts {
        match verdict {
            Verdict::Fail => return Verdict::Fail,
            Verdict::Pass => all_pass = Some(all_pass.unwrap_or(true)),
            _ => all_pass = Some(false),
        }
    }
    match all_pass {
        Some(true) => Verdict::Pass,
        _ => Verdict::Inconclusive,
    }
}
