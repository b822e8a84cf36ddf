//! What belongs to one leg on the servers: a database, keys and queues behind a prefix. Made by the system when it
//! starts, removed by the lab afterwards; nothing without the prefix is ever touched.

use std::time::Duration;

use anyhow::Context;
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::{Connection, ConnectionProperties};
use sqlx::{ConnectOptions, Executor, Row};

use super::resp;
use crate::stack::Stack;

/// Longest time that removing a leg's database, keys and queues may take.
const REMOVE_LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub(super) struct Namespace {
    pub database: String,
    pub redis_prefix: String,
    pub mq_prefix: String,
    /// In front of the names of the leg's processes: their logs and counters are kept apart from those of other legs.
    pub role_prefix: String,
}

impl Namespace {
    /// `run` is letters and digits only, so that every server accepts it in a name.
    pub(super) fn new(run: &str, leg: usize) -> Self {
        Self {
            database: format!("{run}_{leg}"),
            redis_prefix: format!("{run}:{leg}:"),
            mq_prefix: format!("{run}.{leg}."),
            role_prefix: format!("leg{leg}-"),
        }
    }

    /// Whether a process belongs to some leg, this one or another.
    pub(super) fn is_role_of_a_leg(name: &str) -> bool {
        name.strip_prefix("leg")
            .and_then(|rest| rest.split_once('-'))
            .is_some_and(|(leg, _)| leg.parse::<usize>().is_ok())
    }

    /// Removes everything; each part is tried even if another one fails, and the first failure is returned.
    pub(super) async fn remove(&self, stack: &Stack) -> anyhow::Result<()> {
        let removing = async {
            // The queues' names are in the database, so it goes last.
            let queues = self.remove_queues(stack).await;
            let keys = resp::unlink_prefix(&stack.redis_url(), &self.redis_prefix).await;
            let database = self.drop_database(stack).await;
            queues.context("the leg's queues were not removed")?;
            keys.context("the leg's keys were not removed")?;
            database.context("the leg's database was not dropped")
        };
        tokio::time::timeout(REMOVE_LIMIT, removing).await.context("removing the leg's data took too long")?
    }

    async fn remove_queues(&self, stack: &Stack) -> anyhow::Result<()> {
        let mut database = connect(&stack.database_url(&self.database)).await?;
        let rows = database.fetch_all("SELECT queue FROM incarnations WHERE queue <> ''").await?;
        let broker = Connection::connect(&stack.amqp_url(), ConnectionProperties::default()).await?;
        let channel = broker.create_channel().await?;
        for row in rows {
            let queue: String = row.try_get("queue")?;
            // Deleting a queue that is not there is no error.
            if queue.starts_with(&self.mq_prefix) {
                channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
            }
        }
        for exchange in ["seckill.exchange", "seckill.dlx"] {
            let name = format!("{}{exchange}", self.mq_prefix);
            channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await?;
        }
        broker.close(200, "done".into()).await?;
        Ok(())
    }

    async fn drop_database(&self, stack: &Stack) -> anyhow::Result<()> {
        let mut connection = connect(&stack.database_url(&self.database)).await?;
        let drop = format!("DROP DATABASE `{}`", self.database);
        connection.execute(sqlx::raw_sql(&drop)).await?;
        Ok(())
    }
}

/// One plain connection; statements are sent as text, so nothing is prepared or cached.
pub(super) async fn connect(url: &str) -> anyhow::Result<sqlx::MySqlConnection> {
    let options: sqlx::mysql::MySqlConnectOptions = url.parse().context("the database's address is wrong")?;
    options.connect().await.context("no connection to the database")
}
