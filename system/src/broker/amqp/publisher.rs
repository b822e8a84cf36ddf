//! Publishes order batches under confirms over a connection that is re-established by itself.

use super::{confirming_channel, connect, properties};
use crate::broker::PublishOutcome;
use crate::broker::names::{MessageIds, Names};
use crate::config::{Ack, MqConfig};
use crate::envelope::ORDER_BATCH_TYPE;
use crate::shutdown::Shutdown;
use anyhow::Context;
use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation, Connection};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// First and longest pause between attempts to reconnect.
const RECONNECT_MIN: Duration = Duration::from_millis(50);
const RECONNECT_MAX: Duration = Duration::from_secs(2);
/// How often a connection is looked at.
const HEALTH_INTERVAL: Duration = Duration::from_millis(100);

/// A pool of confirming channels on one connection.
#[derive(Clone, Debug)]
pub struct Publisher {
    names: Names,
    ack: Ack,
    ids: MessageIds,
    turn: Arc<AtomicUsize>,
    channels: watch::Receiver<Arc<[Channel]>>,
}

impl Publisher {
    /// Connects, and keeps connected on the current runtime until `shutdown`.
    pub async fn start(config: &MqConfig, ack: Ack, name: &str, shutdown: Shutdown) -> anyhow::Result<Self> {
        let (connection, channels) = open(config, name).await?;
        let (sender, receiver) = watch::channel(channels);
        tokio::spawn(keep_connected(config.clone(), name.to_owned(), connection, sender, shutdown));
        Ok(Self {
            names: Names::new(config),
            ack,
            ids: MessageIds::new(name),
            turn: Arc::default(),
            channels: receiver,
        })
    }

    pub async fn publish(&self, incarnation: i64, generation: i64, body: &[u8]) -> PublishOutcome {
        let Some(channel) = self.channel() else {
            return PublishOutcome::NotSent;
        };
        let (exchange, key) = (self.names.exchange().into(), self.names.order_key(incarnation, generation).into());
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = properties(ORDER_BATCH_TYPE, self.ids.next());
        let confirm = match channel.basic_publish(exchange, key, options, body, properties).await {
            Ok(confirm) => confirm,
            Err(error) => {
                tracing::warn!(%error, "publish failed");
                return PublishOutcome::Unknown;
            }
        };
        if self.ack == Ack::Published {
            tokio::spawn(async move { judge(confirm.await) });
            return PublishOutcome::Accepted;
        }
        judge(confirm.await)
    }

    pub fn is_connected(&self) -> bool {
        self.channels.borrow().iter().any(|channel| channel.status().connected())
    }

    fn channel(&self) -> Option<Channel> {
        let channels = self.channels.borrow();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let live = (0..channels.len()).map(|step| &channels[(turn + step) % channels.len()]);
        live.into_iter().find(|channel| channel.status().connected()).cloned()
    }
}

fn judge(confirm: lapin::Result<Confirmation>) -> PublishOutcome {
    match confirm {
        Ok(Confirmation::Ack(None)) => PublishOutcome::Accepted,
        // R6: a returned message is not accepted, even when it is acked.
        Ok(Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned))) => {
            tracing::warn!(reply = %returned.reply_text, "order batch returned by the broker");
            PublishOutcome::Rejected
        }
        Ok(Confirmation::Nack(None)) => PublishOutcome::Rejected,
        Ok(Confirmation::NotRequested) => PublishOutcome::Unknown,
        Err(error) => {
            tracing::warn!(%error, "no confirm");
            PublishOutcome::Unknown
        }
    }
}

async fn open(config: &MqConfig, name: &str) -> anyhow::Result<(Connection, Arc<[Channel]>)> {
    let connection = connect(config, name).await?;
    let mut channels = Vec::with_capacity(config.channel_pool_size);
    for _ in 0..config.channel_pool_size {
        channels.push(confirming_channel(&connection).await.context("cannot prepare for publishing")?);
    }
    Ok((connection, channels.into()))
}

async fn keep_connected(
    config: MqConfig,
    name: String,
    mut connection: Connection,
    sender: watch::Sender<Arc<[Channel]>>,
    shutdown: Shutdown,
) {
    let mut pause = RECONNECT_MIN;
    loop {
        tokio::select! {
            () = shutdown.requested() => break,
            () = tokio::time::sleep(HEALTH_INTERVAL) => {}
        }
        let healthy =
            connection.status().connected() && sender.borrow().iter().all(|channel| channel.status().connected());
        if healthy {
            pause = RECONNECT_MIN;
            continue;
        }
        // The old connection is closed first, so that its unconfirmed publishes end as unknown.
        let _ = connection.close(200, "reconnecting".into()).await;
        match open(&config, &name).await {
            Ok((reopened, channels)) => {
                tracing::info!("connected to RabbitMQ again");
                connection = reopened;
                sender.send_replace(channels);
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "cannot reconnect to RabbitMQ");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RECONNECT_MAX);
            }
        }
    }
    // Publishing may go on while requests drain; the connection closes when the last clone of the channels is gone.
    sender.closed().await;
    let _ = connection.close(200, "done".into()).await;
}
