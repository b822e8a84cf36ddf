//! The sales a process serves and their terms, polled from the `sales` rows
//! (open-by-condition, R14) and read lock-free by the hot path.

use crate::shutdown::Shutdown;
use crate::store::{SaleRow, Store};
use engines::SaleId;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};

/// How often the rows are read. Bounds how long a new epoch stays unnoticed.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A snapshot of all sales by id.
pub type Sales = Arc<HashMap<SaleId, SaleRow>>;

/// The current snapshot; cheap to clone and to read.
#[derive(Clone, Debug)]
pub struct Terms {
    receiver: watch::Receiver<Sales>,
    source: Arc<Source>,
    /// Its sender goes with the task that reads.
    reading: watch::Receiver<()>,
}

/// Reads one at a time, so that an older snapshot never replaces a newer one.
#[derive(Debug)]
struct Source {
    store: Store,
    sender: Mutex<watch::Sender<Sales>>,
}

impl Terms {
    /// Reads once, then keeps reading on the current runtime until `shutdown`.
    pub async fn start(store: Store, shutdown: Shutdown) -> anyhow::Result<Self> {
        let (sender, receiver) = watch::channel(read(&store).await?);
        let source = Arc::new(Source {
            store,
            sender: Mutex::new(sender),
        });
        let polled = source.clone();
        let (ended, reading) = watch::channel(());
        tokio::spawn(async move {
            let _ended = ended;
            loop {
                let refreshing = async {
                    tokio::time::sleep(POLL_INTERVAL).await;
                    polled.refresh().await
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

    /// Waits until nobody reads any more.
    pub async fn ended(&self) {
        let _ = self.reading.clone().changed().await;
    }

    /// Reads now: what [`Self::sales`] says afterwards is no older than this call.
    pub async fn refresh(&self) -> database::Result<()> {
        self.source.refresh().await
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
    async fn refresh(&self) -> database::Result<()> {
        let sender = self.sender.lock().await;
        let sales = read(&self.store).await?;
        sender.send_if_modified(|current| {
            let changed = *current != sales;
            if changed {
                *current = sales;
            }
            changed
        });
        Ok(())
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
