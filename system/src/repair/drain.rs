//! Proves that everything published to an incarnation's queue so far has been committed.
//!
//! A marker is put behind it; when the marker's row is there, and the consumer session that
//! committed it is the one that was current before it was put (drain-in-one-session, R5: nothing
//! was returned in between), everything before it has its row. A queue that is gone is recorded and
//! made anew (exclusive-route, R6).

use crate::broker::{self, Broker, Settings};
use crate::config::Config;
use crate::ids::{ConsumerSession, Generation};
use crate::store::Store;
use anyhow::bail;
use engines::IncarnationId;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How often the database is asked for a marker.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// A marker that was not committed within this time may have been lost with its consumer; another
/// one is put.
const MARKER_PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait for one answer of the broker. One that is frozen, or has an alarm, gives none.
const BROKER_TIMEOUT: Duration = Duration::from_secs(3);

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
    /// called. `false` means not within the time allowed; it may be drained later. An error also
    /// when the queue cannot be reached.
    pub async fn drain(&self, incarnation: IncarnationId) -> anyhow::Result<bool> {
        let deadline = Instant::now() + self.timeout;
        while Instant::now() < deadline {
            let Some(session) = self.store.consumer_session(incarnation).await? else {
                return Ok(true);
            };
            let nonce = rand::random();
            let broker = self.broker().await?;
            if !self.within(broker.put_marker(incarnation, nonce)).await? {
                self.reach(incarnation).await?;
                tokio::time::sleep(POLL_INTERVAL).await;
                continue;
            }
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
        let broker = self.broker().await?;
        self.within(broker.unbind(incarnation, generation)).await
    }

    /// Makes sure that the queue of `incarnation` is there. One that is gone is recorded as parked,
    /// with an alarm, and made anew, empty; an error means that it cannot be reached now, because
    /// its node or the broker is down.
    pub async fn reach(&self, incarnation: IncarnationId) -> anyhow::Result<()> {
        let broker = self.broker().await?;
        if self.within(broker.has_queue(incarnation)).await? {
            return Ok(());
        }
        let Some(is_new) = self.store.suspect_lost_queue(incarnation).await? else {
            // "Drained" is stored before a queue goes: somebody else retired it meanwhile.
            return Ok(());
        };
        // After an error it may have been made: the record stays.
        if !self.within(broker.declare_queue(incarnation)).await? {
            // One that was there may be of somebody who made the queue and died.
            if is_new {
                self.store.unsuspect_queue(incarnation).await?;
            }
            bail!("the node of its queue is down");
        }
        if self.store.queue_is_lost(incarnation).await? {
            tracing::error!(
                incarnation = incarnation.0,
                "its queue is gone, and with it whatever was in it: recorded as parked, to be resolved by hand"
            );
        }
        Ok(())
    }

    /// Deletes the queue of a drained incarnation.
    pub async fn delete_queue(&self, incarnation: IncarnationId) -> anyhow::Result<()> {
        let broker = self.broker().await?;
        self.within(broker.delete_queue(incarnation)).await
    }

    /// Whether the last answer that the broker owed came.
    pub async fn is_connected(&self) -> bool {
        let slot = self.connection.lock().await;
        slot.as_ref().is_some_and(|broker| broker.is_connected())
    }

    /// What the broker answers in time. One that does not is connected to anew the next time.
    async fn within<T>(
        &self,
        asking: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        match tokio::time::timeout(BROKER_TIMEOUT, asking).await {
            Ok(answer) => answer,
            Err(_) => {
                *self.connection.lock().await = None;
                bail!("the broker did not answer within {BROKER_TIMEOUT:?}")
            }
        }
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
