//! MySQL and MariaDB: connection, migrations, and what their dialect says differently.

#[path = "statements.rs"]
mod statements;

use super::turn_lock::TurnLock;
use crate::config::{DatabaseConfig, mask_password};
use anyhow::Context;
use sqlx::migrate::MigrateDatabase;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlQueryResult};
use sqlx::{ConnectOptions, Connection, MySql, MySqlPool, Row, Transaction};
use std::str::FromStr;
use std::time::Duration;

pub use sqlx::MySqlConnection as DbConnection;
pub use sqlx::mysql::MySqlRow as DbRow;

/// Longest wait for a connection out of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// SQL expression for the database's clock, unix ms.
pub const NOW_MS: &str = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)";
/// Locks the rows that are read against writers and other lockers.
pub const FOR_UPDATE: &str = " FOR UPDATE";
/// Reads what is committed now and keeps it from changing.
pub const FOR_SHARE: &str = " LOCK IN SHARE MODE";

/// Behind an INSERT: a row whose key is there already is left as it is. Unlike INSERT IGNORE it
/// hides no other fault.
pub fn or_nothing(key: &str) -> String {
    format!(" ON DUPLICATE KEY UPDATE {key} = {key}")
}

/// Id that an INSERT was given.
pub fn inserted_id(done: &MySqlQueryResult) -> i64 {
    i64::try_from(done.last_insert_id()).unwrap_or(i64::MAX)
}

/// Whether the database refuses these values for good, as opposed to being out of reach, busy or
/// full.
///
/// MySQL and MariaDB error numbers: duplicate key, out of range, too long, null, check constraint
/// (both products).
pub fn is_refusal(error: &sqlx::Error) -> bool {
    const REFUSALS: [u16; 7] = [1062, 1264, 1366, 1406, 1048, 3819, 4025];
    let sqlx::Error::Database(error) = error else {
        return false;
    };
    let number = error
        .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        .map(sqlx::mysql::MySqlDatabaseError::number);
    number.is_some_and(|number| REFUSALS.contains(&number))
}

pub use engines::close_leases_mysql as close_leases;

/// A pool that answers fast: statements are cached per connection and connections are not pinged
/// before use.
#[derive(Clone, Debug)]
pub struct Database {
    pool: MySqlPool,
}

impl Database {
    pub(super) async fn connect(config: &DatabaseConfig) -> anyhow::Result<Self> {
        let host = mask_password(&config.url);
        let options = MySqlConnectOptions::from_str(&config.url)
            .with_context(|| {
                format!("database.url: {host} is not of the form mysql://user:password@host:port/database")
            })?
            .statement_cache_capacity(64);
        // The pool only says that it timed out; one plain connection first says why.
        let probe = tokio::time::timeout(ACQUIRE_TIMEOUT, options.connect()).await;
        let probe = probe.with_context(|| {
            format!("the database at {host} did not answer within {ACQUIRE_TIMEOUT:?}")
        })?;
        let probe = probe.with_context(|| format!("cannot connect to the database at {host}"))?;
        probe.close().await.ok();
        let pool = MySqlPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    // No gap locks between the batches of several consumers.
                    sqlx::query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .connect_with(options)
            .await
            .with_context(|| format!("cannot connect to the database at {host}"))?;
        Ok(Self { pool })
    }

    pub(super) async fn migrate(config: &DatabaseConfig) -> anyhow::Result<Self> {
        let exists = MySql::database_exists(&config.url)
            .await
            .context("cannot ask the database server for its databases")?;
        if !exists {
            MySql::create_database(&config.url)
                .await
                .context("cannot create the database")?;
        }
        let database = Self::connect(config).await?;
        let files = [
            (
                "products",
                include_str!("../../migrations/mysql/products.sql"),
            ),
            ("allocations", engines::ALLOCATIONS_MYSQL),
            ("orders", include_str!("../../migrations/mysql/orders.sql")),
            (
                "incarnations",
                include_str!("../../migrations/mysql/incarnations.sql"),
            ),
            ("database-row engine", engines::DATABASE_ROW_MYSQL),
            ("preallocated engine", engines::PREALLOCATED_MYSQL),
        ];
        let migrator = statements::migrator(&files);
        migrator
            .run(&database.pool)
            .await
            .context("cannot bring the schema up to date")?;
        Ok(database)
    }

    pub(super) async fn close(self) {
        self.pool.close().await;
    }

    /// Where to read what is committed.
    fn readers(&self) -> &MySqlPool {
        &self.pool
    }

    /// Begins a transaction that writes. Dropping it rolls back.
    async fn begin(&self) -> sqlx::Result<Transaction<'static, MySql>> {
        self.pool.begin().await
    }

    /// See [`super::Store::take_turn`].
    pub(super) async fn take_turn(&self) -> sqlx::Result<(Option<TurnLock>, i64)> {
        // Not a pooled connection: the lock belongs to it and must go when this process or task
        // goes.
        let mut connection = self.pool.acquire().await?.detach();
        let row = sqlx::query(
            "SELECT GET_LOCK(CONCAT('seckill.open.', MD5(DATABASE())), 0),
             (SELECT CAST(COALESCE(SUM(newest_epoch), 0) AS SIGNED) FROM sales)",
        )
        .fetch_one(&mut connection)
        .await?;
        let (is_ours, epochs): (Option<i64>, i64) = (row.try_get(0)?, row.try_get(1)?);
        if is_ours == Some(1) {
            return Ok((
                Some(TurnLock {
                    connection: Some(connection),
                }),
                epochs,
            ));
        }
        let _ = connection.close().await;
        Ok((None, epochs))
    }
}
