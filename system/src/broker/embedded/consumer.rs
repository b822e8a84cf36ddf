//! Consumes one queue: waits for its turn, reads in order, and remembers what is not acknowledged.

use super::file::QueueFile;
use super::queues::Queue;
use crate::broker::contract::{Deliveries, Delivery};
use anyhow::{Context, ensure};
use async_trait::async_trait;
use engines::IncarnationId;
use sqlx::Row;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

/// The consumer is woken when something was committed; it looks this often without having been
/// woken.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// One consumer of one queue.
#[derive(Debug)]
pub struct EmbeddedDeliveries {
    file: Arc<QueueFile>,
    queue: Arc<Queue>,
    incarnation: IncarnationId,
    prefetch: usize,
    /// one-consumer-per-queue (R4): it is this consumer's turn for as long as this is held.
    turn: Option<OwnedMutexGuard<()>>,
    /// Read, and not handed out yet.
    ready: VecDeque<Delivery>,
    /// What was read and is not acknowledged, ascending.
    unacknowledged: VecDeque<i64>,
    /// Newest message that was read.
    read_to: i64,
}

impl EmbeddedDeliveries {
    pub(super) fn new(file: Arc<QueueFile>, incarnation: IncarnationId, prefetch: u16) -> Self {
        let queue = file.queues.of(incarnation);
        Self {
            file,
            queue,
            incarnation,
            prefetch: prefetch.into(),
            turn: None,
            ready: VecDeque::new(),
            unacknowledged: VecDeque::new(),
            read_to: 0,
        }
    }

    /// The first time, begins where the consumer before left off.
    async fn take_turn(&mut self) {
        if self.turn.is_some() {
            return;
        }
        self.turn = Some(self.queue.active.clone().lock_owned().await);
        self.read_to = self.queue.acknowledged.load(Ordering::SeqCst);
    }

    /// Reads until as much is unacknowledged as may be. Nothing is lost if it is given up.
    async fn read(&mut self) -> sqlx::Result<()> {
        let room = self.prefetch.saturating_sub(self.unacknowledged.len());
        let sql = "SELECT seq, kind, message_id, body, traceparent FROM queue_messages WHERE incarnation = ? AND seq > ?
                   ORDER BY seq LIMIT ?";
        let rows = sqlx::query(sql)
            .bind(self.incarnation.0)
            .bind(self.read_to)
            .bind(i64::try_from(room).unwrap_or(i64::MAX))
            .fetch_all(self.file.sqlite.readers())
            .await?;
        for row in rows {
            let seq: i64 = row.try_get(0)?;
            self.ready.push_back(Delivery {
                tag: seq.cast_unsigned(),
                kind: Some(row.try_get(1)?),
                message_id: Some(row.try_get(2)?),
                body: row.try_get(3)?,
                traceparent: row.try_get(4)?,
            });
            self.unacknowledged.push_back(seq);
            self.read_to = seq;
        }
        self.queue.delivered.store(self.read_to, Ordering::SeqCst);
        Ok(())
    }
}

#[async_trait]
impl Deliveries for EmbeddedDeliveries {
    async fn next(&mut self) -> anyhow::Result<Option<Delivery>> {
        loop {
            if let Some(delivery) = self.ready.pop_front() {
                return Ok(Some(delivery));
            }
            self.take_turn().await;
            self.read().await.context("cannot read the queue")?;
            if !self.ready.is_empty() {
                continue;
            }
            let has_queue = self.file.has_queue(self.incarnation);
            if !has_queue.await.context("cannot look for the queue")? {
                return Ok(None);
            }
            // A message that was committed since it was read has left its mark.
            let _ = tokio::time::timeout(POLL_INTERVAL, self.queue.arrived.notified()).await;
        }
    }

    /// Cannot fail for want of a database: what is acknowledged in memory is not delivered again
    /// while the process lives, and deleted as soon as something can be written.
    async fn acknowledge(&mut self, tag: u64) -> anyhow::Result<()> {
        let seq = tag.cast_signed();
        let count = self
            .unacknowledged
            .iter()
            .take_while(|unacknowledged| **unacknowledged <= seq)
            .count();
        ensure!(count > 0, "unknown delivery tag {tag}");
        self.unacknowledged.drain(..count);
        self.queue.acknowledged.fetch_max(seq, Ordering::SeqCst);
        self.file.writer.wake();
        Ok(())
    }

    /// One process uses the file: nobody else can have been given it.
    fn is_lost(&self) -> bool {
        false
    }

    async fn close(self: Box<Self>) {}
}

impl Drop for EmbeddedDeliveries {
    /// drain-in-one-session (R5): what is not acknowledged goes to the next consumer, in order,
    /// because it is still in the file.
    fn drop(&mut self) {
        if self.turn.is_some() {
            self.queue.delivered.store(0, Ordering::SeqCst);
        }
    }
}
