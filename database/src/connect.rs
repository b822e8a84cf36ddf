//! Connecting: one pool of one kind of connection for everybody, and a clear sentence for
//! whoever cannot.

use crate::sqlite::SqliteFile;
use crate::{Database, DatabaseKind, fault, masked};
use sqlx::migrate::MigrateDatabase;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::{ConnectOptions, Connection, MySql, MySqlConnection};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What a pool of connections may cost. A SQLite file has bounds of its own.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Most connections.
    pub connections_max: u32,
    /// Longest wait for one.
    pub acquire_max: Duration,
    /// Longest wait of a statement for a row lock; `None`: as the server has it.
    pub lock_wait_max: Option<Duration>,
    /// After so long without a statement the server ends a transaction, where it can (MySQL
    /// cannot); `None`: never.
    pub idle_transaction_max: Option<Duration>,
}

/// Why a database cannot be used, in one sentence.
#[derive(Debug)]
pub struct SetupError {
    sentence: String,
    source: Option<sqlx::Error>,
}

impl SetupError {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self {
            sentence: sentence.into(),
            source: None,
        }
    }

    pub(crate) fn because(sentence: impl Into<String>, source: sqlx::Error) -> Self {
        Self {
            sentence: sentence.into(),
            source: Some(source),
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for SetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

impl Database {
    /// The database at `url`: `mysql://user:password@host:port/database` or `sqlite:///path/of.db`.
    /// Connections are opened when first used.
    ///
    /// # Errors
    /// When the URL is of neither form.
    pub fn open(url: &str, limits: &PoolLimits) -> Result<Self, SetupError> {
        match DatabaseKind::of_url(url) {
            Some(DatabaseKind::Sqlite) => {
                SqliteFile::open(url).map(Self::Sqlite).map_err(|error| {
                    SetupError::because(format!("{url} is not of the form sqlite:///path"), error)
                })
            }
            Some(DatabaseKind::MySql) => {
                let options = MySqlConnectOptions::from_str(url).map_err(|error| {
                    let form = "mysql://user:password@host:port/database";
                    SetupError::because(format!("{} is not of the form {form}", masked(url)), error)
                })?;
                Ok(Self::MySql(pool(limits).connect_lazy_with(options)))
            }
            None => Err(SetupError::new(format!(
                "{} is neither mysql://user:password@host:port/database nor sqlite:///path/file.db",
                masked(url)
            ))),
        }
    }

    /// Whether it answers `within` this time, and if not, why: a pool says only that it timed out.
    ///
    /// # Errors
    /// When it does not.
    pub async fn probe(&self, within: Duration) -> Result<(), SetupError> {
        let Self::MySql(pool) = self else {
            return Ok(());
        };
        let options = pool.connect_options();
        let url = options.to_url_lossy();
        let url = url.as_str();
        // Behind it are options that nobody has asked for.
        let host = masked(url.split_once('?').map_or(url, |(host, _)| host));
        match tokio::time::timeout(within, options.connect()).await {
            Ok(Ok(connection)) => {
                let _ = connection.close().await;
                Ok(())
            }
            Ok(Err(error)) => Err(SetupError::because(
                format!("cannot connect to the database at {host}"),
                error,
            )),
            Err(_) => Err(SetupError::new(format!(
                "the database at {host} did not answer within {within:?}"
            ))),
        }
    }

    /// Creates the database that `url` names on its server, if it is not there. A file is created
    /// when it is first used.
    ///
    /// # Errors
    /// When the server cannot be reached or does not allow it.
    pub async fn create_if_missing(url: &str) -> Result<(), SetupError> {
        if DatabaseKind::of_url(url) != Some(DatabaseKind::MySql) {
            return Ok(());
        }
        let cannot = |what: &str, error| SetupError::because(format!("cannot {what}"), error);
        let exists = MySql::database_exists(url)
            .await
            .map_err(|error| cannot("ask the database server for its databases", error))?;
        match exists {
            true => Ok(()),
            false => MySql::create_database(url)
                .await
                .map_err(|error| cannot("create the database", error)),
        }
    }

    /// Lets go of all connections. A file stays open: others in this process use it too.
    pub async fn close(&self) {
        if let Self::MySql(pool) = self {
            pool.close().await;
        }
    }
}

fn pool(limits: &PoolLimits) -> MySqlPoolOptions {
    let limits = *limits;
    MySqlPoolOptions::new()
        .max_connections(limits.connections_max)
        .acquire_timeout(limits.acquire_max)
        .test_before_acquire(false)
        .after_connect(move |connection, _| Box::pin(prepare(connection, limits)))
}

async fn prepare(connection: &mut MySqlConnection, limits: PoolLimits) -> sqlx::Result<()> {
    // Every look sees what others have committed since the last, and no gap between rows is locked.
    sqlx::query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        .execute(&mut *connection)
        .await?;
    if let Some(wait) = limits.lock_wait_max {
        let sql = format!("SET SESSION innodb_lock_wait_timeout = {}", wait.as_secs());
        sqlx::query(&sql).execute(&mut *connection).await?;
    }
    if let Some(idle) = limits.idle_transaction_max {
        let sql = format!("SET SESSION idle_transaction_timeout = {}", idle.as_secs());
        match sqlx::query(&sql).execute(&mut *connection).await {
            Err(error) if !fault::is_unknown_variable(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
