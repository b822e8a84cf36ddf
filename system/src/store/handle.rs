//! The connections of a role to its database, and nothing about what is in it.

use super::pools::Pools;
use super::schema;
use crate::config::DatabaseConfig;
use anyhow::Context;
use database::{Database, NO_ARGS, NamedLock, PoolLimits};
use engines::{EngineFactory, Registry};
use std::time::Duration;

/// Heartbeats of one process, and what follows from one that was fenced.
const HEARTBEAT_CONNECTIONS: u32 = 2;
/// Longest wait for connections to close.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

fn acquire_max(config: &DatabaseConfig) -> Duration {
    Duration::from_millis(config.acquire_timeout_ms)
}

/// A connected database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) database: Database,
    /// Connections of their own: a heartbeat waits for nobody else's statement.
    pub(super) heartbeats: Database,
    /// The connections of `database`, for statements about every row of a sale.
    pub(super) long: Database,
    pub(super) pools: Pools,
}

impl Store {
    /// Connects a role that runs with `engine`, or says why not: also when the tables of either
    /// are not those that this binary knows.
    pub async fn connect(config: &DatabaseConfig, engine: &EngineFactory) -> anyhow::Result<Self> {
        let this = Self::open(config)?;
        this.database.probe(acquire_max(config)).await?;
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
        this.database.probe(acquire_max(config)).await?;
        schema.migrate(&this.database).await?;
        Ok(this)
    }

    pub(super) fn open(config: &DatabaseConfig) -> anyhow::Result<Self> {
        let limits = PoolLimits {
            connections_max: config.max_connections,
            acquire_max: acquire_max(config),
            statement_max: Duration::from_millis(config.statement_timeout_ms),
            lock_wait_max: Some(Duration::from_secs(config.lock_wait_s)),
            idle_transaction_max: Some(Duration::from_secs(config.idle_transaction_s)),
        };
        let beat_max = Duration::from_millis(config.heartbeat_timeout_ms);
        let of_heartbeats = PoolLimits {
            connections_max: HEARTBEAT_CONNECTIONS,
            acquire_max: beat_max,
            statement_max: beat_max,
            ..limits
        };
        let open = |limits| Database::open(&config.url, limits).context("database.url");
        let database = open(&limits)?;
        Ok(Self {
            heartbeats: open(&of_heartbeats)?,
            long: database.with_statement_max(Duration::from_millis(config.long_timeout_ms)),
            database,
            pools: Pools::default(),
        })
    }

    /// Open connections that are in use, and those that are not.
    pub fn connections(&self) -> (u32, u32) {
        let (used, idle) = self.database.connections();
        let (beating, resting) = self.heartbeats.connections();
        (used + beating, idle + resting)
    }

    /// Closes all connections, but does not wait for a database that hangs.
    pub async fn close(self) {
        let closing = async {
            self.heartbeats.close().await;
            self.database.close().await;
        };
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
