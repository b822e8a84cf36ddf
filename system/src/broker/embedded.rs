//! The durable queue in the SQLite file of the embedded stack: bindings, queues, and who shares
//! what.
//!
//! All publishing and acknowledging goes through one writer thread per file, so that whatever waits
//! at the same time shares a commit. One process uses the file: who consumes, and what it was
//! given, is known in memory alone.

mod consumer;
mod file;
mod publisher;
mod queues;
#[cfg(test)]
mod tests;
mod writer;

use super::contract::{Broker, Deliveries, PublishOutcome};
use super::names::{MessageIds, Names, marker_id};
use crate::config::{Ack, MqConfig};
use crate::envelope;
use crate::ids::Generation;
use anyhow::{Context, bail, ensure};
use async_trait::async_trait;
use consumer::EmbeddedDeliveries;
use engines::IncarnationId;
use file::QueueFile;
use publisher::EmbeddedPublisher;
use queues::QUEUE_ITSELF;
use sqlx::Row;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use writer::Message;

/// Longest wait for acknowledgements to be written when closing; what is not written is delivered
/// again.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// The queues of one file, for one user.
#[derive(Debug)]
pub struct EmbeddedBroker {
    file: Arc<QueueFile>,
    names: Names,
    config: MqConfig,
}

impl EmbeddedBroker {
    /// The queues in the file of this URL; everybody in this process who opens it shares one
    /// writer.
    pub fn open(url: &str, config: &MqConfig, name: &str) -> anyhow::Result<Self> {
        let file = QueueFile::open(url)?;
        tracing::debug!(name, url, "uses the embedded queue");
        Ok(Self {
            file,
            names: Names::new(config),
            config: config.clone(),
        })
    }

    /// Publishes through the writer that everybody shares.
    pub fn publisher(&self, ack: Ack, name: &str) -> EmbeddedPublisher {
        EmbeddedPublisher::new(
            self.file.clone(),
            self.config.queue_max_messages,
            ack,
            MessageIds::new(name),
        )
    }
}

#[async_trait]
impl Broker for EmbeddedBroker {
    fn is_connected(&self) -> bool {
        self.file.writer.is_alive()
    }

    /// Waits, within a bound, until what was acknowledged so far is deleted.
    async fn close(&self, _why: &str) {
        if tokio::time::timeout(CLOSE_TIMEOUT, self.file.writer.flush())
            .await
            .is_err()
        {
            tracing::warn!(
                ?CLOSE_TIMEOUT,
                "acknowledgements were not written in time; there will be redeliveries"
            );
        }
    }

    async fn declare_queue(&self, incarnation: IncarnationId) -> anyhow::Result<bool> {
        let declaring = self.file.insert_binding(incarnation, QUEUE_ITSELF);
        declaring.await.map(|()| true).with_context(|| {
            format!(
                "cannot declare queue {}",
                self.names.order_queue(incarnation)
            )
        })
    }

    async fn has_queue(&self, incarnation: IncarnationId) -> anyhow::Result<bool> {
        let looking = self.file.has_queue(incarnation);
        looking.await.with_context(|| {
            format!(
                "cannot look for queue {}",
                self.names.order_queue(incarnation)
            )
        })
    }

    async fn waiting(&self, incarnation: IncarnationId) -> anyhow::Result<Option<u64>> {
        if !self.has_queue(incarnation).await? {
            return Ok(None);
        }
        let queue = self.file.queues.of(incarnation);
        let delivered = queue.delivered.load(Ordering::SeqCst);
        let sql = "SELECT COUNT(*) FROM queue_messages WHERE incarnation = ? AND seq > ?";
        let count = sqlx::query(sql)
            .bind(incarnation.0)
            .bind(delivered)
            .fetch_one(self.file.sqlite.readers())
            .await?;
        Ok(Some(count.try_get::<i64, _>(0)?.unsigned_abs()))
    }

    async fn bind(&self, incarnation: IncarnationId, generation: Generation) -> anyhow::Result<()> {
        let key = self.names.order_key(incarnation, generation);
        ensure!(
            self.has_queue(incarnation).await?,
            "cannot bind {key}: its queue is gone"
        );
        let binding = self.file.insert_binding(incarnation, generation);
        binding.await.with_context(|| format!("cannot bind {key}"))
    }

    async fn unbind(
        &self,
        incarnation: IncarnationId,
        generation: Generation,
    ) -> anyhow::Result<()> {
        let unbinding = async {
            let mut transaction = self.file.sqlite.write().await?;
            sqlx::query("DELETE FROM queue_bindings WHERE incarnation = ? AND generation = ?")
                .bind(incarnation.0)
                .bind(generation.0)
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

    async fn delete_queue(&self, incarnation: IncarnationId) -> anyhow::Result<()> {
        let queue = self.file.queues.of(incarnation);
        // What is with the consumer is as good as acknowledged: the queue is drained, so all of it
        // is committed.
        let taken = queue
            .delivered
            .load(Ordering::SeqCst)
            .max(queue.acknowledged.load(Ordering::SeqCst));
        let deleting = async {
            let mut transaction = self.file.sqlite.write().await?;
            let waiting = sqlx::query(
                "SELECT COUNT(*) FROM queue_messages WHERE incarnation = ? AND seq > ?",
            )
            .bind(incarnation.0)
            .bind(taken)
            .fetch_one(&mut *transaction)
            .await?
            .try_get::<i64, _>(0)?;
            ensure!(waiting == 0, "{waiting} messages wait in it");
            for table in ["queue_messages", "queue_bindings"] {
                sqlx::query(&format!("DELETE FROM {table} WHERE incarnation = ?"))
                    .bind(incarnation.0)
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
        self.file.queues.forget(incarnation);
        Ok(())
    }

    async fn put_marker(&self, incarnation: IncarnationId, nonce: u64) -> anyhow::Result<bool> {
        let message = Message {
            incarnation,
            generation: QUEUE_ITSELF,
            kind: envelope::MARKER_TYPE,
            message_id: marker_id(nonce),
            traceparent: None,
            body: envelope::encode_marker(nonce),
            max_messages: self.config.queue_max_messages.into(),
        };
        let outcome = self.file.writer.put(message).await.confirmed().await;
        let queue = self.names.order_queue(incarnation);
        match outcome {
            PublishOutcome::Accepted => Ok(true),
            PublishOutcome::Unroutable => Ok(false),
            other => bail!("the broker did not take a marker into {queue}: {other:?}"),
        }
    }

    async fn consume(&self, incarnation: IncarnationId) -> anyhow::Result<Box<dyn Deliveries>> {
        let (file, prefetch) = (self.file.clone(), self.config.consumer_prefetch);
        Ok(Box::new(EmbeddedDeliveries::new(
            file,
            incarnation,
            prefetch,
        )))
    }
}
