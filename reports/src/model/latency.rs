//! A latency distribution small enough to store with every leg, made from an HDR histogram of
//! microseconds.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Most buckets in a summary. The bounds of each bucket have the same ratio.
const BUCKETS_MAX: usize = 200;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencySummary {
    pub mean_us: f64,
    pub min_us: u64,
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub max_us: u64,
    /// `(upper bound in µs, number of values up to it and above the previous bound)`; at most 200,
    /// and empty buckets are left out.
    pub buckets: Vec<(u64, u64)>,
}

impl LatencySummary {
    /// Summary of a histogram of microseconds; all its figures are zero when the histogram is
    /// empty.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        Self {
            mean_us: histogram.mean(),
            min_us: histogram.min(),
            p50_us: histogram.value_at_quantile(0.50),
            p90_us: histogram.value_at_quantile(0.90),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
            buckets: buckets(histogram),
        }
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

/// Divides the range from the smallest to the largest value into buckets of equal ratio. A value is
/// counted in the bucket that holds the upper end of its histogram cell, so that each is counted
/// exactly once.
fn buckets(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    let low = histogram.min().max(1) as f64;
    let ratio = (histogram.max().max(1) as f64 / low)
        .max(1.0)
        .powf(1.0 / BUCKETS_MAX as f64);
    let mut bounds = (1..BUCKETS_MAX).map(|step| (low * ratio.powi(step as i32)).ceil() as u64);
    let mut bound = bounds.next().unwrap_or(u64::MAX);
    let mut buckets: Vec<(u64, u64)> = Vec::new();
    for cell in histogram.iter_recorded() {
        let value = cell.value_iterated_to().min(histogram.max());
        while value > bound {
            bound = bounds.next().unwrap_or(histogram.max().max(value));
        }
        match buckets.last_mut() {
            Some((upper, count)) if *upper == bound => *count += cell.count_since_last_iteration(),
            _ => buckets.push((bound, cell.count_since_last_iteration())),
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000, 3).expect("valid bounds");
        for value in values {
            histogram.record(value).expect("value within bounds");
        }
        histogram
    }

    #[test]
    fn an_empty_histogram_gives_zeroes() {
        assert_eq!(
            LatencySummary::of(&histogram([])),
            LatencySummary::default()
        );
    }

    #[test]
    fn buckets_count_every_value_once_and_rise() {
        let summary = LatencySummary::of(&histogram((1..=100_000).map(|n| n * 37)));
        assert_eq!(summary.count(), 100_000);
        assert!(summary.buckets.len() <= BUCKETS_MAX);
        assert!(summary.buckets.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(
            summary
                .buckets
                .last()
                .is_some_and(|(upper, _)| *upper >= summary.max_us)
        );
    }

    #[test]
    fn one_repeated_value_is_one_bucket() {
        let summary = LatencySummary::of(&histogram([250; 40]));
        assert_eq!(summary.buckets, vec![(250, 40)]);
        assert_eq!(
            (summary.min_us, summary.p50_us, summary.max_us),
            (250, 250, 250)
        );
    }
}
