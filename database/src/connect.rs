//! Connecting: one pool of one kind of connection for everybody, and a clear sentence for
//! whoever cannot.

use crate::mysql::MySqlServer;
use crate::sqlite::SqliteFile;
use crate::{Database, DatabaseKind, PoolLimits, fault, masked};
use sqlx::migrate::MigrateDatabase;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{ConnectOptions, Connection, MySql};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use tokio::time::timeout;

/// Longest wait for a server that is asked for its databases or told to make one.
const CREATE_MAX: Duration = Duration::from_secs(30);

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
                Ok(Self::MySql(MySqlServer::open(options, *limits)))
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
        let Self::MySql(server) = self else {
            return Ok(());
        };
        let options = server.pool().connect_options();
        let url = options.to_url_lossy();
        let url = url.as_str();
        // Behind it are options that nobody has asked for.
        let host = masked(url.split_once('?').map_or(url, |(host, _)| host));
        match timeout(within, options.connect()).await {
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
        let exists = within(MySql::database_exists(url)).await;
        let exists =
            exists.map_err(|error| cannot("ask the database server for its databases", error))?;
        match exists {
            true => Ok(()),
            false => within(MySql::create_database(url))
                .await
                .map_err(|error| cannot("create the database", error)),
        }
    }

    /// Lets go of all connections. A file stays open: others in this process use it too.
    pub async fn close(&self) {
        if let Self::MySql(server) = self {
            server.pool().close().await;
        }
    }
}

async fn within<T>(call: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let answer = timeout(CREATE_MAX, call).await;
    answer.unwrap_or_else(|_| Err(fault::out_of_time(CREATE_MAX)))
}
