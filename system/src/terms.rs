//! The sales a process serves and their terms, polled from the `sales` rows
//! (open-by-condition, R14) and read lock-free by the hot path.

use crate::shutdown::Shutdown;
use crate::store::{SaleRow, Store};
use engines::SaleId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex as AsyncMutex, watch};

/// How often the rows are read, by whichever role of a process comes first. Bounds how long a new epoch
/// stays unnoticed: while that role's thread stands still, others read after as long again.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A snapshot of all sales by id.
pub type Sales = Arc<HashMap<SaleId, SaleRow>>;

/// The snapshot that all roles of a process have in common, which are on one database: who has just
/// read has read for the others, too. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct CommonSales(Arc<Common>);

#[derive(Debug, Default)]
struct Common {
    sender: watch::Sender<Sales>,
    last: Mutex<Option<Read>>,
}

/// When the rows were read that are there.
#[derive(Clone, Copy, Debug)]
struct Read {
    began: Instant,
    ended: Instant,
}

/// The current snapshot; cheap to clone and to read.
#[derive(Clone, Debug)]
pub struct Terms {
    receiver: watch::Receiver<Sales>,
    source: Arc<Source>,
    /// Its sender goes with the task that reads.
    reading: watch::Receiver<()>,
}

/// How a role reads: with connections of its own, and one at a time.
#[derive(Debug)]
struct Source {
    store: Store,
    common: CommonSales,
    turn: AsyncMutex<()>,
}

impl Terms {
    /// Reads once, then keeps reading on the current runtime until `shutdown`, as often as nobody else
    /// who has `common` does.
    pub async fn start(
        store: Store,
        common: CommonSales,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let receiver = common.0.sender.subscribe();
        let source = Arc::new(Source {
            store,
            common,
            turn: AsyncMutex::default(),
        });
        source.refresh().await?;
        let polled = source.clone();
        let (ended, reading) = watch::channel(());
        tokio::spawn(async move {
            let _ended = ended;
            loop {
                let refreshing = async {
                    tokio::time::sleep(POLL_INTERVAL).await;
                    match polled.common.is_younger_than(POLL_INTERVAL) {
                        true => Ok(()),
                        false => polled.refresh().await,
                    }
                };
                tokio::select! {
                    // Readers keep the last snapshot while they drain.
                    () = shutdown.requested() => break,
                    refreshed = refreshing => if let Err(error) = refreshed {
                        // Terms stay as they are: the incarnation's lease ends them if the database
                        // stays away.
                        tracing::warn!(%error, "cannot read the sales");
                    }
                }
            }
        });
        Ok(Self {
            receiver,
            source,
            reading,
        })
    }

    /// Waits until this role reads no more.
    pub async fn ended(&self) {
        let _ = self.reading.clone().changed().await;
    }

    /// Reads now: what [`Self::sales`] says afterwards is no older than this call.
    pub async fn refresh(&self) -> database::Result<()> {
        self.source.refresh().await
    }

    /// Tells of every snapshot that differs from the one before.
    pub fn changes(&self) -> watch::Receiver<Sales> {
        self.receiver.clone()
    }

    /// The present snapshot.
    pub fn sales(&self) -> Sales {
        self.receiver.borrow().clone()
    }

    /// One sale of the present snapshot.
    pub fn sale(&self, sale: SaleId) -> Option<SaleRow> {
        self.receiver.borrow().get(&sale).copied()
    }
}

impl Source {
    /// Waits for no other role: a connection of theirs may have fallen silent.
    async fn refresh(&self) -> database::Result<()> {
        let _turn = self.turn.lock().await;
        let asked = Instant::now();
        loop {
            let began = Instant::now();
            let sales = read(&self.store).await?;
            // If it is not said, somebody else has just said what they read.
            if self.common.say(began, sales) || self.common.is_younger_than(asked.elapsed()) {
                return Ok(());
            }
        }
    }
}

impl CommonSales {
    /// Whether the rows were read since so long ago.
    fn is_younger_than(&self, age: Duration) -> bool {
        self.last().is_some_and(|read| read.began.elapsed() < age)
    }

    /// Says what a read brought that began then. Of two that overlap nobody knows which has seen the
    /// newer rows, so that only the first to end is said: an older snapshot never replaces a newer one.
    fn say(&self, began: Instant, sales: Sales) -> bool {
        let mut last = self.last();
        if last.is_some_and(|read| read.ended >= began) {
            return false;
        }
        let ended = Instant::now();
        *last = Some(Read { began, ended });
        self.0.sender.send_if_modified(|current| {
            let changed = *current != sales;
            if changed {
                *current = sales;
            }
            changed
        });
        true
    }

    fn last(&self) -> MutexGuard<'_, Option<Read>> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(store: &Store) -> database::Result<Sales> {
    Ok(Arc::new(
        store
            .sales()
            .await?
            .into_iter()
            .map(|row| (row.sale, row))
            .collect(),
    ))
}

#[cfg(test)]
mod tests;
