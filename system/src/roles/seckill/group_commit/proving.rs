//! Proves lanes again whose publish was not confirmed, with markers instead of orders.

use super::doubts::Doubt;
use crate::broker::PublishOutcome;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// First and longest pause before a marker.
const PAUSE_MIN_MS: u64 = 50;
const PAUSE_MAX_MS: u64 = 2_000;

/// A lane that nobody gets until it has proved itself; dropping it gives it back.
#[derive(Debug)]
pub struct Withheld {
    pub permit: OwnedSemaphorePermit,
    pub doubt: Doubt,
}

/// The pause before the next marker: it grows with each, and is nil again once an order was
/// confirmed. So a queue with room for a marker and for no order is not tried with orders for ever.
#[derive(Debug, Default)]
pub struct Pause {
    ms: AtomicU64,
}

impl Pause {
    /// An order was confirmed.
    pub fn end(&self) {
        self.ms.store(0, Ordering::Relaxed);
    }

    /// An order was not confirmed. Several at the same time are one reason to wait.
    pub fn begin(&self) {
        self.ms.fetch_max(PAUSE_MIN_MS, Ordering::Relaxed);
    }

    /// A marker was tried.
    fn grow(&self) {
        let longer = (self.ms.load(Ordering::Relaxed) * 2).clamp(PAUSE_MIN_MS, PAUSE_MAX_MS);
        self.ms.store(longer, Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_millis(self.ms.load(Ordering::Relaxed))
    }
}

/// Gives lanes back one after the other, each after a marker that `probe` sent was confirmed.
/// `probe` is `None` while nothing can be sent.
pub async fn prove<P: Future<Output = Option<PublishOutcome>>>(
    mut lanes: mpsc::UnboundedReceiver<Withheld>,
    pause: &Pause,
    probe: impl Fn() -> P,
) {
    while let Some(lane) = lanes.recv().await {
        loop {
            tokio::time::sleep(pause.get()).await;
            match probe().await {
                Some(PublishOutcome::Accepted) => break,
                Some(_) => pause.grow(),
                None => tokio::time::sleep(Duration::from_millis(PAUSE_MIN_MS)).await,
            }
        }
        pause.grow();
        let Withheld { permit, doubt } = lane;
        drop(doubt);
        drop(permit);
    }
}
