//! Consumes one queue on a channel of its own.

use super::connection::done;
use crate::broker::contract::{Deliveries, Delivery};
use anyhow::Context;
use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};

/// The consumer is declared first because it has to be dropped first: its cancellation goes over
/// the channel.
#[derive(Debug)]
pub struct AmqpDeliveries {
    consumer: Consumer,
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
        Ok(Self { consumer, channel })
    }
}

#[async_trait]
impl Deliveries for AmqpDeliveries {
    async fn next(&mut self) -> anyhow::Result<Option<Delivery>> {
        let Some(delivery) = self.consumer.next().await else {
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

    async fn close(self: Box<Self>) {
        let Self { consumer, channel } = *self;
        drop(consumer);
        done(&channel).await;
    }
}
