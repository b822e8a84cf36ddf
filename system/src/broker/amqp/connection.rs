//! Connections, channels and the properties that every message has.

use crate::config::MqConfig;
use anyhow::Context;
use lapin::options::ConfirmSelectOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ErrorKind};
use std::str::FromStr;
use std::time::Duration;

/// AMQP delivery mode of a message that survives a broker restart.
const PERSISTENT: u8 = 2;
/// Longest wait for a connection to be established.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens a connection named after its user.
pub async fn connect(config: &MqConfig, name: &str) -> anyhow::Result<Connection> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let host = database::masked(&config.url);
    let uri = AMQPUri::from_str(&config.url).map_err(anyhow::Error::msg);
    let mut uri = uri.with_context(|| format!("mq.url: {host} is not a valid URL"))?;
    // Its owner is dead or frozen, and others wait for its queues. What the URL says counts.
    uri.query.heartbeat.get_or_insert(config.heartbeat_s);
    let connecting = Connection::connect_uri(uri, properties);
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

/// Whether the broker said that there is no such thing, or that its node is down; it closes the
/// channel with it.
pub fn is_not_found(error: &lapin::Error) -> bool {
    let not_found = AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND);
    matches!(error.kind(), ErrorKind::ProtocolError(refusal) if *refusal.kind() == not_found)
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
