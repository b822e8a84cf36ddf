//! Whose turn it is to open epochs, so that two reconcilers do not take every epoch from each other
//! before it is open.
//!
//! This keeps them making progress, not correct: the conditional updates of an opening do that
//! without it (open-by-condition, R14).

use crate::store::Store;
use database::NamedLock;
use std::time::{Duration, Instant};

/// A reconciler that has the turn and claims no epoch for this long is taken for stalled. One that
/// died gives its turn back at once, because the database notices its closed connection.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// Remembers what it saw of the others.
#[derive(Debug, Default)]
pub struct Turns {
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// Grows with every claim.
    epochs: i64,
    since: Instant,
}

/// The turn, for as long as its lock lives; none when it is taken over from one that stalled.
#[derive(Debug)]
pub struct Turn {
    lock: Option<NamedLock>,
}

impl Turns {
    /// `None` while another reconciler has it.
    pub async fn take(&mut self, store: &Store) -> database::Result<Option<Turn>> {
        let (lock, epochs) = store.take_turn().await?;
        if lock.is_some() {
            self.waiting = None;
            return Ok(Some(Turn { lock }));
        }
        let waiting = self.waiting.get_or_insert(Waiting {
            epochs,
            since: Instant::now(),
        });
        if waiting.epochs != epochs {
            *waiting = Waiting {
                epochs,
                since: Instant::now(),
            };
        }
        if waiting.since.elapsed() < STALLED_AFTER {
            return Ok(None);
        }
        tracing::warn!(
            ?STALLED_AFTER,
            "the reconciler whose turn it is has stalled; opening without it"
        );
        Ok(Some(Turn { lock: None }))
    }
}

impl Turn {
    /// Lets others open; dropping it does so too, a little later.
    pub async fn give_back(self) {
        if let Some(lock) = self.lock {
            lock.give_back().await;
        }
    }
}
