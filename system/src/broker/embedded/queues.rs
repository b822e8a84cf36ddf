//! What is known in memory of the queues of one file: which consumer is active, what it was given
//! and what is done with.

use crate::ids::Generation;
use engines::IncarnationId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The generation that every queue is bound to by itself; markers are put under it. Those of
/// publishers begin at 1.
pub const QUEUE_ITSELF: Generation = Generation(0);

/// The queues that this process has used.
#[derive(Debug, Default)]
pub struct Queues {
    by_incarnation: Mutex<HashMap<IncarnationId, Arc<Queue>>>,
}

/// What is known in memory of one queue.
#[derive(Debug)]
pub struct Queue {
    /// one-consumer-per-queue (R4): whoever holds it is the active consumer.
    pub active: Arc<tokio::sync::Mutex<()>>,
    /// Wakes the active consumer.
    pub arrived: Notify,
    /// Messages up to this one have been given to the active consumer, and need not be there for
    /// anybody else.
    pub delivered: AtomicI64,
    /// Messages up to this one are done with; the writer deletes them with its next commit.
    pub acknowledged: AtomicI64,
    /// Messages up to this one are deleted.
    pub deleted: AtomicI64,
    /// The queue holds no more messages than this.
    pub length_at_most: AtomicU64,
}

impl Queues {
    /// The queue of an incarnation, made when it is first asked for.
    pub fn of(&self, incarnation: IncarnationId) -> Arc<Queue> {
        self.lock().entry(incarnation).or_default().clone()
    }

    /// Incarnations never come back, so a queue that is forgotten is not asked for anew.
    pub fn forget(&self, incarnation: IncarnationId) {
        self.lock().remove(&incarnation);
    }

    /// Queues with acknowledged messages that are still there, and the newest such message.
    pub fn acknowledged(&self) -> Vec<(IncarnationId, Arc<Queue>, i64)> {
        let queues = self.lock();
        let newest = queues.iter().map(|(incarnation, queue)| {
            (
                *incarnation,
                queue.clone(),
                queue.acknowledged.load(Ordering::SeqCst),
            )
        });
        newest
            .filter(|(_, queue, newest)| *newest > queue.deleted.load(Ordering::SeqCst))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IncarnationId, Arc<Queue>>> {
        self.by_incarnation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            active: Arc::default(),
            arrived: Notify::new(),
            delivered: AtomicI64::new(0),
            acknowledged: AtomicI64::new(0),
            deleted: AtomicI64::new(0),
            // Not counted yet.
            length_at_most: AtomicU64::new(u64::MAX),
        }
    }
}
