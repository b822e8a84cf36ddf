//! Publishes order batches under confirms over a connection that is re-established by itself.

use super::connection::{confirming_channel, connect, is_not_found, properties};
use crate::broker::contract::{PublishOutcome, Publisher};
use crate::broker::names::{MessageIds, Names, marker_id};
use crate::config::{Ack, MqConfig};
use crate::envelope::{MARKER_TYPE, ORDER_BATCH_TYPE, encode_marker};
use crate::ids::Generation;
use crate::shutdown::Shutdown;
use crate::supervisor::Supervisor;
use crate::telemetry::TRACEPARENT;
use anyhow::Context;
use async_trait::async_trait;
use engines::IncarnationId;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

/// First and longest pause between attempts to reconnect.
const RECONNECT_MIN: Duration = Duration::from_millis(50);
const RECONNECT_MAX: Duration = Duration::from_secs(2);
/// Longest wait for a channel that has no message under way; beyond it nothing is sent.
const CHANNEL_WAIT: Duration = Duration::from_millis(500);
/// How often a connection is looked at.
const HEALTH_INTERVAL: Duration = Duration::from_millis(100);

/// A channel that carries one message at a time. With two under way the client gives a returned
/// message to whichever confirm comes next: an order that is in the queue would be called rejected,
/// and one that is not, accepted (exclusive-route, R6).
#[derive(Clone, Debug)]
struct Lane {
    channel: Channel,
    free: Arc<Mutex<()>>,
}

/// A pool of confirming channels on one connection.
#[derive(Debug)]
pub struct AmqpPublisher {
    names: Names,
    ack: Ack,
    ids: MessageIds,
    turn: AtomicUsize,
    lanes: watch::Receiver<Arc<[Lane]>>,
    /// How often it was connected again.
    connection: Arc<AtomicU64>,
    /// Where the last message went that was said yes about and came back; without waiting for
    /// confirms, the next one learns of it.
    unroutable: Arc<Mutex<Option<(IncarnationId, Generation)>>>,
}

impl AmqpPublisher {
    /// Connects, and keeps connected on the current runtime until `asked`.
    pub async fn start(
        config: &MqConfig,
        ack: Ack,
        name: &str,
        (supervisor, asked): (&Supervisor, &Shutdown),
    ) -> anyhow::Result<Self> {
        let (connection, lanes) = open(config, name).await?;
        let (sender, receiver) = watch::channel(lanes);
        let reconnected = Arc::<AtomicU64>::default();
        let keeping = keep_connected(
            config.clone(),
            name.to_owned(),
            connection,
            sender,
            reconnected.clone(),
            asked.clone(),
        );
        let (supervisor, asked) = (supervisor.clone(), asked.clone());
        tokio::spawn(
            supervisor.task("the publisher's connection".to_owned(), asked, async {
                keeping.await;
                anyhow::Ok(())
            }),
        );
        Ok(Self {
            names: Names::new(config),
            ack,
            ids: MessageIds::new(name),
            turn: AtomicUsize::new(0),
            lanes: receiver,
            connection: reconnected,
            unroutable: Arc::default(),
        })
    }

    /// A channel, and the right to be alone on it, which saying yes before the confirm does not
    /// need.
    async fn channel(&self, ack: Ack) -> Option<(Channel, Option<OwnedMutexGuard<()>>)> {
        let lanes = self.lanes.borrow().clone();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let live = (0..lanes.len()).map(|step| &lanes[(first + step) % lanes.len()]);
        let live: Vec<&Lane> = live
            .filter(|lane| lane.channel.status().connected())
            .collect();
        if ack == Ack::Published {
            return live.first().map(|lane| (lane.channel.clone(), None));
        }
        for lane in &live {
            if let Ok(turn) = lane.free.clone().try_lock_owned() {
                return Some((lane.channel.clone(), Some(turn)));
            }
        }
        let lane = live.first()?;
        let turn = tokio::time::timeout(CHANNEL_WAIT, lane.free.clone().lock_owned())
            .await
            .ok()?;
        Some((lane.channel.clone(), Some(turn)))
    }

    /// Sends to the queue of an incarnation, by the route of an order.
    async fn send(
        &self,
        ack: Ack,
        (incarnation, generation): (IncarnationId, Generation),
        properties: BasicProperties,
        body: &[u8],
    ) -> PublishOutcome {
        let Some((channel, turn)) = self.channel(ack).await else {
            return PublishOutcome::NotSent;
        };
        let (exchange, key) = (
            self.names.orders().into(),
            self.names.order_key(incarnation, generation).into(),
        );
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let confirm = match channel
            .basic_publish(exchange, key, options, body, properties)
            .await
        {
            Ok(confirm) => confirm,
            Err(error) => return judge(Err(error)),
        };
        if ack == Ack::Published {
            let unroutable = self.unroutable.clone();
            tokio::spawn(async move {
                if judge(confirm.await) == PublishOutcome::Unroutable {
                    *unroutable.lock().await = Some((incarnation, generation));
                }
            });
            return PublishOutcome::Accepted;
        }
        let outcome = judge(confirm.await);
        drop(turn);
        outcome
    }
}

#[async_trait]
impl Publisher for AmqpPublisher {
    async fn publish(
        &self,
        incarnation: IncarnationId,
        generation: Generation,
        body: Vec<u8>,
        traceparent: Option<String>,
    ) -> PublishOutcome {
        let to = (incarnation, generation);
        if self.ack == Ack::Published && *self.unroutable.lock().await == Some(to) {
            return PublishOutcome::Unroutable;
        }
        let mut properties = properties(ORDER_BATCH_TYPE, self.ids.next());
        if let Some(traceparent) = traceparent {
            properties = properties.with_headers(naming(traceparent));
        }
        self.send(self.ack, to, properties, &body).await
    }

    async fn probe(&self, incarnation: IncarnationId, generation: Generation) -> PublishOutcome {
        let nonce = rand::random();
        let properties = properties(MARKER_TYPE, marker_id(nonce));
        let to = (incarnation, generation);
        self.send(Ack::Confirmed, to, properties, &encode_marker(nonce))
            .await
    }

    fn is_connected(&self) -> bool {
        self.lanes
            .borrow()
            .iter()
            .any(|lane| lane.channel.status().connected())
    }

    fn connection(&self) -> u64 {
        self.connection.load(Ordering::Relaxed)
    }
}

/// Headers that name the span of a message. Whoever does not know them passes over them.
fn naming(traceparent: String) -> FieldTable {
    let mut headers = FieldTable::default();
    headers.insert(
        TRACEPARENT.into(),
        AMQPValue::LongString(traceparent.into()),
    );
    headers
}

fn judge(confirm: lapin::Result<Confirmation>) -> PublishOutcome {
    match confirm {
        Ok(Confirmation::Ack(None)) => PublishOutcome::Accepted,
        // exclusive-route (R6): a returned message is not accepted, even when it is acked.
        Ok(Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned))) => {
            tracing::warn!(reply = %returned.reply_text, "order batch returned by the broker");
            PublishOutcome::Unroutable
        }
        Ok(Confirmation::Nack(None)) => PublishOutcome::Rejected,
        Ok(Confirmation::NotRequested) => PublishOutcome::Unknown,
        // The exchange is gone; whoever registers anew declares it. The message was alone on its
        // channel, so it is the one that was refused.
        Err(error) if is_not_found(&error) => {
            tracing::warn!(%error, "order batch refused by the broker");
            PublishOutcome::Unroutable
        }
        Err(error) => {
            tracing::warn!(%error, "no confirm");
            PublishOutcome::Unknown
        }
    }
}

async fn open(config: &MqConfig, name: &str) -> anyhow::Result<(Connection, Arc<[Lane]>)> {
    let connection = connect(config, name).await?;
    let mut lanes = Vec::with_capacity(config.channel_pool_size);
    for _ in 0..config.channel_pool_size {
        let channel = confirming_channel(&connection)
            .await
            .context("cannot prepare for publishing")?;
        lanes.push(Lane {
            channel,
            free: Arc::default(),
        });
    }
    Ok((connection, lanes.into()))
}

async fn keep_connected(
    config: MqConfig,
    name: String,
    mut connection: Connection,
    sender: watch::Sender<Arc<[Lane]>>,
    reconnected: Arc<AtomicU64>,
    shutdown: Shutdown,
) {
    let mut pause = RECONNECT_MIN;
    loop {
        tokio::select! {
            () = shutdown.requested() => break,
            () = tokio::time::sleep(HEALTH_INTERVAL) => {}
        }
        let healthy = connection.status().connected()
            && sender
                .borrow()
                .iter()
                .all(|lane| lane.channel.status().connected());
        if healthy {
            pause = RECONNECT_MIN;
            continue;
        }
        // The old connection is closed first, so that its unconfirmed publishes end as unknown.
        let _ = connection.close(200, "reconnecting".into()).await;
        match open(&config, &name).await {
            Ok((reopened, lanes)) => {
                tracing::info!("connected to RabbitMQ again");
                connection = reopened;
                reconnected.fetch_add(1, Ordering::Relaxed);
                sender.send_replace(lanes);
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "cannot reconnect to RabbitMQ");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RECONNECT_MAX);
            }
        }
    }
    // Publishing may go on while requests drain; the connection closes when the last clone of the
    // channels is gone.
    sender.closed().await;
    let _ = connection.close(200, "done".into()).await;
}
