//! Everything AMQP: topology and markers here, publishing and consuming in files of their own.
//!
//! The client library's topology recovery stays off (bind-then-recheck, R2): a binding is made only
//! by the owner of its generation.

mod connection;
mod consumer;
mod copier;
mod exchanges;
mod publisher;
#[cfg(test)]
mod tests;

pub use copier::AmqpCopier;
pub use publisher::AmqpPublisher;

use super::contract::{Broker, Deliveries};
use super::names::{Names, marker_id};
use crate::config::{MqConfig, QueueType};
use crate::envelope;
use crate::ids::Generation;
use anyhow::{Context, bail, ensure};
use async_trait::async_trait;
use connection::{confirming_channel, connect, done, is_not_found, properties};
use consumer::AmqpDeliveries;
use engines::IncarnationId;
use exchanges::declare_exchanges;
use lapin::options::{
    BasicPublishOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Confirmation, Connection};

/// One connection; every operation takes a channel of its own.
#[derive(Debug)]
pub struct AmqpBroker {
    connection: Connection,
    names: Names,
    config: MqConfig,
}

impl AmqpBroker {
    /// Opens a connection named after its user.
    pub async fn connect(config: &MqConfig, name: &str) -> anyhow::Result<Self> {
        Ok(Self {
            connection: connect(config, name).await?,
            names: Names::new(config),
            config: config.clone(),
        })
    }

    async fn channel(&self) -> anyhow::Result<Channel> {
        self.connection
            .create_channel()
            .await
            .context("cannot open a channel")
    }

    /// How many messages nobody has taken out of the queue; `None` if there is no such queue, or
    /// its node is down.
    async fn ready(&self, incarnation: IncarnationId) -> anyhow::Result<Option<u32>> {
        let channel = self.channel().await?;
        let queue = self.names.order_queue(incarnation);
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let found = channel
            .queue_declare(queue.as_str().into(), passive, FieldTable::default())
            .await;
        match found {
            Ok(found) => {
                done(&channel).await;
                Ok(Some(found.message_count()))
            }
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot look for queue {queue}")),
        }
    }
}

#[async_trait]
impl Broker for AmqpBroker {
    fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }

    async fn close(&self, why: &str) {
        let _ = self.connection.close(200, why.into()).await;
    }

    async fn declare_queue(&self, incarnation: IncarnationId) -> anyhow::Result<bool> {
        let channel = self.channel().await?;
        let queue = self.names.order_queue(incarnation);
        let declared = channel
            .queue_declare(
                queue.as_str().into(),
                QueueDeclareOptions::durable(),
                queue_arguments(&self.config),
            )
            .await;
        match declared {
            Ok(_) => {
                done(&channel).await;
                Ok(true)
            }
            Err(error) if is_not_found(&error) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("cannot declare queue {queue}")),
        }
    }

    async fn has_queue(&self, incarnation: IncarnationId) -> anyhow::Result<bool> {
        Ok(self.ready(incarnation).await?.is_some())
    }

    async fn waiting(&self, incarnation: IncarnationId) -> anyhow::Result<Option<u64>> {
        Ok(self.ready(incarnation).await?.map(u64::from))
    }

    async fn bind(&self, incarnation: IncarnationId, generation: Generation) -> anyhow::Result<()> {
        let channel = self.channel().await?;
        declare_exchanges(&channel, &self.names).await?;
        let key = self.names.order_key(incarnation, generation);
        channel
            .queue_bind(
                self.names.order_queue(incarnation).into(),
                self.names.orders().into(),
                key.as_str().into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .with_context(|| format!("cannot bind {key}"))?;
        done(&channel).await;
        Ok(())
    }

    async fn unbind(
        &self,
        incarnation: IncarnationId,
        generation: Generation,
    ) -> anyhow::Result<()> {
        let channel = self.channel().await?;
        let key = self.names.order_key(incarnation, generation);
        let (queue, exchange) = (self.names.order_queue(incarnation), self.names.orders());
        let unbound = channel
            .queue_unbind(
                queue.into(),
                exchange.into(),
                key.as_str().into(),
                FieldTable::default(),
            )
            .await;
        match unbound {
            // Without queue or exchange there is no binding either.
            Err(error) if is_not_found(&error) => return Ok(()),
            unbound => unbound.with_context(|| format!("cannot unbind {key}"))?,
        }
        done(&channel).await;
        Ok(())
    }

    /// Quorum queues refuse to be deleted if empty, by closing the connection, so the queue is
    /// looked at first and then deleted whatever is in it. That no order is lost by it does not
    /// rest on the look:
    ///
    /// - Its publisher was fenced for good before the drain's marker was put. What it sends later
    ///   is not answered yes any more (fence-wait, R1), and comes back as unroutable, because its
    ///   keys are unbound.
    /// - Everything that was in the queue before the marker is committed
    ///   (drain-in-one-session, R5), and that is stored.
    ///
    /// What may still be in it are messages that a consumer committed and could not acknowledge
    /// before it died, and markers that nobody waits for. They are left to the next consumer all
    /// the same: the count would show a fault elsewhere. It cannot carry the proof, because a
    /// quorum queue without a leader counts none.
    async fn delete_queue(&self, incarnation: IncarnationId) -> anyhow::Result<()> {
        let queue = self.names.order_queue(incarnation);
        let waiting = self.ready(incarnation).await?.unwrap_or_default();
        ensure!(
            waiting == 0,
            "cannot delete queue {queue}: {waiting} messages wait in it"
        );
        let channel = self.channel().await?;
        let found = channel
            .queue_delete(queue.as_str().into(), QueueDeleteOptions::default())
            .await
            .with_context(|| format!("cannot delete queue {queue}"))?;
        if found > 0 {
            tracing::warn!(queue, found, "messages came late and went with their queue");
        }
        done(&channel).await;
        Ok(())
    }

    async fn put_marker(&self, incarnation: IncarnationId, nonce: u64) -> anyhow::Result<bool> {
        let channel = confirming_channel(&self.connection).await?;
        let queue = self.names.order_queue(incarnation);
        let confirm = channel
            .basic_publish(
                ShortString::default(),
                queue.as_str().into(),
                BasicPublishOptions {
                    mandatory: true,
                    ..BasicPublishOptions::default()
                },
                &envelope::encode_marker(nonce),
                properties(envelope::MARKER_TYPE, marker_id(nonce)),
            )
            .await?
            .await?;
        let is_in = match confirm {
            Confirmation::Ack(None) => true,
            Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => false,
            other => bail!("the broker did not take a marker into {queue}: {other:?}"),
        };
        done(&channel).await;
        Ok(is_in)
    }

    async fn consume(&self, incarnation: IncarnationId) -> anyhow::Result<Box<dyn Deliveries>> {
        let queue = self.names.order_queue(incarnation);
        let (channel, prefetch) = (self.channel().await?, self.config.consumer_prefetch);
        let deliveries = AmqpDeliveries::start(channel, queue.into(), prefetch).await?;
        Ok(Box::new(deliveries))
    }
}

/// What every order queue is declared with.
///
/// one-consumer-per-queue (R4): a single active consumer. exclusive-route (R6): no TTL, overflow
/// rejects the publish instead of dropping, and no delivery limit. Quorum queues of RabbitMQ 4 have
/// one of 20 by default, after which they drop; before 4, −1 for none is not understood, so it is
/// the highest there is.
fn queue_arguments(config: &MqConfig) -> FieldTable {
    let mut arguments = FieldTable::default();
    let queue_type = match config.queue_type {
        QueueType::Classic => "classic",
        QueueType::Quorum => {
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(i32::MAX));
            "quorum"
        }
    };
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString(queue_type.into()),
    );
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    arguments.insert(
        "x-overflow".into(),
        AMQPValue::LongString("reject-publish".into()),
    );
    arguments.insert(
        "x-max-length".into(),
        AMQPValue::LongLongInt(i64::from(config.queue_max_messages)),
    );
    arguments
}
