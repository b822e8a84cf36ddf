//! Histograms that threads add to without waiting for anybody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

/// Bounds for what people wait for, ns: 0.5 ms to 2.5 s.
pub const REQUEST: [u64; 12] = [
    MS / 2,
    MS,
    5 * MS / 2,
    5 * MS,
    10 * MS,
    25 * MS,
    50 * MS,
    100 * MS,
    250 * MS,
    500 * MS,
    S,
    5 * S / 2,
];

/// Bounds for the way from an order to its row, ns: 5 ms to 60 s.
pub const ROW: [u64; 12] = [
    5 * MS,
    10 * MS,
    25 * MS,
    50 * MS,
    100 * MS,
    250 * MS,
    500 * MS,
    S,
    5 * S / 2,
    5 * S,
    10 * S,
    60 * S,
];

/// Bounds for calls of one server, ns: 0.1 ms to 1 s.
pub const CALL: [u64; 12] = [
    MS / 10,
    MS / 4,
    MS / 2,
    MS,
    5 * MS / 2,
    5 * MS,
    10 * MS,
    25 * MS,
    50 * MS,
    100 * MS,
    250 * MS,
    S,
];

/// Bounds for batches, requests or orders.
pub const BATCH: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_000];

/// How often values were within each bound, and their sum. Whoever adds to it waits for nobody.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// Of one value more than there are bounds: what is beyond them.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
    /// What one is in the unit that is shown.
    scale: f64,
}

impl Histogram {
    /// Of durations in ns, shown in s.
    pub fn durations(bounds: &'static [u64]) -> Self {
        Self::new(bounds, 1e-9)
    }

    /// Of counts.
    pub fn counts(bounds: &'static [u64]) -> Self {
        Self::new(bounds, 1.0)
    }

    fn new(bounds: &'static [u64], scale: f64) -> Self {
        Self {
            bounds,
            buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            scale,
        }
    }

    /// Adds one value.
    pub fn observe(&self, value: u64) {
        self.add(bucket_of(self.bounds, value), 1, value);
    }

    /// Adds `count` values of the bucket with this index, which together make `sum`.
    pub fn add(&self, bucket: usize, count: u64, sum: u64) {
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(count, Ordering::Relaxed);
            self.sum.fetch_add(sum, Ordering::Relaxed);
        }
    }

    /// Upper bounds in the unit that is shown, with how many values are in each bucket alone; the
    /// last has no bound. And the sum.
    pub(super) fn read(&self) -> (Vec<(f64, u64)>, f64) {
        let bounds = self.bounds.iter().map(|bound| *bound as f64 * self.scale);
        let bounds = bounds.chain([f64::INFINITY]);
        let counts = self.buckets.iter();
        let counts = counts.map(|bucket| bucket.load(Ordering::Relaxed));
        let sum = self.sum.load(Ordering::Relaxed) as f64 * self.scale;
        (bounds.zip(counts).collect(), sum)
    }
}

/// The index of the first of the ascending `bounds` that `value` does not exceed; their number if it
/// exceeds all.
pub fn bucket_of(bounds: &[u64], value: u64) -> usize {
    bounds.partition_point(|bound| *bound < value)
}

/// In ns.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
