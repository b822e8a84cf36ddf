//! The database as the roles need it: whatever role needs SQL asks for it here, by what it is for.
//!
//! One file per noun, each statement once for MySQL (or MariaDB) and SQLite; what the two say
//! differently comes from the `database` crate.

mod endings;
mod epochs;
mod incarnations;
mod markers;
mod orders;
mod sales;
mod schema;
mod types;
mod write;

pub use types::{
    Fenced, Life, OpenSale, PastSale, Poison, Publisher, SaleRow, SeedSale, Snapshot, WorkerUse,
    WriteBatch, Written,
};

use crate::config::DatabaseConfig;
use anyhow::Context;
use database::{Database, NO_ARGS, NamedLock, PoolLimits};
use engines::{EngineFactory, Registry};
use std::time::Duration;

/// Longest wait for a connection out of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for connections to close.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Order states as stored in `orders.status`.
pub mod status {
    /// Never became an order; blocks its order id for ever.
    pub const VOID: i64 = 4;
}

/// A connected database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
}

impl Store {
    /// Connects a role that runs with `engine`, or says why not: also when the tables of either
    /// are not those that this binary knows.
    pub async fn connect(config: &DatabaseConfig, engine: &EngineFactory) -> anyhow::Result<Self> {
        let this = Self::open(config)?;
        this.database.probe(ACQUIRE_TIMEOUT).await?;
        schema::of_role(engine)?.check(&this.database).await?;
        Ok(this)
    }

    /// Creates the database if it is missing, brings the tables of the system and of every
    /// registered engine up to date, and connects. What is refused is refused before anything is
    /// changed.
    pub async fn migrate(config: &DatabaseConfig, registry: &Registry) -> anyhow::Result<Self> {
        let schema = schema::of_all(registry)?;
        let this = Self::open(config)?;
        Database::create_if_missing(&config.url).await?;
        this.database.probe(ACQUIRE_TIMEOUT).await?;
        schema.migrate(&this.database).await?;
        Ok(this)
    }

    fn open(config: &DatabaseConfig) -> anyhow::Result<Self> {
        let limits = PoolLimits {
            connections_max: config.max_connections,
            acquire_max: ACQUIRE_TIMEOUT,
            lock_wait_max: None,
            idle_transaction_max: None,
        };
        let database = Database::open(&config.url, &limits).context("database.url")?;
        Ok(Self { database })
    }

    /// Closes all connections, but does not wait for a database that hangs.
    pub async fn close(self) {
        let closing = self.database.close();
        if tokio::time::timeout(CLOSE_TIMEOUT, closing).await.is_err() {
            tracing::warn!(
                ?CLOSE_TIMEOUT,
                "the database did not let go of its connections"
            );
        }
    }

    /// Takes the turn to open epochs, or learns that another reconciler has it. The number grows
    /// with every claim.
    pub async fn take_turn(&self) -> database::Result<(Option<NamedLock>, i64)> {
        let turn = self.database.try_lock("seckill.open").await?;
        let sql = "SELECT CAST(COALESCE(SUM(newest_epoch), 0) AS SIGNED) FROM sales";
        let epochs = self.database.row(sql, NO_ARGS).await?;
        Ok((turn, epochs.unwrap_or_default()))
    }
}
#[cfg(test)]
mod tests;
