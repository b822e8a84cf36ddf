//! What the order service counts: what was asked for, and what became of it.

use super::changer::Answer;
use crate::metrics::{Histogram, Kind, Metrics, REQUEST, nanos};
use crate::store::OrderWish;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const CHANGES: [&str; 4] = ["cancel", "pay", "complete", "expire"];
const RESULTS: [&str; 4] = ["done", "refused", "unavailable", "unknown"];

/// Of one process.
#[derive(Debug)]
pub struct Counts {
    /// By change and result.
    changes: [[AtomicU64; RESULTS.len()]; CHANGES.len()],
    /// By change.
    durations: [Histogram; CHANGES.len()],
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            changes: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
            durations: std::array::from_fn(|_| Histogram::durations(&REQUEST)),
        }
    }
}

impl Counts {
    /// Somebody who asked for this got this answer.
    pub fn answer(&self, wish: OrderWish, answer: &Answer, took: Duration) {
        let change = match wish {
            OrderWish::Cancel => 0,
            OrderWish::Pay => 1,
            OrderWish::Complete => 2,
            OrderWish::Expire => 3,
        };
        let result = match answer {
            Answer::Done => 0,
            Answer::Is(_) | Answer::NotFound => 1,
            Answer::NoRowYet | Answer::Crowded | Answer::UserCrowded | Answer::Away => 2,
            Answer::Unknown => 3,
        };
        self.changes[change][result].fetch_add(1, Ordering::Relaxed);
        self.durations[change].observe(nanos(took));
    }

    /// Registers what is counted.
    pub fn register(self: &Arc<Self>, metrics: &Metrics) {
        let counts = self.clone();
        let (name, help) = ("seckill_order_changes_total", "Changes of orders");
        metrics.register(Kind::Counter, name, help, move |out| {
            for (change, results) in CHANGES.iter().zip(&counts.changes) {
                for (result, count) in RESULTS.iter().zip(results) {
                    let labels = [("change", *change), ("result", *result)];
                    out.count(&labels, count.load(Ordering::Relaxed));
                }
            }
        });
        let counts = self.clone();
        let (name, help) = ("seckill_order_change_duration_seconds", "Taken to answered");
        metrics.register(Kind::Histogram, name, help, move |out| {
            for (change, durations) in CHANGES.iter().zip(&counts.durations) {
                out.histogram(&[("change", change)], durations);
            }
        });
    }
}
