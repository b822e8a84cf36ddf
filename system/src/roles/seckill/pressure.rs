//! What the serving threads have been waiting for, for whoever asks what limited a run. Counted per
//! batch, never per request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Sums over all serving threads since the start.
#[derive(Debug, Default)]
pub struct Pressure {
    confirm_wait_ns: AtomicU64,
    engine_wait_ns: AtomicU64,
    batches: AtomicU64,
    orders: AtomicU64,
}

/// The sums as they were at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    pub confirm_wait_ns: u64,
    pub engine_wait_ns: u64,
    pub batches: u64,
    pub orders: u64,
}

impl Pressure {
    /// A batch begins; its requests had to wait so long for a confirm of one before.
    pub fn batch(&self, confirm_wait: Duration) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        add(&self.confirm_wait_ns, confirm_wait);
    }

    /// A call of the engine took so long.
    pub fn engine_call(&self, took: Duration) {
        add(&self.engine_wait_ns, took);
    }

    /// So many orders are handed to the broker.
    pub fn orders(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.orders.fetch_add(count, Ordering::Relaxed);
    }

    pub fn sums(&self) -> Sums {
        let of = |sum: &AtomicU64| sum.load(Ordering::Relaxed);
        Sums {
            confirm_wait_ns: of(&self.confirm_wait_ns),
            engine_wait_ns: of(&self.engine_wait_ns),
            batches: of(&self.batches),
            orders: of(&self.orders),
        }
    }
}

fn add(sum: &AtomicU64, duration: Duration) {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    sum.fetch_add(ns, Ordering::Relaxed);
}
