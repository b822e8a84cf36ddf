//! What is counted of the reading of one kind of thing.

use crate::metrics::{Kind, Metrics};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How somebody's question was met.
#[derive(Clone, Copy, Debug)]
pub enum Read {
    /// It was known.
    Hit,
    /// It was known not to be there.
    Absent,
    /// A look is needed.
    Missed,
    /// A look that somebody else needed answers it, too.
    Joined,
    /// Too many wait.
    TurnedAway,
}

/// By [`Read`].
const READS: [&str; 5] = ["hit", "absent", "missed", "joined", "turned_away"];

/// Of one kind of thing.
#[derive(Debug, Default)]
pub struct Counts {
    reads: [AtomicU64; READS.len()],
    forgotten: AtomicU64,
    entries: AtomicUsize,
}

impl Counts {
    /// A question, and how it was met.
    pub fn read(&self, read: Read) {
        self.reads[read as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// So many were forgotten because something has changed.
    pub fn forgot(&self, entries: usize) {
        let entries = u64::try_from(entries).unwrap_or(u64::MAX);
        self.forgotten.fetch_add(entries, Ordering::Relaxed);
    }

    /// So many are remembered now.
    pub fn hold(&self, entries: usize) {
        self.entries.store(entries, Ordering::Relaxed);
    }

    /// Registers them as those of `kind`.
    pub fn register(self: &Arc<Self>, metrics: &Metrics, kind: &'static str) {
        let counts = self.clone();
        let (name, help) = (
            "seckill_product_reads_total",
            "Questions, and how they were met",
        );
        metrics.register(Kind::Counter, name, help, move |out| {
            for (result, count) in READS.iter().zip(&counts.reads) {
                let labels = [("kind", kind), ("result", result)];
                out.count(&labels, count.load(Ordering::Relaxed));
            }
        });
        let counts = self.clone();
        let name = "seckill_product_cache_forgotten_total";
        let help = "Entries forgotten because something has changed";
        metrics.register(Kind::Counter, name, help, move |out| {
            let count = counts.forgotten.load(Ordering::Relaxed);
            out.count(&[("kind", kind)], count);
        });
        let counts = self.clone();
        let (name, help) = ("seckill_product_cache_entries", "What is remembered");
        metrics.register(Kind::Gauge, name, help, move |out| {
            let entries = counts.entries.load(Ordering::Relaxed);
            out.value(&[("kind", kind)], entries as f64);
        });
    }
}
