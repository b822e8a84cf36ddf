//! Connections, channels and the properties that every message has.

use crate::config::MqConfig;
use anyhow::Context;
use lapin::options::ConfirmSelectOptions;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use std::time::Duration;

/// AMQP delivery mode of a message that survives a broker restart.
const PERSISTENT: u8 = 2;
/// Longest wait for a connection to be established.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens a connection named after its user.
pub async fn connect(config: &MqConfig, name: &str) -> anyhow::Result<Connection> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connecting = Connection::connect(&config.url, properties);
    let host = database::masked(&config.url);
    tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .with_context(|| format!("RabbitMQ at {host} did not answer within {CONNECT_TIMEOUT:?}"))?
        .with_context(|| format!("cannot connect to RabbitMQ at {host}"))
}

/// A channel with publisher confirms on.
pub async fn confirming_channel(connection: &Connection) -> anyhow::Result<Channel> {
    let channel = connection
        .create_channel()
        .await
        .context("cannot open a channel")?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .context("cannot switch on publisher confirms")?;
    Ok(channel)
}

/// Closes a channel that is not needed any more.
pub async fn done(channel: &Channel) {
    let _ = channel.close(200, "done".into()).await;
}

/// Of a message that survives a broker restart.
pub fn properties(kind: &str, message_id: String) -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_type(kind.into())
        .with_message_id(message_id.into())
}
