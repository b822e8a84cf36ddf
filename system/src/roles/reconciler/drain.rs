//! Proves that everything published to an incarnation's queue so far has been committed.
//!
//! A marker is put behind it; when the marker's row is there, and the consumer session that committed it is the one
//! that was current before it was put (R5: nothing was returned in between), everything before it has its row.

use crate::broker::{self, Names};
use crate::config::{Config, MqConfig};
use crate::store::Store;
use lapin::{Channel, Connection};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How often the database is asked for a marker.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// A marker that was not committed within this time may have been lost with its consumer; another one is put.
const MARKER_PATIENCE: Duration = Duration::from_secs(5);

/// Puts markers and waits for them.
pub struct Drainer {
    store: Store,
    mq: MqConfig,
    timeout: Duration,
    connection: Mutex<Option<Connection>>,
}

impl Drainer {
    /// Connects when first needed.
    pub fn new(store: Store, config: &Config) -> Self {
        let timeout = Duration::from_millis(config.reconciler.drain_timeout_ms);
        Self { store, mq: config.mq.clone(), timeout, connection: Mutex::new(None) }
    }

    /// Whether the queue of `incarnation` was drained of everything that was in it when this was called.
    /// `false` means not within the time allowed; it may be drained later.
    pub async fn drain(&self, incarnation: i64) -> anyhow::Result<bool> {
        let deadline = Instant::now() + self.timeout;
        while Instant::now() < deadline {
            let Some(session) = self.store.consumer_session(incarnation).await? else {
                return Ok(true);
            };
            let nonce = rand::random();
            let channel = self.channel().await?;
            broker::put_marker(&channel, &Names::new(&self.mq), incarnation, nonce).await?;
            let _ = channel.close(200, "done".into()).await;
            let patience = (Instant::now() + MARKER_PATIENCE).min(deadline);
            if self.committed_in(nonce, patience).await? == Some(session) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes away the binding of an earlier generation, the second defence of R1.
    pub async fn unbind(&self, incarnation: i64, generation: i64) -> anyhow::Result<()> {
        let channel = self.channel().await?;
        broker::unbind_generation(&channel, &Names::new(&self.mq), incarnation, generation).await?;
        let _ = channel.close(200, "done".into()).await;
        Ok(())
    }

    /// Deletes the queue of a drained incarnation.
    pub async fn delete_queue(&self, incarnation: i64) -> anyhow::Result<()> {
        let channel = self.channel().await?;
        broker::delete_order_queue(&channel, &Names::new(&self.mq), incarnation).await?;
        let _ = channel.close(200, "done".into()).await;
        Ok(())
    }

    async fn committed_in(&self, nonce: u64, deadline: Instant) -> sqlx::Result<Option<i64>> {
        while Instant::now() < deadline {
            if let Some(session) = self.store.marker_session(nonce).await? {
                return Ok(Some(session));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(None)
    }

    /// A channel on a connection that is opened again when it was lost.
    async fn channel(&self) -> anyhow::Result<Channel> {
        let mut slot = self.connection.lock().await;
        let connection = match slot.take().filter(|connection| connection.status().connected()) {
            Some(connection) => connection,
            None => broker::connect(&self.mq, "reconciler").await?,
        };
        let channel = broker::confirming_channel(&connection).await;
        *slot = Some(connection);
        channel
    }
}
