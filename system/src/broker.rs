//! Everything AMQP: names, topology, confirmed publishing and markers. What the messages mean is the envelope's business.
//!
//! The client library's topology recovery stays off (R2): a binding is made only by who owns its generation.

mod publisher;

pub use publisher::{PublishOutcome, Publisher};

use crate::config::{MqConfig, QueueType};
use crate::envelope;
use anyhow::{Context, ensure};
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use std::time::Duration;

/// AMQP delivery mode of a message that survives a broker restart.
const PERSISTENT: u8 = 2;
/// Longest wait for a connection to be established.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The names of everything this system declares, all behind one prefix.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// Names behind `mq.prefix`.
    pub fn new(config: &MqConfig) -> Self {
        Self { prefix: config.prefix.clone() }
    }

    /// The topic exchange of all order events.
    pub fn exchange(&self) -> ShortString {
        format!("{}seckill.exchange", self.prefix).into()
    }

    /// The exchange of dead letters.
    pub fn dead_letters(&self) -> ShortString {
        format!("{}seckill.dlx", self.prefix).into()
    }

    /// The queue of one incarnation.
    pub fn order_queue(&self, incarnation: i64) -> ShortString {
        format!("{}order.create.q.{incarnation}", self.prefix).into()
    }

    /// The routing key of one incarnation in one generation.
    pub fn order_key(&self, incarnation: i64, generation: i64) -> ShortString {
        format!("order.create.{incarnation}.{generation}").into()
    }
}

/// Opens a connection named after its user.
pub async fn connect(config: &MqConfig, name: &str) -> anyhow::Result<Connection> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connecting = Connection::connect(&config.url, properties);
    let host = crate::config::mask_password(&config.url);
    tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .with_context(|| format!("RabbitMQ at {host} did not answer within {CONNECT_TIMEOUT:?}"))?
        .with_context(|| format!("cannot connect to RabbitMQ at {host}"))
}

/// Declares the exchanges; idempotent.
pub async fn declare_exchanges(channel: &Channel, names: &Names) -> anyhow::Result<()> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    for exchange in [names.exchange(), names.dead_letters()] {
        channel
            .exchange_declare(exchange.clone(), ExchangeKind::Topic, durable, FieldTable::default())
            .await
            .with_context(|| format!("cannot declare exchange {exchange}"))?;
    }
    Ok(())
}

/// Declares the queue of one incarnation; idempotent.
///
/// R4: one active consumer. R6: no TTL, no delivery limit, and overflow rejects the publish instead of dropping.
pub async fn declare_order_queue(
    channel: &Channel,
    names: &Names,
    config: &MqConfig,
    incarnation: i64,
) -> anyhow::Result<()> {
    let queue_type = match config.queue_type {
        QueueType::Classic => "classic",
        QueueType::Quorum => "quorum",
    };
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(queue_type.into()));
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(i64::from(config.queue_max_messages)));
    let queue = names.order_queue(incarnation);
    channel
        .queue_declare(queue.clone(), QueueDeclareOptions::durable(), arguments)
        .await
        .with_context(|| format!("cannot declare queue {queue}"))?;
    Ok(())
}

/// Binds the queue of an incarnation to its key in `generation`.
///
/// R2: the caller has either bumped the generation itself, or re-reads it afterwards and uses the key only if unchanged.
pub async fn bind_generation(
    channel: &Channel,
    names: &Names,
    incarnation: i64,
    generation: i64,
) -> anyhow::Result<()> {
    let key = names.order_key(incarnation, generation);
    channel
        .queue_bind(
            names.order_queue(incarnation),
            names.exchange(),
            key.clone(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
        .with_context(|| format!("cannot bind {key}"))
}

/// Takes a binding away: late messages under the old key come back as unroutable. Second defence of R1; idempotent.
pub async fn unbind_generation(
    channel: &Channel,
    names: &Names,
    incarnation: i64,
    generation: i64,
) -> anyhow::Result<()> {
    let key = names.order_key(incarnation, generation);
    channel
        .queue_unbind(names.order_queue(incarnation), names.exchange(), key.clone(), FieldTable::default())
        .await
        .with_context(|| format!("cannot unbind {key}"))
}

/// Deletes the queue of a drained incarnation; a queue that is not there is fine (R6: drained is stored before).
pub async fn delete_order_queue(channel: &Channel, names: &Names, incarnation: i64) -> anyhow::Result<()> {
    let queue = names.order_queue(incarnation);
    channel
        .queue_delete(queue.clone(), QueueDeleteOptions { if_empty: true, ..QueueDeleteOptions::default() })
        .await
        .with_context(|| format!("cannot delete queue {queue}"))?;
    Ok(())
}

/// A channel with publisher confirms on.
pub async fn confirming_channel(connection: &Connection) -> anyhow::Result<Channel> {
    let channel = connection.create_channel().await.context("cannot open a channel")?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.context("cannot switch on publisher confirms")?;
    Ok(channel)
}

/// Puts a marker straight into the queue of `incarnation` and waits for the broker's confirm.
///
/// An error means the marker may or may not be there; put another one under another nonce.
pub async fn put_marker(channel: &Channel, names: &Names, incarnation: i64, nonce: u64) -> anyhow::Result<()> {
    let queue = names.order_queue(incarnation);
    let confirm = channel
        .basic_publish(
            ShortString::default(),
            queue.clone(),
            BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() },
            &envelope::encode_marker(nonce),
            properties(envelope::MARKER_TYPE, format!("marker-{nonce:016x}")),
        )
        .await?
        .await?;
    ensure!(confirm == Confirmation::Ack(None), "the broker did not take a marker into {queue}: {confirm:?}");
    Ok(())
}

fn properties(kind: &str, message_id: String) -> BasicProperties {
    BasicProperties::default().with_delivery_mode(PERSISTENT).with_type(kind.into()).with_message_id(message_id.into())
}
