//! The gate played on differences that are drawn instead of measured: the same looks, tests and
//! thresholds, with no result behind them.

use super::look::{Adverse, look_at, of_all};
use super::rules::Rules;
use crate::result::Verdict;

/// Verdict of a head, and of each metric at the look that decided.
#[derive(Clone, Debug)]
pub(super) struct Played {
    pub verdict: Verdict,
    pub of_metrics: Vec<Verdict>,
}

/// Plays one gate. `thresholds_ln` are positive, and `block` draws the differences of one block, one
/// per threshold in the same order, a change for the worse positive.
pub(super) fn play(
    rules: &Rules,
    thresholds_ln: &[f64],
    mut block: impl FnMut() -> Vec<f64>,
) -> Played {
    let mut drawn: Vec<Vec<f64>> = vec![Vec::new(); thresholds_ln.len()];
    let mut played = Played {
        verdict: Verdict::Inconclusive,
        of_metrics: Vec::new(),
    };
    let mut blocks = 0;
    for look in &rules.looks {
        while blocks < look.blocks {
            for (of_metric, d) in drawn.iter_mut().zip(block()) {
                of_metric.push(d);
            }
            blocks += 1;
        }
        let metrics = drawn.iter().zip(thresholds_ln);
        let metrics = metrics.map(|(d, threshold_ln)| Adverse {
            d,
            threshold_ln: *threshold_ln,
        });
        let findings = look_at(&metrics.collect::<Vec<_>>(), look);
        played.of_metrics = findings.into_iter().map(|it| it.verdict).collect();
        played.verdict = of_all(&played.of_metrics);
        if played.verdict != Verdict::Inconclusive {
            break;
        }
    }
    played
}
