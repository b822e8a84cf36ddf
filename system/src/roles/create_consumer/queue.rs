//! One queue: gathers deliveries, has them written, acknowledges, hands the holds on to be settled.

use super::counts::{Counts, Lag};
use super::poison;
use super::settle::Settler;
use crate::broker::{self, Deliveries, Delivery};
use crate::clock::unix_ms;
use crate::config::{Config, MqConfig};
use crate::envelope::{self, Envelope};
use crate::failpoint;
use crate::ids::ConsumerSession;
use crate::metrics::nanos;
use crate::shutdown::Shutdown;
use crate::store::{Store, WriteBatch};
use crate::telemetry::{self, Processing, TraceContext};
use anyhow::bail;
use engines::IncarnationId;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// First and longest pause before a write that failed for want of a database is tried again.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Consumes the queue of one incarnation.
#[derive(Debug)]
pub struct QueueConsumer {
    mq: MqConfig,
    /// What the broker is called in traces.
    system: &'static str,
    /// Whether listeners are told of orders.
    copies: bool,
    settler: Settler,
    store: Store,
    incarnation: IncarnationId,
    /// drain-in-one-session (R5): begins with the first commit on this channel.
    session: Option<ConsumerSession>,
    counts: Arc<Counts>,
    lag: Arc<Lag>,
}

/// Deliveries that are written together.
#[derive(Debug, Default)]
struct Gathered {
    write: WriteBatch,
    messages: usize,
    /// The spans of those that name one that is recorded.
    traces: Vec<TraceContext>,
    /// Delivery tag of the newest.
    last_tag: u64,
}

impl QueueConsumer {
    /// A consumer whose session with the queue has not begun yet.
    pub fn new(
        config: &Config,
        store: Store,
        (settler, counts): (Settler, Arc<Counts>),
        incarnation: IncarnationId,
    ) -> Self {
        Self {
            mq: config.mq.clone(),
            system: broker::system(&config.database),
            copies: config.order.copies,
            settler,
            store,
            incarnation,
            session: None,
            lag: counts.lag(incarnation),
            counts,
        }
    }

    /// Whose queue this is.
    pub fn incarnation(&self) -> IncarnationId {
        self.incarnation
    }

    /// Consumes until shutdown, or until the deliveries end.
    pub async fn run(
        mut self,
        deliveries: &mut dyn Deliveries,
        shutdown: &Shutdown,
    ) -> anyhow::Result<()> {
        while let Some(gathered) = self.gather(deliveries, shutdown).await? {
            self.handle(deliveries, gathered).await?;
        }
        Ok(())
    }

    /// Up to `order_batch_size` orders, or what came within `order_batch_interval_ms` of the first.
    async fn gather(
        &self,
        deliveries: &mut dyn Deliveries,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Option<Gathered>> {
        let first = tokio::select! {
            () = shutdown.requested() => return Ok(None),
            delivery = deliveries.next() => delivery?,
        };
        let Some(first) = first else { return Ok(None) };
        let mut gathered = Gathered::default();
        gathered.add(first);
        let deadline = Instant::now() + Duration::from_millis(self.mq.order_batch_interval_ms);
        // Messages hold many orders each, so the count of unacknowledged messages bounds a batch
        // too.
        let most_messages = usize::from(self.mq.consumer_prefetch / 2).max(1);
        while gathered.write.len() < self.mq.order_batch_size && gathered.messages < most_messages {
            match timeout_at(deadline, deliveries.next()).await {
                Ok(delivery) => match delivery? {
                    Some(delivery) => gathered.add(delivery),
                    None => break,
                },
                Err(_) => break,
            }
        }
        Ok(Some(gathered))
    }

    async fn handle(
        &mut self,
        deliveries: &mut dyn Deliveries,
        mut gathered: Gathered,
    ) -> anyhow::Result<()> {
        let settle = self.write(deliveries, &mut gathered).await?;
        failpoint::hit("consumer.after_commit");
        deliveries.acknowledge(gathered.last_tag).await?;
        failpoint::hit("consumer.after_ack");
        self.settler.hand_over(settle);
        Ok(())
    }

    /// A database that is down parks nothing: the consumer waits as long as the deliveries are its
    /// own.
    async fn write(
        &mut self,
        deliveries: &dyn Deliveries,
        gathered: &mut Gathered,
    ) -> anyhow::Result<Vec<envelope::OrderEvent>> {
        let mut trace = self.trace(gathered);
        let batch = &mut gathered.write;
        batch.incarnation = self.incarnation;
        batch.session = self.session;
        batch.copies = self.copies;
        let mut pause = RETRY_MIN;
        if let Some(made_at_ms) = batch.orders.iter().map(|order| order.created_at_ms).min() {
            self.lag.begins(made_at_ms);
        }
        loop {
            let began = Instant::now();
            match self.store.write(batch).await {
                Ok(written) => {
                    self.count(batch, &written.live[..written.fresh], began.elapsed());
                    self.session = Some(written.session);
                    if let Some(trace) = trace {
                        trace.committed(written.live.len());
                    }
                    return Ok(written.live);
                }
                Err(error) => {
                    self.counts.failures.fetch_add(1, Ordering::Relaxed);
                    if let Some(trace) = &mut trace {
                        trace.failed(&error);
                    }
                    tracing::warn!(incarnation = self.incarnation.0, %error, "write failed; trying again")
                }
            }
            if deliveries.is_lost() {
                bail!("the channel was lost while waiting for the database");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }
}

impl QueueConsumer {
    /// The span of the transaction that is to come, with a link to each message that is traced.
    fn trace(&self, gathered: &Gathered) -> Option<Processing> {
        let (messages, orders) = (gathered.messages, gathered.write.orders.len());
        Processing::begin(self.system, (messages, orders), &gathered.traces)
    }

    /// A transaction is committed that wrote the rows of these orders.
    fn count(&self, batch: &WriteBatch, fresh: &[envelope::OrderEvent], took: Duration) {
        let counts = &self.counts;
        self.lag.ends();
        counts.committing.observe(nanos(took));
        if batch.orders.is_empty() {
            return;
        }
        let (all, written) = (batch.orders.len() as u64, fresh.len() as u64);
        counts.commits.observe(all);
        counts.rows.fetch_add(written, Ordering::Relaxed);
        let not_live = all.saturating_sub(written);
        counts.not_live.fetch_add(not_live, Ordering::Relaxed);
        let now_ms = unix_ms();
        for order in fresh {
            let waited_ms = now_ms.saturating_sub(order.created_at_ms);
            let waited = Duration::from_millis(u64::try_from(waited_ms).unwrap_or(0));
            counts.delays.observe(nanos(waited));
        }
    }
}

impl Gathered {
    fn add(&mut self, delivery: Delivery) {
        self.last_tag = delivery.tag;
        self.messages += 1;
        let trace = delivery.traceparent.as_deref();
        self.traces.extend(trace.and_then(telemetry::of_message));
        match envelope::decode(delivery.kind.as_deref(), &delivery.body) {
            Ok(Envelope::Orders { valid, invalid, .. }) => {
                self.write.orders.extend(valid);
                let invalid = invalid.into_iter().enumerate();
                self.write.poison.extend(
                    invalid.map(|(position, order)| poison::order(&delivery, position, order)),
                );
            }
            Ok(Envelope::Marker { nonce }) => self.write.markers.push(nonce),
            Err(reason) => self.write.poison.push(poison::message(&delivery, reason)),
        }
    }
}
