//! Consumes one queue on a channel of its own.

use super::connection::done;
use crate::broker::contract::{Deliveries, Delivery};
use crate::telemetry::TRACEPARENT;
use anyhow::Context;
use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Consumer};
use tokio::runtime::Handle;

/// One consumer on a channel of its own.
///
/// one-consumer-per-queue (R4): the client cancels a consumer that is dropped while its channel is
/// open. The broker would then make the next one active while messages are still unacknowledged
/// here, and those would be delivered after later ones. So the channel is always closed first.
#[derive(Debug)]
pub struct AmqpDeliveries {
    /// `None` once it is being closed.
    consumer: Option<Consumer>,
    channel: Channel,
}

impl AmqpDeliveries {
    pub(super) async fn start(
        channel: Channel,
        queue: ShortString,
        prefetch: u16,
    ) -> anyhow::Result<Self> {
        channel
            .basic_qos(prefetch, BasicQosOptions::default())
            .await
            .context("cannot set the prefetch")?;
        let consumer = channel
            .basic_consume(
                queue,
                "create-consumer".into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await
            .context("cannot consume")?;
        Ok(Self {
            consumer: Some(consumer),
            channel,
        })
    }
}

impl Drop for AmqpDeliveries {
    fn drop(&mut self) {
        let Some(consumer) = self.consumer.take() else {
            return;
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(close(consumer, self.channel.clone()))),
            // The process ends, and its connections with it; until then nothing is cancelled.
            Err(_) => std::mem::forget(consumer),
        }
    }
}

/// The consumer goes when its channel is closed, and with it nothing is left to cancel.
async fn close(consumer: Consumer, channel: Channel) {
    done(&channel).await;
    drop(consumer);
}

/// What a message says its span is, if that is a text.
fn traceparent(properties: &BasicProperties) -> Option<String> {
    let headers = properties.headers().as_ref()?.inner();
    match headers.get(TRACEPARENT)? {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

#[async_trait]
impl Deliveries for AmqpDeliveries {
    async fn next(&mut self) -> anyhow::Result<Option<Delivery>> {
        let Some(consumer) = &mut self.consumer else {
            return Ok(None);
        };
        let Some(delivery) = consumer.next().await else {
            return Ok(None);
        };
        let delivery = delivery.context("delivery failed")?;
        let properties = &delivery.properties;
        Ok(Some(Delivery {
            tag: delivery.delivery_tag,
            kind: properties
                .kind()
                .as_ref()
                .map(|kind| kind.as_str().to_owned()),
            message_id: properties
                .message_id()
                .as_ref()
                .map(|id| id.as_str().to_owned()),
            traceparent: traceparent(properties),
            body: delivery.data,
        }))
    }

    async fn acknowledge(&mut self, tag: u64) -> anyhow::Result<()> {
        let multiple = BasicAckOptions { multiple: true };
        self.channel
            .basic_ack(tag, multiple)
            .await
            .context("cannot acknowledge")
    }

    fn is_lost(&self) -> bool {
        !self.channel.status().connected()
    }

    async fn close(mut self: Box<Self>) {
        if let Some(consumer) = self.consumer.take() {
            // In a task of its own, so that a caller who gives up waiting leaves it to its end.
            let _ = tokio::spawn(close(consumer, self.channel.clone())).await;
        }
    }
}
