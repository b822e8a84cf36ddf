//! Forged order events, as a broken or foreign publisher would send them, put straight into a queue
//! of a test's world.

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use prost::Message;

use crate::sale::{PRICE_CENTS, PRODUCT};
use crate::wait::until;

/// Type of a message that carries a batch of orders.
pub const ORDERS: &str = "order.batch.v1";
/// Delivery mode of a message that survives a restart of the broker.
const PERSISTENT: u8 = 2;

#[derive(Clone, PartialEq, prost::Message)]
pub struct OrderBatch {
    #[prost(int64, tag = "1")]
    pub incarnation: i64,
    #[prost(int64, tag = "2")]
    pub generation: i64,
    #[prost(message, repeated, tag = "3")]
    pub orders: Vec<OrderCreated>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct OrderCreated {
    #[prost(int64, tag = "1")]
    pub order_id: i64,
    #[prost(int64, tag = "2")]
    pub user_id: i64,
    #[prost(int64, tag = "3")]
    pub product_id: i64,
    #[prost(int32, tag = "4")]
    pub quantity: i32,
    #[prost(int64, tag = "5")]
    pub total_price_cents: i64,
    #[prost(int64, tag = "6")]
    pub allocation_id: i64,
    #[prost(int64, tag = "7")]
    pub created_at_ms: i64,
}

/// An order of the first allocation, as a service would have published it.
pub fn event(order_id: i64, user_id: i64, quantity: i32) -> OrderCreated {
    OrderCreated {
        order_id,
        user_id,
        product_id: PRODUCT,
        quantity,
        total_price_cents: PRICE_CENTS * i64::from(quantity),
        allocation_id: 1,
        created_at_ms: 1_800_000_000_000,
    }
}

/// A message that was taken from a queue.
#[derive(Debug)]
pub struct Taken {
    pub routing_key: String,
    pub body: Vec<u8>,
}

/// One queue of the broker: publishes into it and looks at it.
#[derive(Debug)]
pub struct Queue {
    channel: Channel,
    name: String,
    /// Keeps the channel open.
    connection: Connection,
}

impl Queue {
    pub async fn open(amqp_url: &str, name: String) -> Self {
        let connection = Connection::connect(amqp_url, ConnectionProperties::default())
            .await
            .expect("a broker");
        let channel = connection.create_channel().await.expect("a channel");
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .expect("confirms");
        Self {
            channel,
            name,
            connection,
        }
    }

    /// A queue that is none of the system's own.
    pub async fn foreign(amqp_url: &str, name: String) -> Self {
        Self::declared(amqp_url, name, FieldTable::default()).await
    }

    /// The same, which refuses what comes when it has so many messages.
    pub async fn bounded(amqp_url: &str, name: String, messages_max: i64) -> Self {
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(messages_max));
        let refuses = AMQPValue::LongString("reject-publish".into());
        arguments.insert("x-overflow".into(), refuses);
        Self::declared(amqp_url, name, arguments).await
    }

    async fn declared(amqp_url: &str, name: String, arguments: FieldTable) -> Self {
        let queue = Self::open(amqp_url, name).await;
        let (name, options) = (queue.name.as_str().into(), QueueDeclareOptions::default());
        let declaring = queue.channel.queue_declare(name, options, arguments);
        declaring.await.expect("declared");
        queue
    }

    /// Takes everything that is in it, oldest first.
    pub async fn take(&self) -> Vec<Taken> {
        let mut taken = Vec::new();
        let options = BasicGetOptions { no_ack: true };
        while let Some(message) = self
            .channel
            .basic_get(self.name.as_str().into(), options)
            .await
            .expect("it is there")
        {
            taken.push(Taken {
                routing_key: message.delivery.routing_key.to_string(),
                body: message.delivery.data,
            });
        }
        taken
    }

    /// Publishes messages of one type without an id, and waits only then for their confirms.
    pub async fn flood(&self, kind: &str, bodies: &[Vec<u8>]) {
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_type(kind.into());
        let mut confirms = Vec::with_capacity(bodies.len());
        for body in bodies {
            let publishing = self.channel.basic_publish(
                ShortString::default(),
                self.name.as_str().into(),
                BasicPublishOptions::default(),
                body,
                properties.clone(),
            );
            confirms.push(publishing.await.expect("sent"));
        }
        for confirm in confirms {
            assert!(confirm.await.expect("confirmed").is_ack());
        }
    }

    /// Deletes it with whatever is in it.
    pub async fn delete(&self) {
        self.channel
            .queue_delete(self.name.as_str().into(), QueueDeleteOptions::default())
            .await
            .expect("deleted");
    }

    /// Asks on a separate channel, because the broker closes it if there is no such queue.
    pub async fn exists(&self) -> bool {
        let channel = self.connection.create_channel().await.expect("a channel");
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare(self.name.as_str().into(), passive, FieldTable::default())
            .await
            .is_ok()
    }

    /// Messages that no consumer has taken yet.
    pub async fn depth(&self) -> u32 {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declaring =
            self.channel
                .queue_declare(self.name.as_str().into(), options, FieldTable::default());
        declaring.await.expect("it is there").message_count()
    }

    /// Waits until there are more than this many messages in the queue.
    pub async fn deeper_than(&self, messages: u32) {
        until("another message is in the queue", async || {
            match self.depth().await {
                depth if depth > messages => Ok(()),
                depth => Err(format!("{depth} messages")),
            }
        })
        .await;
    }

    pub async fn bind(&self, exchange: &str, key: &str) {
        let (queue, options) = (self.name.as_str().into(), QueueBindOptions::default());
        let binding = self.channel.queue_bind(
            queue,
            exchange.into(),
            key.into(),
            options,
            FieldTable::default(),
        );
        binding.await.expect("bound");
    }

    pub async fn unbind(&self, exchange: &str, key: &str) {
        let queue = self.name.as_str().into();
        let unbinding =
            self.channel
                .queue_unbind(queue, exchange.into(), key.into(), FieldTable::default());
        unbinding.await.expect("unbound");
    }

    /// Throws away what is in the queue; returns the number of messages.
    pub async fn purge(&self) -> u32 {
        self.channel
            .queue_purge(self.name.as_str().into(), QueuePurgeOptions::default())
            .await
            .expect("purged")
    }

    pub async fn orders(&self, message_id: &str, orders: Vec<OrderCreated>) {
        let body = OrderBatch {
            incarnation: 1,
            generation: 1,
            orders,
        }
        .encode_to_vec();
        self.message(Some(ORDERS), Some(message_id), &body).await;
    }

    /// Publishes any message at all.
    pub async fn message(&self, kind: Option<&str>, message_id: Option<&str>, body: &[u8]) {
        let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        if let Some(kind) = kind {
            properties = properties.with_type(kind.into());
        }
        if let Some(message_id) = message_id {
            properties = properties.with_message_id(message_id.into());
        }
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let publishing = self.channel.basic_publish(
            ShortString::default(),
            self.name.as_str().into(),
            options,
            body,
            properties,
        );
        let confirmed = publishing.await.expect("sent").await.expect("confirmed");
        assert_eq!(
            confirmed,
            Confirmation::Ack(None),
            "the queue {} took it",
            self.name
        );
    }
}
