//! How far differences spread, and which shift could be seen at that spread.

use super::rules::Look;
use crate::stats::{hodges_lehmann, middle_bounds};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Probability with which a detectable shift fails.
const POWER: f64 = 0.9;
/// Samples behind one figure; the standard error of the power is then 0.007.
const SAMPLES: usize = 2_000;
const SEED: u64 = 1;

/// Standard deviation of the finite ones; none where they are fewer than two.
pub(super) fn spread(differences: &[f64]) -> Option<f64> {
    let finite: Vec<f64> = differences
        .iter()
        .copied()
        .filter(|d| d.is_finite())
        .collect();
    let count = finite.len() as f64;
    if finite.len() < 2 {
        return None;
    }
    let mean = finite.iter().sum::<f64>() / count;
    let squares: f64 = finite.iter().map(|d| (d - mean).powi(2)).sum();
    Some((squares / (count - 1.0)).sqrt())
}

/// What a sample says when its true middle is 0: a shift of it moves both alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Centred {
    /// Its lower bound, with the error of one test.
    pub lower: f64,
    /// Its Hodges–Lehmann estimate.
    pub estimate: f64,
}

/// The smallest shift for the worse that fails in [`POWER`] of the samples, in their unit: in each
/// of them the test must reject, which it does when the bound exceeds 0, and the estimate must
/// exceed the threshold.
pub(super) fn smallest_visible(samples: &[Centred], threshold: f64) -> f64 {
    let mut needed: Vec<f64> = samples
        .iter()
        .map(|sample| f64::max(-sample.lower, threshold - sample.estimate))
        .collect();
    needed.sort_by(f64::total_cmp);
    let index = (needed.len() as f64 * POWER).ceil() as usize;
    needed
        .get(index.saturating_sub(1))
        .copied()
        .unwrap_or(f64::INFINITY)
}

/// The smallest true shift that fails with power 0.9 at one look, where differences spread normally
/// with this standard deviation: by simulation with a fixed seed. Of `metrics` that are tested
/// together this is the only one that moved, so that Holm's correction is at its largest.
pub(super) fn detectable_ln(spread: f64, threshold_ln: f64, look: &Look, metrics: usize) -> f64 {
    if spread <= 0.0 {
        return threshold_ln;
    }
    let samples = normal_samples(look.blocks as usize, look.alpha / metrics.max(1) as f64);
    spread * smallest_visible(&samples, threshold_ln / spread)
}

type Tables = BTreeMap<(usize, u64), Arc<Vec<Centred>>>;

/// Computed once per number of blocks and error.
fn normal_samples(blocks: usize, error: f64) -> Arc<Vec<Centred>> {
    static TABLES: Mutex<Tables> = Mutex::new(Tables::new());
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    let table = tables.entry((blocks, error.to_bits())).or_insert_with(|| {
        let mut random = SmallRng::seed_from_u64(SEED);
        let sample = |_| {
            let normal: Vec<f64> = (0..blocks).map(|_| standard_normal(&mut random)).collect();
            centred(&normal, error)
        };
        Arc::new((0..SAMPLES).map(sample).collect())
    });
    Arc::clone(table)
}

pub(super) fn centred(differences: &[f64], error: f64) -> Centred {
    Centred {
        lower: middle_bounds(differences, error).0,
        estimate: hodges_lehmann(differences).unwrap_or(0.0),
    }
}

/// G. E. P. Box and M. E. Muller, "A Note on the Generation of Random Normal Deviates", Annals of
/// Mathematical Statistics 29 (1958).
pub(super) fn standard_normal(random: &mut SmallRng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    let angle = std::f64::consts::TAU * random.random::<f64>();
    radius * angle.cos()
}
