//! Servers that somebody else runs: the lab reads what they promise, and starts and stops nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use servers::{amqp, database, redis};
use sqlx::{Connection, MySqlConnection};

use super::address;
use super::options::ExternalAddresses;

/// How long each of them may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The three addresses. On the embedded stack there is a folder of databases, and the others are
/// empty.
#[derive(Clone, Debug)]
pub(super) struct Urls {
    pub redis: String,
    pub amqp: String,
    pub database: String,
}

impl Urls {
    pub(super) fn of(addresses: &ExternalAddresses) -> anyhow::Result<Self> {
        let given = |url: &Option<String>, option: &str| {
            url.clone()
                .with_context(|| format!("--stack external needs {option}; nothing is guessed"))
        };
        Ok(Self {
            redis: given(&addresses.redis_url, "--redis-url")?,
            amqp: given(&addresses.amqp_url, "--amqp-url")?,
            database: given(&addresses.database_url, "--database-url")?,
        })
    }
}

/// Versions and durability as far as the servers tell; one that does not answer at all is an error.
pub(super) async fn settings(
    urls: &Urls,
    queue_type: &str,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let mut add = |server: &str, settings: Vec<(&str, String)>| {
        all.extend(
            settings
                .into_iter()
                .map(|(name, value)| (format!("{server}.{name}"), value)),
        );
    };
    let redis = async {
        // Of a cluster, the first node speaks for the others.
        let nodes = address::redis_nodes(&urls.redis);
        let first = nodes.first().context("--redis-url names no server")?;
        let mut settings = redis::settings(&address::parse(first, "redis", 6379)?).await?;
        if urls.redis.starts_with(address::REDIS_CLUSTER) {
            settings.push(("cluster_nodes", nodes.len().to_string()));
        }
        Ok(settings)
    };
    add("redis", within("Redis", redis).await?);
    let broker = async {
        let [version, _] = amqp::greeting(&address::parse(&urls.amqp, "amqp", 5672)?).await?;
        // The login is tried too: a version is told to everybody.
        let connection =
            lapin::Connection::connect(&urls.amqp, lapin::ConnectionProperties::default()).await?;
        connection.close(200, "looked".into()).await?;
        Ok(version)
    };
    let version = within("RabbitMQ", broker).await?;
    add(
        "rabbitmq",
        vec![("version", version), ("queue_type", queue_type.to_owned())],
    );
    let database = async {
        // No database yet: `migrate` makes it.
        let url = address::with_database(&urls.database, "");
        let mut connection = MySqlConnection::connect(&url).await?;
        let settings = database::settings(&mut connection).await?;
        drop(connection.close().await);
        Ok(settings)
    };
    let settings = within("the database", database).await?;
    add(database::product(&settings), settings);
    Ok(all)
}

async fn within<T>(name: &str, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(ANSWER_LIMIT, work)
        .await
        .with_context(|| format!("external {name} does not answer within {ANSWER_LIMIT:?}"))?
        .with_context(|| format!("external {name} cannot be used"))
}
