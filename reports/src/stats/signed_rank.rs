//! Wilcoxon's signed-rank test, exact also with ties, and the Hodges–Lehmann estimate with the exact
//! confidence bounds that belong to it: what a series of paired differences says about their middle,
//! whatever their distribution, as long as it is symmetric.

/// The test of one sample of differences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignedRank {
    /// Sum of the ranks of positive differences.
    pub w_plus: f64,
    /// Differences that are not 0; only these have ranks.
    pub ranked: usize,
    /// Probability of a sum at least as large, if the differences were symmetric around 0.
    pub p_greater: f64,
    /// Probability of a sum at most as large.
    pub p_less: f64,
}

impl SignedRank {
    /// Ranks the differences by their size. Equal sizes share the mean of their ranks, and the
    /// probabilities are those of the ranks as they are. Infinite differences are the largest, and
    /// equal to each other. Differences of 0 are left out; with nothing left both probabilities
    /// are 1.
    ///
    /// # Panics
    /// With a difference that is not a number, or more than a thousand.
    pub fn of(differences: &[f64]) -> Self {
        let mut ranked: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
        assert!(
            !ranked.iter().any(|d| d.is_nan()),
            "a difference is not a number"
        );
        ranked.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let ranks = doubled_ranks(&ranked);
        let of_positive = ranked.iter().zip(&ranks).filter(|(d, _)| **d > 0.0);
        let w_plus: usize = of_positive.map(|(_, rank)| rank).sum();
        let probabilities = sums(&ranks);
        Self {
            w_plus: w_plus as f64 / 2.0,
            ranked: ranked.len(),
            p_greater: probabilities[w_plus..].iter().sum::<f64>().min(1.0),
            p_less: probabilities[..=w_plus].iter().sum::<f64>().min(1.0),
        }
    }
}

/// Probability that the sum of the positive ranks of `n` differences, symmetric around 0 and without
/// ties, is at most `w`.
///
/// # Panics
/// With more than a thousand differences.
pub fn signed_rank_cdf(w: usize, n: usize) -> f64 {
    let ranks: Vec<usize> = (1..=n).collect();
    let probabilities = sums(&ranks);
    probabilities.iter().take(w + 1).sum::<f64>().min(1.0)
}

/// Twice the rank of each value; they are sorted by size, and equal ones share the mean.
fn doubled_ranks(sorted: &[f64]) -> Vec<usize> {
    let mut ranks = Vec::with_capacity(sorted.len());
    for equals in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
        let (first, last) = (ranks.len() + 1, ranks.len() + equals.len());
        ranks.resize(last, first + last);
    }
    ranks
}

/// Probability of each sum of ranks, when each rank is in it with probability one half.
fn sums(ranks: &[usize]) -> Vec<f64> {
    const RANKS_MAX: usize = 1_000;
    assert!(
        ranks.len() <= RANKS_MAX,
        "at most {RANKS_MAX} differences, got {}",
        ranks.len()
    );
    let mut probabilities = vec![0.0; ranks.iter().sum::<usize>() + 1];
    probabilities[0] = 1.0;
    let mut largest = 0;
    for rank in ranks {
        largest += rank;
        for sum in (0..=largest).rev() {
            let with = sum.checked_sub(*rank).map_or(0.0, |sum| probabilities[sum]);
            probabilities[sum] = f64::midpoint(probabilities[sum], with);
        }
    }
    probabilities
}

/// The Hodges–Lehmann estimate of the middle of the differences: the median of the means of all
/// pairs, each difference with itself included. None without a difference.
pub fn hodges_lehmann(differences: &[f64]) -> Option<f64> {
    let means = walsh_averages(differences);
    let (upper, lower) = (
        means.get(means.len() / 2)?,
        means.get((means.len() - 1) / 2)?,
    );
    Some(mean_of_two(*lower, *upper))
}

/// Bounds of the middle of the differences, each of which is wrong with a probability of at most
/// `one_sided_error`: the inversion of the signed-rank test (J. W. Tukey; M. Hollander and D. A.
/// Wolfe, "Nonparametric Statistical Methods", 3.3). Infinite where there are too few differences for
/// so small an error.
pub fn middle_bounds(differences: &[f64], one_sided_error: f64) -> (f64, f64) {
    let means = walsh_averages(differences);
    let ranks: Vec<usize> = (1..=differences.len()).collect();
    // The n-th smallest mean is a bound when it is improbable that fewer than n lie below the middle.
    let (mut order, mut error) = (0, 0.0);
    for probability in sums(&ranks) {
        error += probability;
        if error > one_sided_error || order == means.len() {
            break;
        }
        order += 1;
    }
    match order {
        0 => (f64::NEG_INFINITY, f64::INFINITY),
        order => (means[order - 1], means[means.len() - order]),
    }
}

/// The means of all pairs of differences, each with itself included, in order.
fn walsh_averages(differences: &[f64]) -> Vec<f64> {
    let mut means = Vec::with_capacity(differences.len() * (differences.len() + 1) / 2);
    for (index, one) in differences.iter().enumerate() {
        means.extend(
            differences[index..]
                .iter()
                .map(|other| mean_of_two(*one, *other)),
        );
    }
    means.sort_by(f64::total_cmp);
    means
}

/// Opposite infinities cancel out.
fn mean_of_two(one: f64, other: f64) -> f64 {
    if one.is_infinite() && one == -other {
        0.0
    } else {
        f64::midpoint(one, other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    /// (n, w, P(W ≤ w)): table A.4 of Hollander and Wolfe.
    const TABLE: &[(usize, usize, f64)] = &[
        (3, 0, 0.125),
        (5, 0, 0.031),
        (5, 1, 0.062),
        (8, 5, 0.039),
        (10, 3, 0.005),
        (10, 5, 0.010),
        (10, 8, 0.024),
        (10, 10, 0.042),
        (15, 25, 0.024),
        (15, 30, 0.047),
    ];

    #[test]
    fn the_distribution_is_that_of_the_tables() {
        for (n, w, expected) in TABLE {
            let found = signed_rank_cdf(*w, *n);
            assert!(
                (found - expected).abs() <= 0.000_5 + 1e-9,
                "P(W ≤ {w}; {n}) is {found}"
            );
        }
        assert_eq!(signed_rank_cdf(0, 10), 1.0 / 1_024.0);
        assert_eq!(signed_rank_cdf(27, 10), 0.5);
        assert_eq!(signed_rank_cdf(1_000, 10), 1.0);
    }

    /// Critical values of one-sided tests with twenty differences, as every table has them.
    #[test]
    fn critical_values_are_those_of_the_tables() {
        for (error, critical) in [(0.05, 60), (0.025, 52), (0.01, 43), (0.005, 37)] {
            assert!(signed_rank_cdf(critical, 20) <= error);
            assert!(signed_rank_cdf(critical + 1, 20) > error);
        }
    }

    /// Hollander and Wolfe, example 3.1: depression before and after a tranquilliser, in
    /// thousandths.
    fn depression() -> Vec<f64> {
        let before = [1_830, 500, 1_620, 2_480, 1_680, 1_880, 1_550, 3_060, 1_300];
        let after = [878, 647, 598, 2_050, 1_060, 1_290, 1_060, 3_140, 1_290];
        let pairs = before.into_iter().zip(after);
        pairs
            .map(|(before, after)| f64::from(before - after) / 1e3)
            .collect()
    }

    #[test]
    fn a_textbook_s_example_gives_the_textbook_s_figures() {
        let test = SignedRank::of(&depression());
        assert_eq!((test.w_plus, test.ranked), (40.0, 9));
        assert!(
            (test.p_greater - 0.019_53).abs() < 1e-5,
            "{}",
            test.p_greater
        );
        let middle = hodges_lehmann(&depression()).expect("there are some");
        assert!((middle - 0.46).abs() < 1e-9, "{middle}");
        let (lower, upper) = middle_bounds(&depression(), 0.02);
        assert!(
            (lower - 0.01).abs() < 1e-9 && (upper - 0.786).abs() < 1e-9,
            "{lower} to {upper}"
        );
    }

    /// 1, 1, 1 and -1 share the rank 2.5; of 16 signs, five make a sum of 7.5 or more.
    #[test]
    fn ties_share_their_ranks_and_zeros_have_none() {
        let test = SignedRank::of(&[1.0, -1.0, 0.0, 1.0, 1.0]);
        assert_eq!((test.w_plus, test.ranked), (7.5, 4));
        assert_eq!(test.p_greater, 5.0 / 16.0);
        assert_eq!(test.p_less, 15.0 / 16.0);
        let nothing = SignedRank::of(&[0.0; 3]);
        assert_eq!(
            (nothing.ranked, nothing.p_greater, nothing.p_less),
            (0, 1.0, 1.0)
        );
    }

    #[test]
    fn infinite_differences_are_the_largest() {
        let mut differences = vec![f64::INFINITY; 2];
        differences.extend([-0.1, 0.2, 0.3]);
        assert_eq!(SignedRank::of(&differences).w_plus, 14.0);
        let (lower, upper) = middle_bounds(&differences, 0.05);
        assert_eq!((lower, upper), (-0.1, f64::INFINITY));
        // The means in order: -∞, -∞, 0, 0.5, ∞, ∞.
        let opposite = [f64::INFINITY, f64::NEG_INFINITY, 0.5];
        assert_eq!(hodges_lehmann(&opposite), Some(0.25));
        assert_eq!(hodges_lehmann(&[]), None);
    }

    #[test]
    fn too_few_differences_have_no_bounds() {
        // 1/16 is the smallest error that four differences can have.
        assert_eq!(
            middle_bounds(&[1.0; 4], 0.06),
            (f64::NEG_INFINITY, f64::INFINITY)
        );
        assert_eq!(middle_bounds(&[1.0, 2.0, 3.0, 4.0], 0.0625), (1.0, 4.0));
        assert_eq!(middle_bounds(&[], 0.05), (f64::NEG_INFINITY, f64::INFINITY));
    }

    /// The bounds hold the true middle as often as they say, and they say so together with the test.
    #[test]
    fn bounds_are_wrong_no_more_often_than_they_say() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut random = SmallRng::seed_from_u64(seed);
        let (runs, error) = (10_000, 0.05);
        let (mut lower_wrong, mut upper_wrong) = (0, 0);
        for _ in 0..runs {
            let differences: Vec<f64> = (0..10).map(|_| random.random_range(-1.0..1.0)).collect();
            let (lower, upper) = middle_bounds(&differences, error);
            lower_wrong += i32::from(lower > 0.0);
            upper_wrong += i32::from(upper < 0.0);
            let test = SignedRank::of(&differences);
            assert_eq!(lower > 0.0, test.p_greater <= error, "{differences:?}");
            assert_eq!(upper < 0.0, test.p_less <= error, "{differences:?}");
        }
        // The level that ten differences can have is 0.042; five standard errors are 0.010.
        for wrong in [lower_wrong, upper_wrong] {
            let share = f64::from(wrong) / f64::from(runs);
            assert!((share - 0.042).abs() < 0.010, "{share}");
        }
    }
}
