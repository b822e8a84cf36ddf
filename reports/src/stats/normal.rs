//! The normal distribution, and the mean of a function over the distribution of a sample's standard
//! deviation: what every test here is integrated from.

/// Beyond this many standard deviations the distribution is 0 or 1 to the last digit of a sum.
const FAR: f64 = 8.3;

/// Density of the standard normal distribution.
pub(super) fn normal_density(x: f64) -> f64 {
    const ROOT_OF_TWO_PI: f64 = 2.506_628_274_631_000_7;
    (-0.5 * x * x).exp() / ROOT_OF_TWO_PI
}

/// Distribution function of the standard normal distribution, to 15 decimals: the series of
/// G. Marsaglia, "Evaluating the Normal Distribution", Journal of Statistical Software 11 (2004).
pub fn normal_cdf(x: f64) -> f64 {
    if x.is_nan() {
        return f64::NAN;
    }
    if x.abs() > FAR {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut sum, mut term, mut odd) = (x, x, 1.0);
    loop {
        odd += 2.0;
        term *= x * x / odd;
        if sum + term == sum {
            break;
        }
        sum += term;
    }
    0.5 + normal_density(x) * sum
}

/// Mean of `f(s)`, where `s` is the standard deviation of a sample with `df` degrees of freedom from
/// a population whose own is 1; `f` must be bounded. Infinite `df` mean that it is known: `f(1)`.
///
/// With `t = ln s` the weight `exp(df (t - s²/2))` is smooth and falls off fast on both sides, so the
/// trapezoidal rule converges faster than any power of the step.
pub(super) fn mean_over_deviation(df: f64, f: impl Fn(f64) -> f64) -> f64 {
    if df.is_infinite() {
        return f(1.0);
    }
    const NEGLIGIBLE: f64 = 1e-17;
    let step = (0.25 / (2.0 * df).sqrt()).min(0.1);
    let weight = |t: f64| (df * (t - ((2.0 * t).exp() - 1.0) / 2.0)).exp();
    let (mut sum, mut weights) = (f(1.0), 1.0);
    for direction in [-step, step] {
        for n in 1u32.. {
            let t = f64::from(n) * direction;
            let weight = weight(t);
            if weight < NEGLIGIBLE {
                break;
            }
            sum += weight * f(t.exp());
            weights += weight;
        }
    }
    sum / weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_distribution_is_that_of_the_tables() {
        for (x, expected) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_543),
            (1.959_963_984_540_054, 0.975),
            (-2.575_829_303_548_901, 0.005),
            (-3.0, 0.001_349_898_031_630),
            (5.0, 0.999_999_713_348_428),
            (9.0, 1.0),
        ] {
            let found = normal_cdf(x);
            assert!((found - expected).abs() < 1e-14, "{x}: {found}");
        }
        assert!(normal_cdf(f64::NAN).is_nan());
    }

    /// E(s) = √(2/df) Γ((df+1)/2) / Γ(df/2), the constant c4 of control charts.
    #[test]
    fn the_mean_deviation_is_that_of_the_tables() {
        for (df, c4) in [
            (1.0, 0.797_884_6),
            (2.0, 0.886_226_9),
            (4.0, 0.939_985_6),
            (9.0, 0.972_659_3),
            (24.0, 0.989_640_4),
        ] {
            let found = mean_over_deviation(df, |s| s);
            assert!((found - c4).abs() < 1e-7, "{df}: {found}");
        }
        assert_eq!(mean_over_deviation(f64::INFINITY, |s| s), 1.0);
    }
}
