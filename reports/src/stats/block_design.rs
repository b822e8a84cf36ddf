//! Subjects × rounds as a randomised block design: each logarithm of a rate is the sum of a
//! subject's mean, a round's shift and a residual. A slow minute that hurts all subjects alike goes
//! into the round and not into the comparison. All pairs are held apart by Tukey's honest
//! significant difference, which errs in any pair at all only with the probability that was asked
//! for.
//!
//! It is taken that all subjects spread alike. Where one of five equal ones spreads three times as
//! much as the others, some pair is called different in 10 % of runs instead of 5 %, and in 14 % where
//! it is ten times as much; a look at the extremes shows such a subject.
//!
//! The ratio that five rounds tell apart nine times out of ten, at a familywise error of 5 % and by
//! the spread of one subject between rounds (the residual's standard deviation), from
//! [`detectable_ln`]:
//!
//! | spread | 2 subjects | 3 | 5 |
//! |---|---|---|---|
//! | 2 % | 1.057 | 1.056 | 1.058 |
//! | 5 % | 1.149 | 1.147 | 1.152 |
//! | 10 % | 1.321 | 1.316 | 1.327 |

use super::normal::{mean_over_deviation, normal_cdf};
use super::studentized_range::{root, studentized_range_quantile};

/// The fitted design.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockDesign {
    /// Mean logarithm of each subject over all rounds.
    pub means_ln: Vec<f64>,
    /// Standard deviation of the residuals: the spread of a subject between rounds, as a logarithm.
    pub spread_ln: f64,
    pub rounds: usize,
    /// (k − 1)(r − 1).
    pub df: f64,
}

/// Values that make no design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DesignError {
    #[error("a comparison needs at least two subjects, got {0}")]
    Subjects(usize),
    #[error("a comparison needs at least two rounds, got {0}")]
    Rounds(usize),
    #[error("every subject needs a value in every round")]
    Ragged,
    #[error("every value must be a finite logarithm")]
    NotFinite,
}

/// A difference of logarithms with its simultaneous confidence bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub difference_ln: f64,
    pub lower_ln: f64,
    pub upper_ln: f64,
}

impl Interval {
    /// Whether the interval leaves out "no difference".
    pub fn separates(&self) -> bool {
        self.lower_ln > 0.0 || self.upper_ln < 0.0
    }
}

impl BlockDesign {
    /// Fits the additive model to one row per subject, each with one logarithm per round, in the
    /// same order of rounds.
    ///
    /// # Errors
    /// With fewer than two subjects or rounds, and when a value is missing or not finite.
    pub fn fit(rows_ln: &[Vec<f64>]) -> Result<Self, DesignError> {
        let subjects = rows_ln.len();
        let rounds = rows_ln.first().map_or(0, Vec::len);
        if subjects < 2 {
            return Err(DesignError::Subjects(subjects));
        }
        if rows_ln.iter().any(|row| row.len() != rounds) {
            return Err(DesignError::Ragged);
        }
        if rounds < 2 {
            return Err(DesignError::Rounds(rounds));
        }
        if rows_ln.iter().flatten().any(|value| !value.is_finite()) {
            return Err(DesignError::NotFinite);
        }
        let mean = |sum: f64, count: usize| sum / count as f64;
        let means_ln: Vec<f64> = rows_ln
            .iter()
            .map(|row| mean(row.iter().sum(), rounds))
            .collect();
        let grand = mean(means_ln.iter().sum(), subjects);
        let mut squares = 0.0;
        for round in 0..rounds {
            let of_round = mean(rows_ln.iter().map(|row| row[round]).sum(), subjects);
            for (row, of_subject) in rows_ln.iter().zip(&means_ln) {
                squares += (row[round] - of_subject - of_round + grand).powi(2);
            }
        }
        let df = ((subjects - 1) * (rounds - 1)) as f64;
        Ok(Self {
            means_ln,
            spread_ln: (squares / df).sqrt(),
            rounds,
            df,
        })
    }

    /// Tukey's honest significant difference of two means, as a logarithm.
    pub fn significant_difference_ln(&self, familywise_error: f64) -> f64 {
        let q = studentized_range_quantile(1.0 - familywise_error, self.means_ln.len(), self.df);
        self.difference_at_ln(q)
    }

    /// The same with a critical value that was computed before.
    pub fn difference_at_ln(&self, q_critical: f64) -> f64 {
        q_critical * self.spread_ln / (self.rounds as f64).sqrt()
    }

    /// Subject `a` less subject `b`, given the significant difference.
    pub fn interval(&self, a: usize, b: usize, significant_difference_ln: f64) -> Interval {
        let difference_ln = self.means_ln[a] - self.means_ln[b];
        Interval {
            difference_ln,
            lower_ln: difference_ln - significant_difference_ln,
            upper_ln: difference_ln + significant_difference_ln,
        }
    }
}

/// The compact letter display: subjects that share a letter are not separated, and those that share
/// none are. `means_ln` must be sorted, the best first, whichever direction is good; the best have
/// "a".
///
/// As all differences are held against the same bound, the groups are runs of neighbours. Letters go
/// from a to z and from A to Z; a fifty-third group would share the Z.
pub fn compact_letters(means_ln: &[f64], significant_difference_ln: f64) -> Vec<String> {
    let mut letters = vec![String::new(); means_ln.len()];
    let (mut group, mut end_of_last) = (0, 0);
    for start in 0..means_ln.len() {
        let together = |mean: &&f64| {
            let difference = (means_ln[start] - **mean).abs();
            difference <= significant_difference_ln
        };
        let end = start + means_ln[start..].iter().take_while(together).count();
        if end > end_of_last {
            letters[start..end]
                .iter_mut()
                .for_each(|letters| letters.push(letter(group)));
            (group, end_of_last) = (group + 1, end);
        }
    }
    letters
}

fn letter(group: usize) -> char {
    let mut letters = ('a'..='z').chain('A'..='Z');
    letters.nth(group).unwrap_or('Z')
}

/// Smallest difference of two subjects, as a logarithm, that is found with the probability `power`
/// where `subjects` are compared over `rounds` and the residuals have the standard deviation
/// `spread_ln`.
///
/// # Panics
/// With fewer than two subjects or rounds, or an error or a power outside of 0 to 1.
pub fn detectable_ln(
    subjects: usize,
    rounds: usize,
    spread_ln: f64,
    familywise_error: f64,
    power: f64,
) -> f64 {
    assert!(subjects >= 2 && rounds >= 2, "two subjects and two rounds");
    assert!(power > 0.0 && power < 1.0, "a power between 0 and 1");
    let df = ((subjects - 1) * (rounds - 1)) as f64;
    let q = studentized_range_quantile(1.0 - familywise_error, subjects, df);
    // The difference of two means in standard errors is found when it exceeds this times the
    // estimated over the true deviation.
    let bound = q / std::f64::consts::SQRT_2;
    let found = |shift: f64| {
        mean_over_deviation(df, |s| {
            normal_cdf(shift - bound * s) + normal_cdf(-shift - bound * s)
        })
    };
    let shift = root(|shift| found(shift) - power, bound);
    shift * spread_ln * (2.0 / rounds as f64).sqrt()
}

#[cfg(test)]
mod tests;
