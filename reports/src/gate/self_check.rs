//! What the gate is worth on one machine, from blocks in which both sides were the same build:
//! resampled, they say how often the gate would raise a false alarm here, how often it would pass,
//! and which shift it would see.

use super::power::{Centred, centred, smallest_visible, spread};
use super::rules::{MetricRule, Rules};
use super::simulation::play;
use crate::result::Verdict;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::fmt;

/// Gates that are played.
const GATES: u32 = 2_000;

#[derive(Clone, Debug, PartialEq)]
pub struct SelfCheck {
    pub seed: u64,
    /// Blocks that were measured.
    pub blocks: usize,
    /// Gates that were played with them.
    pub gates: u32,
    pub metrics: Vec<MetricCheck>,
    /// Share of gates that failed by any metric, 0 to 1.
    pub false_alarm_share: f64,
    /// Share of gates that passed.
    pub pass_share: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MetricCheck {
    pub metric: String,
    pub threshold_ln: f64,
    /// Standard deviation of the differences.
    pub spread: f64,
    /// Share of gates that failed by this metric.
    pub false_alarm_share: f64,
    /// The smallest true shift for the worse that fails nine times out of ten by the last look, in
    /// the direction of the threshold.
    pub detectable_ln: f64,
}

/// Differences that cannot be resampled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelfCheckError {
    #[error("a self-check needs at least {needed} blocks, got {got}")]
    Blocks { needed: usize, got: usize },
    #[error("{metric} has {got} differences, where others have {expected}")]
    Ragged {
        metric: String,
        expected: usize,
        got: usize,
    },
    #[error("a difference of {0} is not finite: the same build missed a rate that it kept")]
    NotFinite(String),
    #[error("none of the gate's metrics was measured")]
    Nothing,
}

/// Plays the gate [`GATES`] times with blocks drawn from those that were measured: whole blocks, so
/// that metrics which move together still do, each turned around or not by chance, which is what two
/// equal builds in random order come to. `aa` holds `ln(head/base)` by metric, the same blocks in the
/// same order for each, as [`super::differences`] reads them; a metric that is not there is left out.
///
/// # Errors
/// With fewer than five blocks, different numbers of them, or a difference that is not finite.
pub fn self_check(
    rules: &Rules,
    aa: &BTreeMap<String, Vec<f64>>,
    seed: u64,
) -> Result<SelfCheck, SelfCheckError> {
    let measured = resampleable(rules, aa)?;
    let blocks = measured[0].1.len();
    let mut random = SmallRng::seed_from_u64(seed);
    let mut draw = || {
        let sign = if random.random() { 1.0 } else { -1.0 };
        let block = random.random_range(0..blocks);
        measured.iter().map(|(_, d)| sign * d[block]).collect()
    };
    let thresholds_ln: Vec<f64> = measured
        .iter()
        .map(|(rule, _)| rule.threshold_ln.abs())
        .collect();
    let (mut failed, mut passed) = (0, 0);
    let mut failed_by = vec![0; measured.len()];
    for _ in 0..GATES {
        let played = play(rules, &thresholds_ln, &mut draw);
        failed += u32::from(played.verdict == Verdict::Fail);
        passed += u32::from(played.verdict == Verdict::Pass);
        for (times, verdict) in failed_by.iter_mut().zip(&played.of_metrics) {
            *times += u32::from(*verdict == Verdict::Fail);
        }
    }
    let visible = visible(rules, measured.len(), &thresholds_ln, &mut draw);
    let share = |times: u32| f64::from(times) / f64::from(GATES);
    let metrics = measured.iter().zip(failed_by).zip(visible);
    let metrics = metrics.map(|(((rule, d), failed), visible_ln)| MetricCheck {
        metric: rule.metric.to_owned(),
        threshold_ln: rule.threshold_ln,
        spread: spread(d).unwrap_or(0.0),
        false_alarm_share: share(failed),
        detectable_ln: visible_ln * rule.threshold_ln.signum(),
    });
    Ok(SelfCheck {
        seed,
        blocks,
        gates: GATES,
        metrics: metrics.collect(),
        false_alarm_share: share(failed),
        pass_share: share(passed),
    })
}

/// The metrics that can be resampled, at least one.
fn resampleable<'a>(
    rules: &'a Rules,
    aa: &'a BTreeMap<String, Vec<f64>>,
) -> Result<Vec<(&'a MetricRule, &'a Vec<f64>)>, SelfCheckError> {
    const BLOCKS_MIN: usize = 5;
    let measured = rules.metrics.iter();
    let measured = measured.filter_map(|rule| Some((rule, aa.get(rule.metric)?)));
    let measured: Vec<(&MetricRule, &Vec<f64>)> = measured.collect();
    let blocks = measured.first().ok_or(SelfCheckError::Nothing)?.1.len();
    if blocks < BLOCKS_MIN {
        return Err(SelfCheckError::Blocks {
            needed: BLOCKS_MIN,
            got: blocks,
        });
    }
    for (rule, d) in &measured {
        if d.len() != blocks {
            return Err(SelfCheckError::Ragged {
                metric: rule.metric.to_owned(),
                expected: blocks,
                got: d.len(),
            });
        }
        if d.iter().any(|d| !d.is_finite()) {
            return Err(SelfCheckError::NotFinite(rule.metric.to_owned()));
        }
    }
    Ok(measured)
}

/// The smallest visible shift of each metric at the last look.
fn visible(
    rules: &Rules,
    metrics: usize,
    thresholds_ln: &[f64],
    draw: &mut dyn FnMut() -> Vec<f64>,
) -> Vec<f64> {
    let Some(last) = rules.looks.last() else {
        return vec![f64::INFINITY; metrics];
    };
    let error = last.alpha / metrics as f64;
    let mut samples: Vec<Vec<Centred>> = vec![Vec::new(); metrics];
    for _ in 0..GATES {
        let blocks: Vec<Vec<f64>> = (0..last.blocks).map(|_| draw()).collect();
        for (index, samples) in samples.iter_mut().enumerate() {
            let d: Vec<f64> = blocks.iter().map(|block| block[index]).collect();
            samples.push(centred(&d, error));
        }
    }
    let of_each = samples.iter().zip(thresholds_ln);
    of_each
        .map(|(samples, threshold_ln)| smallest_visible(samples, *threshold_ln))
        .collect()
}

impl fmt::Display for SelfCheck {
    /// A table for a terminal, at most 80 columns wide.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |ln: f64| format!("{:+.1} %", (ln.exp() - 1.0) * 100.0);
        let share = |share: f64| format!("{:.2} %", share * 100.0);
        writeln!(
            f,
            "{} blocks of the same build, resampled into {} gates (seed {})\n",
            self.blocks, self.gates, self.seed
        )?;
        writeln!(
            f,
            "{:<27}{:>10}{:>9}{:>14}{:>18}",
            "metric", "threshold", "spread", "false alarms", "smallest visible"
        )?;
        for check in &self.metrics {
            writeln!(
                f,
                "{:<27}{:>10}{:>9}{:>14}{:>18}",
                check.metric,
                percent(check.threshold_ln),
                share(check.spread),
                share(check.false_alarm_share),
                percent(check.detectable_ln)
            )?;
        }
        writeln!(
            f,
            "\nfalse alarms by any metric {}, passes {}",
            share(self.false_alarm_share),
            share(self.pass_share)
        )
    }
}
