//! What belongs to one leg on the servers: a database, and keys and queues with a prefix; on the
//! embedded stack, one file. The system creates all of it when it starts, and the lab removes it
//! afterwards. Nothing without the prefix is ever touched.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::{Connection, ConnectionProperties};
use sqlx::{Connection as _, Executor};

use super::redis_cleanup;
use crate::stack::Stack;
use crate::tables::Tables;

/// Longest time that removing a leg's database, keys and queues may take.
const REMOVE_LIMIT: Duration = Duration::from_secs(60);
/// The database, its log, that log's index, and the system's lock on them all.
const FILE_ENDINGS: [&str; 4] = [".db", ".db-wal", ".db-shm", ".db.lock"];
const JOURNAL_MODE: &str = "sqlite.journal_mode";

#[derive(Clone, Debug)]
pub(super) struct Namespace {
    pub database: String,
    pub redis_prefix: String,
    pub mq_prefix: String,
    /// In front of the names of the leg's processes: their logs and counters are kept apart from
    /// those of other legs.
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

    /// Removes all of it. Each part is attempted even if another one fails, and the first failure
    /// is returned.
    pub(super) async fn remove(&self, stack: &Stack) -> anyhow::Result<()> {
        if stack.is_embedded() {
            return self.remove_files(stack.scratch());
        }
        let removing = async {
            // The database holds the names of the queues, so it is removed last.
            let queues = self.remove_queues(stack).await;
            let keys = redis_cleanup::unlink_prefix(&stack.redis_url(), &self.redis_prefix).await;
            let database = self.drop_database(stack).await;
            queues.context("the leg's queues were not removed")?;
            keys.context("the leg's keys were not removed")?;
            database.context("the leg's database was not dropped")
        };
        tokio::time::timeout(REMOVE_LIMIT, removing)
            .await
            .context("removing the leg's data took too long")?
    }

    /// The log and its index exist only after a kill.
    fn remove_files(&self, folder: &Path) -> anyhow::Result<()> {
        for ending in FILE_ENDINGS {
            let path = folder.join(format!("{}{ending}", self.database));
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("{} cannot be removed", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks that the file of the embedded stack is really in the mode that its result claims.
    pub(super) async fn check_file(&self, stack: &Stack) -> anyhow::Result<()> {
        if !stack.is_embedded() {
            return Ok(());
        }
        let mut tables = Tables::open(&stack.database_url(&self.database)).await?;
        let mode = tables.texts("PRAGMA journal_mode").await?.concat();
        tables.close().await;
        ensure!(
            Some(&mode) == stack.settings().get(JOURNAL_MODE),
            "the system made its SQLite file in mode {mode}"
        );
        Ok(())
    }

    async fn remove_queues(&self, stack: &Stack) -> anyhow::Result<()> {
        let mut database = Tables::open(&stack.database_url(&self.database)).await?;
        let queues = database
            .texts("SELECT queue FROM incarnations WHERE queue <> ''")
            .await?;
        let broker =
            Connection::connect(&stack.amqp_url(), ConnectionProperties::default()).await?;
        let channel = broker.create_channel().await?;
        for queue in queues {
            // Deleting a queue that is not there is no error.
            if queue.starts_with(&self.mq_prefix) {
                channel
                    .queue_delete(queue.into(), QueueDeleteOptions::default())
                    .await?;
            }
        }
        for exchange in ["seckill.orders", "seckill.exchange", "seckill.dlx"] {
            let name = format!("{}{exchange}", self.mq_prefix);
            channel
                .exchange_delete(name.into(), ExchangeDeleteOptions::default())
                .await?;
        }
        broker.close(200, "done".into()).await?;
        Ok(())
    }

    async fn drop_database(&self, stack: &Stack) -> anyhow::Result<()> {
        let url = stack.database_url(&self.database);
        let mut connection = sqlx::MySqlConnection::connect(&url)
            .await
            .context("no connection to the database")?;
        let drop = format!("DROP DATABASE `{}`", self.database);
        connection.execute(sqlx::raw_sql(&drop)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_leg_go_and_those_of_another_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = [
            "lab_1.db",
            "lab_1.db-wal",
            "lab_1.db-shm",
            "lab_1.db.lock",
            "lab_11.db",
        ];
        for file in files {
            std::fs::write(folder.path().join(file), "x").expect("written");
        }
        let namespace = Namespace::new("lab", 1);
        namespace.remove_files(folder.path()).expect("removed");
        namespace
            .remove_files(folder.path())
            .expect("nothing left to remove");
        let left: Vec<_> = std::fs::read_dir(folder.path())
            .expect("readable")
            .flatten()
            .collect();
        assert_eq!(
            (left.len(), left[0].file_name().to_str()),
            (1, Some("lab_11.db"))
        );
    }
}
