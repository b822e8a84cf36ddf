//! Copies for listeners, on `seckill.exchange`; of dead letters on `seckill.dlx`.

use super::connection::{confirming_channel, connect, properties};
use super::exchanges::declare_exchanges;
use crate::broker::contract::Copier;
use crate::broker::names::Names;
use crate::config::MqConfig;
use crate::store::{CopyLeft, DEAD_LETTER};
use anyhow::{Context, bail};
use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation, Connection};
use std::pin::pin;

/// What a copy of an order is.
const CONTENT_TYPE: &str = "application/json";

/// One channel on a connection of its own.
#[derive(Debug)]
pub struct AmqpCopier {
    names: Names,
    connection: Connection,
    channel: Channel,
}

impl AmqpCopier {
    /// Connects, and makes sure that the exchanges are there.
    pub async fn connect(config: &MqConfig, name: &str) -> anyhow::Result<Self> {
        let connection = connect(config, name).await?;
        let channel = confirming_channel(&connection).await?;
        let names = Names::new(config);
        declare_exchanges(&channel, &names).await?;
        Ok(Self {
            names,
            connection,
            channel,
        })
    }

    fn exchange(&self, copy: &CopyLeft) -> String {
        match copy.routing_key.starts_with(DEAD_LETTER) {
            true => self.names.dead_letters(),
            false => self.names.listeners(),
        }
    }
}

#[async_trait]
impl Copier for AmqpCopier {
    async fn publish(&self, copies: &[CopyLeft], taken: &mut Vec<i64>) -> anyhow::Result<()> {
        let confirms = FuturesUnordered::new();
        for copy in copies {
            let id = format!("copy-{}", copy.id);
            let properties =
                properties(&copy.routing_key, id).with_content_type(CONTENT_TYPE.into());
            // Not mandatory: a copy that nobody listens for is done.
            let confirm = self.channel.basic_publish(
                self.exchange(copy).into(),
                copy.routing_key.as_str().into(),
                BasicPublishOptions::default(),
                &copy.body,
                properties,
            );
            let (id, confirm) = (copy.id, confirm.await.context("cannot send a copy")?);
            confirms.push(async move { (id, confirm.await) });
        }
        // In whatever order they come: one listener that is slow does not have those of the others sent again.
        let mut answers = pin!(confirms);
        while let Some((id, answer)) = answers.next().await {
            match answer.context("no confirm of a copy")? {
                Confirmation::Ack(_) => taken.push(id),
                Confirmation::Nack(_) => {}
                Confirmation::NotRequested => bail!("the channel has no confirms"),
            }
        }
        Ok(())
    }

    fn is_connected(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }
}
