//! Change points of a series by E-divisive: where a series of figures begins to come from another
//! distribution, whatever the distributions are (D. S. Matteson and N. A. James, "A Nonparametric
//! Approach for Multiple Change Point Analysis of Multivariate Data", Journal of the American
//! Statistical Association 109 (2014)); used on histories of benchmarks by D. Daly and others, "The
//! Use of Change Point Detection to Identify Software Performance Regressions in a Continuous
//! Integration System", ICPE 2020.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

/// How change points are looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EDivisive {
    /// Fewest values between two change points, before the first and behind the last; at least 2.
    pub segment_min: usize,
    /// Random orders of the values against which a change point is held.
    pub shuffles: u32,
    /// Largest p of a change point.
    pub level: f64,
    /// Of the random orders: the same series has the same change points every time.
    pub seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChangePoint {
    /// Index of the first value behind it.
    pub at: usize,
    /// The scaled energy distance of the values on its two sides.
    pub statistic: f64,
    /// Probability of a statistic at least as large anywhere in the series, if there is no further
    /// change in it.
    pub p: f64,
}

impl EDivisive {
    /// The change points of a series, by their places. The strongest is looked for first, then the
    /// strongest within the parts, until the next one is not significant. Takes time by the square of
    /// the length, for each shuffle.
    ///
    /// # Panics
    /// With a value that is not finite, or segments of less than 2.
    pub fn change_points(&self, series: &[f64]) -> Vec<ChangePoint> {
        assert!(self.segment_min >= 2, "two values have a distance");
        assert!(
            series.iter().all(|value| value.is_finite()),
            "every value is finite"
        );
        let mut random = SmallRng::seed_from_u64(self.seed);
        let mut borders = vec![0, series.len()];
        let mut found = Vec::new();
        while let Some(split) = self.best_split(series, &borders) {
            let p = self.p(series, &borders, split.statistic, &mut random);
            if p > self.level {
                break;
            }
            borders.push(split.at);
            borders.sort_unstable();
            found.push(ChangePoint {
                at: split.at,
                statistic: split.statistic,
                p,
            });
        }
        found.sort_by_key(|point| point.at);
        found
    }

    /// The best split of any part between two borders.
    fn best_split(&self, series: &[f64], borders: &[usize]) -> Option<Split> {
        let of_part = |part: &[usize]| {
            let split = best_split(&series[part[0]..part[1]], self.segment_min)?;
            Some(Split {
                at: part[0] + split.at,
                ..split
            })
        };
        let splits = borders.windows(2).filter_map(of_part);
        splits.max_by(|a, b| a.statistic.total_cmp(&b.statistic))
    }

    /// Share of the orders within the parts that have a split at least as good. All orders are tried
    /// where they are few; otherwise the order as it is counts beside the random ones.
    fn p(&self, series: &[f64], borders: &[usize], statistic: f64, random: &mut SmallRng) -> f64 {
        // Sums of the same distances in another order differ in their last digits.
        let least = statistic - ROUNDING * range(series) * series.len() as f64;
        let reaches = |series: &[f64], borders: &[usize]| {
            let best = self.best_split(series, borders);
            best.is_some_and(|best| best.statistic >= least)
        };
        let is_divisible = |part: &&[usize]| part[1] - part[0] >= 2 * self.segment_min;
        let parts: Vec<&[usize]> = borders.windows(2).filter(is_divisible).collect();
        if let [part] = parts.as_slice()
            && part[1] - part[0] <= ALL_ORDERS_MAX
        {
            let mut values = series[part[0]..part[1]].to_vec();
            let (whole, mut orders, mut reached) = ([0, values.len()], 0u32, 0u32);
            for_each_order(&mut values, &mut |values| {
                orders += 1;
                reached += u32::from(reaches(values, &whole));
            });
            return f64::from(reached) / f64::from(orders);
        }
        let mut shuffled = series.to_vec();
        let mut reached = 1;
        for _ in 0..self.shuffles {
            for part in &parts {
                shuffled[part[0]..part[1]].shuffle(random);
            }
            reached += u32::from(reaches(&shuffled, borders));
        }
        f64::from(reached) / f64::from(self.shuffles + 1)
    }
}

/// So many values have 40,320 orders.
const ALL_ORDERS_MAX: usize = 8;
/// Of a sum of distances, by the largest of them and their number.
const ROUNDING: f64 = 1e-9;

#[derive(Clone, Copy, Debug)]
struct Split {
    at: usize,
    statistic: f64,
}

/// The split with the largest statistic. What is behind it need not reach to the end: a part that
/// differs is found also where the values return to what they were.
fn best_split(values: &[f64], segment_min: usize) -> Option<Split> {
    let length = values.len();
    if length < 2 * segment_min {
        return None;
    }
    let distances = Distances::of(values);
    let ats = segment_min..=length - segment_min;
    let splits = ats.flat_map(|at| {
        let ends = at + segment_min..=length;
        let statistic = ends.map(|end| distances.statistic(at, end));
        statistic
            .max_by(f64::total_cmp)
            .map(|statistic| Split { at, statistic })
    });
    splits.max_by(|a, b| a.statistic.total_cmp(&b.statistic))
}

/// Sums of the distances |a - b| of the first so many values to the first so many values.
struct Distances {
    sums: Vec<f64>,
    width: usize,
}

impl Distances {
    fn of(values: &[f64]) -> Self {
        let width = values.len() + 1;
        let mut sums = vec![0.0; width * width];
        for (row, one) in values.iter().enumerate() {
            let mut in_row = 0.0;
            for (column, other) in values.iter().enumerate() {
                in_row += (one - other).abs();
                sums[(row + 1) * width + column + 1] = sums[row * width + column + 1] + in_row;
            }
        }
        Self { sums, width }
    }

    fn sum(&self, rows: usize, columns: usize) -> f64 {
        self.sums[rows * self.width + columns]
    }

    /// Q of the paper with α = 1, for the values before `at` and those from there to `end`: with m and
    /// n of them, mn/(m+n) times twice the mean distance between the sides less the mean distances
    /// within each.
    fn statistic(&self, at: usize, end: usize) -> f64 {
        let (m, n) = (at as f64, (end - at) as f64);
        let within_left = self.sum(at, at);
        let between = self.sum(at, end) - within_left;
        // Both directions are in it, as they are in `within_left`.
        let within_right = self.sum(end, end) - 2.0 * self.sum(at, end) + within_left;
        let energy = 2.0 * between / (m * n)
            - within_left / (m * (m - 1.0))
            - within_right / (n * (n - 1.0));
        m * n / (m + n) * energy
    }
}

fn range(series: &[f64]) -> f64 {
    let least = series.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = series.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (greatest - least).max(0.0)
}

/// Calls with every order of the values (B. R. Heap, "Permutations by Interchanges", The Computer
/// Journal 6 (1963)).
fn for_each_order(values: &mut [f64], visit: &mut impl FnMut(&[f64])) {
    fn orders(values: &mut [f64], first: usize, visit: &mut impl FnMut(&[f64])) {
        if first <= 1 {
            return visit(values);
        }
        for index in 0..first {
            orders(values, first - 1, visit);
            let other = if first.is_multiple_of(2) { index } else { 0 };
            if index + 1 < first {
                values.swap(other, first - 1);
            }
        }
    }
    orders(values, values.len(), visit);
}

#[cfg(test)]
mod tests;
