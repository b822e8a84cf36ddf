//! Everything AMQP: topology and markers here, publishing and consuming in files of their own.
//!
//! The client library's topology recovery stays off (bind-then-recheck, R2): a binding is made only
//! by the owner of its generation.

mod connection;
mod consumer;
mod publisher;

pub use publisher::AmqpPublisher;

use super::contract::{Broker, Deliveries};
use super::names::{Names, marker_id};
use crate::config::{MqConfig, QueueType};
use crate::envelope;
use crate::ids::Generation;
use anyhow::{Context, ensure};
use async_trait::async_trait;
use connection::{confirming_channel, connect, done, properties};
use consumer::AmqpDeliveries;
use engines::IncarnationId;
use lapin::options::{
    BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Confirmation, Connection, ExchangeKind};

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
}

#[async_trait]
impl Broker for AmqpBroker {
    fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }

    async fn close(&self, why: &str) {
        let _ = self.connection.close(200, why.into()).await;
    }

    async fn bind(&self, incarnation: IncarnationId, generation: Generation) -> anyhow::Result<()> {
        let channel = self.channel().await?;
        declare_exchanges(&channel, &self.names).await?;
        declare_order_queue(&channel, &self.names, &self.config, incarnation).await?;
        let key = self.names.order_key(incarnation, generation);
        channel
            .queue_bind(
                self.names.order_queue(incarnation).into(),
                self.names.exchange().into(),
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
        let (queue, exchange) = (self.names.order_queue(incarnation), self.names.exchange());
        channel
            .queue_unbind(
                queue.into(),
                exchange.into(),
                key.as_str().into(),
                FieldTable::default(),
            )
            .await
            .with_context(|| format!("cannot unbind {key}"))?;
        done(&channel).await;
        Ok(())
    }

    async fn delete_queue(&self, incarnation: IncarnationId) -> anyhow::Result<()> {
        let channel = self.channel().await?;
        let queue = self.names.order_queue(incarnation);
        channel
            .queue_delete(
                queue.as_str().into(),
                QueueDeleteOptions {
                    if_empty: true,
                    ..QueueDeleteOptions::default()
                },
            )
            .await
            .with_context(|| format!("cannot delete queue {queue}"))?;
        done(&channel).await;
        Ok(())
    }

    async fn put_marker(&self, incarnation: IncarnationId, nonce: u64) -> anyhow::Result<()> {
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
        ensure!(
            confirm == Confirmation::Ack(None),
            "the broker did not take a marker into {queue}: {confirm:?}"
        );
        done(&channel).await;
        Ok(())
    }

    async fn consume(&self, incarnation: IncarnationId) -> anyhow::Result<Box<dyn Deliveries>> {
        let queue = self.names.order_queue(incarnation);
        let (channel, prefetch) = (self.channel().await?, self.config.consumer_prefetch);
        let deliveries = AmqpDeliveries::start(channel, queue.into(), prefetch).await?;
        Ok(Box::new(deliveries))
    }
}

/// Declares the exchanges; idempotent.
async fn declare_exchanges(channel: &Channel, names: &Names) -> anyhow::Result<()> {
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    for exchange in [names.exchange(), names.dead_letters()] {
        channel
            .exchange_declare(
                exchange.as_str().into(),
                ExchangeKind::Topic,
                durable,
                FieldTable::default(),
            )
            .await
            .with_context(|| format!("cannot declare exchange {exchange}"))?;
    }
    Ok(())
}

/// Declares the queue of one incarnation; idempotent.
///
/// one-consumer-per-queue (R4): a single active consumer. exclusive-route (R6): no TTL, no delivery
/// limit, and overflow rejects the publish instead of dropping.
async fn declare_order_queue(
    channel: &Channel,
    names: &Names,
    config: &MqConfig,
    incarnation: IncarnationId,
) -> anyhow::Result<()> {
    let queue_type = match config.queue_type {
        QueueType::Classic => "classic",
        QueueType::Quorum => "quorum",
    };
    let mut arguments = FieldTable::default();
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
    let queue = names.order_queue(incarnation);
    channel
        .queue_declare(
            queue.as_str().into(),
            QueueDeclareOptions::durable(),
            arguments,
        )
        .await
        .with_context(|| format!("cannot declare queue {queue}"))?;
    Ok(())
}
