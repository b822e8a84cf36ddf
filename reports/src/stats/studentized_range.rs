//! The studentized range: the largest minus the smallest of `k` normal means, divided by their
//! common standard error. Its quantile is what Tukey's test of all pairs measures by.

use super::normal::{mean_over_deviation, normal_cdf, normal_density};

/// Probability that the studentized range of `k` means with `df` degrees of freedom (infinite when
/// the standard error is known) is at most `q`, to 8 decimals for up to a hundred means.
///
/// It is integrated as in M. D. Copenhaver and B. Holland, "Computation of the distribution of the
/// maximum studentized range statistic", Journal of Statistical Computation and Simulation 30
/// (1988), but with the trapezoidal rule, which suffices because both integrands are analytic and
/// fall off fast.
///
/// # Panics
/// When `k` is below 2 or `df` is not positive.
pub fn studentized_range_cdf(q: f64, k: usize, df: f64) -> f64 {
    assert!(k >= 2, "a range needs two means, got {k}");
    assert!(df > 0.0, "degrees of freedom must be positive, got {df}");
    if q <= 0.0 {
        return 0.0;
    }
    let grid = Grid::new(k);
    mean_over_deviation(df, |s| grid.range_cdf(q * s)).clamp(0.0, 1.0)
}

/// The studentized range of `k` means with `df` degrees of freedom that is exceeded with probability
/// `1 - p`, to 6 digits.
///
/// # Panics
/// When `p` is not between 0 and 1, `k` is below 2 or `df` is not positive.
pub fn studentized_range_quantile(p: f64, k: usize, df: f64) -> f64 {
    assert!(p > 0.0 && p < 1.0, "a probability between 0 and 1, got {p}");
    root(|q| studentized_range_cdf(q, k, df) - p, 4.0)
}

/// Where the rising function `f`, negative at 0, is zero: the bracket is doubled until it holds the
/// root, and then narrowed by the Illinois variant of false position.
pub(super) fn root(f: impl Fn(f64) -> f64, first_guess: f64) -> f64 {
    const STEPS_MAX: u32 = 200;
    const PRECISION: f64 = 1e-9;
    let (mut low, mut high) = (0.0, first_guess);
    let (mut at_low, mut at_high) = (f(low), f(high));
    for _ in 0..STEPS_MAX {
        if at_high >= 0.0 {
            break;
        }
        (low, at_low) = (high, at_high);
        high *= 2.0;
        at_high = f(high);
    }
    let mut last_was_low = None;
    for _ in 0..STEPS_MAX {
        let middle = if at_high == at_low {
            f64::midpoint(low, high)
        } else {
            high - at_high * (high - low) / (at_high - at_low)
        };
        let value = f(middle);
        if value.abs() < PRECISION || high - low < PRECISION * high {
            return middle;
        }
        let is_low = value < 0.0;
        if is_low {
            (low, at_low) = (middle, value);
        } else {
            (high, at_high) = (middle, value);
        }
        // An end that stays for a second time counts half, so that both ends move.
        if last_was_low == Some(is_low) {
            if is_low {
                at_high /= 2.0;
            } else {
                at_low /= 2.0;
            }
        }
        last_was_low = Some(is_low);
    }
    f64::midpoint(low, high)
}

/// Points of the integral over the largest of `k` means.
struct Grid {
    k: usize,
    step: f64,
    /// Each point with its density and its distribution function.
    points: Vec<(f64, f64, f64)>,
}

impl Grid {
    fn new(k: usize) -> Self {
        const END: f64 = 8.2;
        // The more means, the narrower the peak of the integrand.
        let step = (0.8 / (k as f64).sqrt()).min(0.2);
        let half = (END / step).ceil() as i32;
        let points = (-half..=half).map(|n| {
            let z = f64::from(n) * step;
            (z, normal_density(z), normal_cdf(z))
        });
        Self {
            k,
            step,
            points: points.collect(),
        }
    }

    /// Probability that the range of `k` standard normal values is at most `range`: the largest is
    /// anywhere, and all others lie within `range` below it.
    fn range_cdf(&self, range: f64) -> f64 {
        let others = i32::try_from(self.k - 1).unwrap_or(i32::MAX);
        let at = |(z, density, cdf): &(f64, f64, f64)| {
            density * (cdf - normal_cdf(z - range)).max(0.0).powi(others)
        };
        let sum: f64 = self.points.iter().map(at).sum();
        self.k as f64 * self.step * sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFINITE: f64 = f64::INFINITY;

    /// (1 - p, k, df, q): the table of H. L. Harter, "Tables of Range and Studentized Range", Annals
    /// of Mathematical Statistics 31 (1960), as textbooks print it; where prints differ in the last
    /// decimal, the one that SciPy's `studentized_range` confirms.
    const TABLE: &[(f64, usize, f64, f64)] = &[
        (0.05, 2, 1.0, 17.969),
        (0.05, 3, 1.0, 26.976),
        (0.05, 2, 2.0, 6.085),
        (0.05, 3, 2.0, 8.331),
        (0.05, 5, 2.0, 10.881),
        (0.05, 2, 4.0, 3.926),
        (0.05, 3, 4.0, 5.040),
        (0.05, 2, 5.0, 3.635),
        (0.05, 3, 5.0, 4.602),
        (0.05, 4, 5.0, 5.218),
        (0.05, 5, 5.0, 5.673),
        (0.05, 10, 5.0, 6.995),
        (0.05, 2, 10.0, 3.151),
        (0.05, 3, 10.0, 3.877),
        (0.05, 4, 10.0, 4.327),
        (0.05, 5, 10.0, 4.654),
        (0.05, 10, 10.0, 5.598),
        (0.05, 2, 20.0, 2.950),
        (0.05, 3, 20.0, 3.578),
        (0.05, 5, 20.0, 4.232),
        (0.05, 10, 20.0, 5.008),
        (0.05, 2, INFINITE, 2.772),
        (0.05, 3, INFINITE, 3.314),
        (0.05, 5, INFINITE, 3.858),
        (0.05, 10, INFINITE, 4.474),
        (0.05, 20, INFINITE, 5.012),
        (0.01, 2, 10.0, 4.482),
        (0.01, 3, 10.0, 5.270),
        (0.01, 5, 20.0, 5.293),
        (0.01, 5, 5.0, 8.421),
        (0.01, 2, INFINITE, 3.643),
        (0.01, 3, INFINITE, 4.120),
        (0.01, 10, INFINITE, 5.157),
        (0.10, 2, INFINITE, 2.326),
        (0.10, 3, 10.0, 3.270),
    ];

    #[test]
    fn quantiles_are_those_of_the_tables_to_three_decimals() {
        for (exceeded, k, df, expected) in TABLE {
            let found = studentized_range_quantile(1.0 - exceeded, *k, *df);
            // The tables round, and so does the comparison.
            assert!(
                (found - expected).abs() <= 0.000_6,
                "q({exceeded}; {k}, {df}) is {expected}, not {found}"
            );
        }
    }

    #[test]
    fn a_quantile_is_where_the_distribution_reaches_its_probability() {
        for (p, k, df) in [(0.5, 2, 3.0), (0.95, 7, 24.0), (0.999, 40, 150.0)] {
            let q = studentized_range_quantile(p, k, df);
            let found = studentized_range_cdf(q, k, df);
            assert!((found - p).abs() < 1e-7, "{p}, {k}, {df}: {found}");
        }
    }

    /// The range of two values is √2 times the absolute value of one: with one degree of freedom
    /// that is a Cauchy distribution, which has a closed form.
    #[test]
    fn of_two_means_with_one_degree_of_freedom_it_has_a_closed_form() {
        for q in [0.5f64, 2.0, 17.969, 100.0] {
            let closed = 2.0 / std::f64::consts::PI * (q / std::f64::consts::SQRT_2).atan();
            let found = studentized_range_cdf(q, 2, 1.0);
            assert!((found - closed).abs() < 1e-9, "{q}: {found}, not {closed}");
        }
    }

    #[test]
    fn many_degrees_of_freedom_are_as_good_as_infinitely_many() {
        let near = studentized_range_cdf(3.5, 4, 1e7);
        assert!((near - studentized_range_cdf(3.5, 4, INFINITE)).abs() < 1e-6);
        assert_eq!(studentized_range_cdf(-1.0, 4, 10.0), 0.0);
        assert_eq!(studentized_range_cdf(1e6, 4, 10.0), 1.0);
    }
}
