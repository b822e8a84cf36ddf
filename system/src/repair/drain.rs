//! Proves that everything published to an incarnation's queue so far has been committed.
//!
//! A marker is put behind it; when the marker's row is there, and the consumer session that
//! committed it is the one that was current before it was put (drain-in-one-session, R5: nothing
//! was returned in between), everything before it has its row.

use crate::broker::{self, Broker, Settings};
use crate::config::Config;
use crate::ids::{ConsumerSession, Generation};
use crate::store::Store;
use engines::IncarnationId;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How often the database is asked for a marker.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// A marker that was not committed within this time may have been lost with its consumer; another
/// one is put.
const MARKER_PATIENCE: Duration = Duration::from_secs(5);

/// Puts markers and waits for them.
pub struct Drainer {
    store: Store,
    settings: Settings,
    timeout: Duration,
    connection: Mutex<Option<Arc<dyn Broker>>>,
}

impl Drainer {
    /// Connects when first needed.
    pub fn new(store: Store, config: &Config) -> Self {
        let timeout = Duration::from_millis(config.reconciler.drain_timeout_ms);
        Self {
            store,
            settings: Settings::new(config),
            timeout,
            connection: Mutex::new(None),
        }
    }

    /// Whether the queue of `incarnation` was drained of everything that was in it when this was
    /// called. `false` means not within the time allowed; it may be drained later.
    pub async fn drain(&self, incarnation: IncarnationId) -> anyhow::Result<bool> {
        let deadline = Instant::now() + self.timeout;
        while Instant::now() < deadline {
            let Some(session) = self.store.consumer_session(incarnation).await? else {
                return Ok(true);
            };
            let nonce = rand::random();
            self.broker().await?.put_marker(incarnation, nonce).await?;
            let patience = (Instant::now() + MARKER_PATIENCE).min(deadline);
            if self.committed_in(nonce, patience).await? == Some(session) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes away the binding of an earlier generation, the second defence of fence-wait (R1).
    pub async fn unbind(
        &self,
        incarnation: IncarnationId,
        generation: Generation,
    ) -> anyhow::Result<()> {
        self.broker().await?.unbind(incarnation, generation).await
    }

    /// Deletes the queue of a drained incarnation.
    pub async fn delete_queue(&self, incarnation: IncarnationId) -> anyhow::Result<()> {
        self.broker().await?.delete_queue(incarnation).await
    }

    async fn committed_in(
        &self,
        nonce: u64,
        deadline: Instant,
    ) -> database::Result<Option<ConsumerSession>> {
        while Instant::now() < deadline {
            if let Some(session) = self.store.marker_session(nonce).await? {
                return Ok(Some(session));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(None)
    }

    /// A connection that is opened again when it was lost.
    async fn broker(&self) -> anyhow::Result<Arc<dyn Broker>> {
        let mut slot = self.connection.lock().await;
        if let Some(broker) = slot.as_ref().filter(|broker| broker.is_connected()) {
            return Ok(broker.clone());
        }
        let broker = broker::connect(&self.settings, "reconciler").await?;
        *slot = Some(broker.clone());
        Ok(broker)
    }
}
