//! The durable queue in the SQLite file of the embedded stack: bindings, queues, and who shares
//! what.
//!
//! All publishing and acknowledging goes through one writer thread per file, so that whatever waits
//! at the same time shares a commit. One process uses the file: who consumes, and what it was
//! given, is known in memory alone.

mod consumer;
mod publisher;
#[cfg(test)]
mod tests;
mod writer;

use super::contract::{Broker, Deliveries, PublishOutcome};
use super::names::{MessageIds, Names, marker_id};
use crate::config::{Ack, MqConfig};
use crate::envelope;
use anyhow::{Context, ensure};
use async_trait::async_trait;
use consumer::EmbeddedDeliveries;
use database::sqlite::SqliteFile;
use publisher::EmbeddedPublisher;
use sqlx::Row;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use writer::{Message, WriterHandle};

/// The generation that every queue is bound to by itself; markers are put under it. Those of
/// publishers begin at 1.
const QUEUE_ITSELF: i64 = 0;
/// Longest wait for acknowledgements to be written when closing; what is not written is delivered
/// again.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Queue files that are open in this process.
static OPEN: LazyLock<Mutex<Vec<Weak<Shared>>>> = LazyLock::new(Mutex::default);

/// What everybody who uses the queues of one file shares.
#[derive(Debug)]
struct Shared {
    file: Arc<SqliteFile>,
    queues: Arc<Queues>,
    writer: WriterHandle,
}

/// The queues that this process has used.
#[derive(Debug, Default)]
struct Queues {
    by_incarnation: Mutex<HashMap<i64, Arc<Queue>>>,
}

/// What is known in memory of one queue.
#[derive(Debug)]
struct Queue {
    /// R4: whoever holds it is the active consumer.
    active: Arc<tokio::sync::Mutex<()>>,
    /// Wakes the active consumer.
    arrived: Notify,
    /// Messages up to this one have been given to the active consumer, and need not be there for
    /// anybody else.
    delivered: AtomicI64,
    /// Messages up to this one are done with; the writer deletes them with its next commit.
    acknowledged: AtomicI64,
    /// Messages up to this one are deleted.
    deleted: AtomicI64,
    /// The queue holds no more messages than this.
    length_at_most: AtomicU64,
}

/// The queues of one file, for one user.
#[derive(Debug)]
pub struct EmbeddedBroker {
    shared: Arc<Shared>,
    names: Names,
    config: MqConfig,
}

impl EmbeddedBroker {
    /// The queues in the file of this URL; everybody in this process who opens it shares one
    /// writer.
    pub fn open(url: &str, config: &MqConfig, name: &str) -> anyhow::Result<Self> {
        let file = SqliteFile::open(url);
        let file =
            file.with_context(|| format!("database.url: {url} is not of the form sqlite:///path"))?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|shared| shared.strong_count() > 0);
        let known = open
            .iter()
            .filter_map(Weak::upgrade)
            .find(|shared| Arc::ptr_eq(&shared.file, &file));
        let shared = match known {
            Some(shared) => shared,
            None => {
                let queues: Arc<Queues> = Arc::default();
                let writer = WriterHandle::start(file.clone(), queues.clone())?;
                let shared = Arc::new(Shared {
                    file,
                    queues,
                    writer,
                });
                open.push(Arc::downgrade(&shared));
                shared
            }
        };
        tracing::debug!(name, url, "uses the embedded queue");
        Ok(Self {
            shared,
            names: Names::new(config),
            config: config.clone(),
        })
    }

    /// Publishes through the writer that everybody shares.
    pub fn publisher(&self, ack: Ack, name: &str) -> EmbeddedPublisher {
        EmbeddedPublisher::new(
            self.shared.clone(),
            self.config.queue_max_messages,
            ack,
            MessageIds::new(name),
        )
    }
}

#[async_trait]
impl Broker for EmbeddedBroker {
    fn is_connected(&self) -> bool {
        self.shared.writer.is_alive()
    }

    /// Waits, within a bound, until what was acknowledged so far is deleted.
    async fn close(&self, _why: &str) {
        if tokio::time::timeout(CLOSE_TIMEOUT, self.shared.writer.flush())
            .await
            .is_err()
        {
            tracing::warn!(
                ?CLOSE_TIMEOUT,
                "acknowledgements were not written in time; there will be redeliveries"
            );
        }
    }

    async fn bind(&self, incarnation: i64, generation: i64) -> anyhow::Result<()> {
        let binding = async {
            let mut transaction = self.shared.file.write().await?;
            for generation in [QUEUE_ITSELF, generation] {
                sqlx::query(
                    "INSERT INTO queue_bindings (incarnation, generation) VALUES (?, ?) ON CONFLICT DO NOTHING",
                )
                .bind(incarnation)
                .bind(generation)
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await
        };
        binding.await.with_context(|| {
            format!(
                "cannot bind {}",
                self.names.order_key(incarnation, generation)
            )
        })
    }

    async fn unbind(&self, incarnation: i64, generation: i64) -> anyhow::Result<()> {
        let unbinding = async {
            let mut transaction = self.shared.file.write().await?;
            sqlx::query("DELETE FROM queue_bindings WHERE incarnation = ? AND generation = ?")
                .bind(incarnation)
                .bind(generation)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await
        };
        unbinding.await.with_context(|| {
            format!(
                "cannot unbind {}",
                self.names.order_key(incarnation, generation)
            )
        })
    }

    async fn delete_queue(&self, incarnation: i64) -> anyhow::Result<()> {
        let queue = self.shared.queues.of(incarnation);
        // What is with the consumer is as good as acknowledged: the queue is drained, so all of it
        // is committed.
        let taken = queue
            .delivered
            .load(Ordering::SeqCst)
            .max(queue.acknowledged.load(Ordering::SeqCst));
        let deleting = async {
            let mut transaction = self.shared.file.write().await?;
            let waiting = sqlx::query(
                "SELECT COUNT(*) FROM queue_messages WHERE incarnation = ? AND seq > ?",
            )
            .bind(incarnation)
            .bind(taken)
            .fetch_one(&mut *transaction)
            .await?
            .try_get::<i64, _>(0)?;
            ensure!(waiting == 0, "{waiting} messages wait in it");
            for table in ["queue_messages", "queue_bindings"] {
                sqlx::query(&format!("DELETE FROM {table} WHERE incarnation = ?"))
                    .bind(incarnation)
                    .execute(&mut *transaction)
                    .await?;
            }
            Ok(transaction.commit().await?)
        };
        let deleted = deleting.await;
        deleted.with_context(|| {
            format!(
                "cannot delete queue {}",
                self.names.order_queue(incarnation)
            )
        })?;
        // Its consumer finds it gone.
        queue.arrived.notify_one();
        self.shared.queues.forget(incarnation);
        Ok(())
    }

    async fn put_marker(&self, incarnation: i64, nonce: u64) -> anyhow::Result<()> {
        let message = Message {
            incarnation,
            generation: QUEUE_ITSELF,
            kind: envelope::MARKER_TYPE,
            message_id: marker_id(nonce),
            body: envelope::encode_marker(nonce),
            max_messages: self.config.queue_max_messages.into(),
        };
        let outcome = self.shared.writer.put(message).await.confirmed().await;
        let queue = self.names.order_queue(incarnation);
        ensure!(
            outcome == PublishOutcome::Accepted,
            "the broker did not take a marker into {queue}: {outcome:?}"
        );
        Ok(())
    }

    async fn consume(&self, incarnation: i64) -> anyhow::Result<Box<dyn Deliveries>> {
        let (shared, prefetch) = (self.shared.clone(), self.config.consumer_prefetch);
        Ok(Box::new(EmbeddedDeliveries::new(
            shared,
            incarnation,
            prefetch,
        )))
    }
}

impl Queues {
    fn of(&self, incarnation: i64) -> Arc<Queue> {
        self.lock().entry(incarnation).or_default().clone()
    }

    /// Ids are never used again, so nobody who still has this queue can meet one who makes it anew.
    fn forget(&self, incarnation: i64) {
        self.lock().remove(&incarnation);
    }

    /// Queues with acknowledged messages that are still there, and the newest such message.
    fn acknowledged(&self) -> Vec<(i64, Arc<Queue>, i64)> {
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

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Arc<Queue>>> {
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
