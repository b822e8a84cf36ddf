//! Connecting: one pool of one kind of connection for everybody, and a clear sentence for
//! whoever cannot.

use crate::mysql::MySqlServer;
use crate::sqlite::SqliteFile;
use crate::{Database, DatabaseKind, PoolLimits, fault, masked};
use sqlx::migrate::MigrateDatabase;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{ConnectOptions, Connection, MySql};
use std::borrow::Cow;
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
                let options =
                    MySqlConnectOptions::from_str(&plain_unless_asked(url)).map_err(|error| {
                        let form = "mysql://user:password@host:port/database";
                        SetupError::because(
                            format!("{} is not of the form {form}", masked(url)),
                            error,
                        )
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
        let url = &*plain_unless_asked(url);
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

/// `url`, which says that TLS is not used unless it says how. By itself sqlx would use it wherever a
/// server offers it, and hold the certificate against nothing: that costs much and protects little.
fn plain_unless_asked(url: &str) -> Cow<'_, str> {
    const PLAIN: &str = "ssl-mode=DISABLED";
    let Some((_, parameters)) = url.split_once('?') else {
        return Cow::Owned(format!("{url}?{PLAIN}"));
    };
    let mut parameters = parameters.split('&');
    let is_said = parameters
        .any(|parameter| parameter.starts_with("ssl-mode=") || parameter.starts_with("sslmode="));
    match is_said {
        true => Cow::Borrowed(url),
        false => Cow::Owned(format!("{url}&{PLAIN}")),
    }
}

async fn within<T>(call: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let answer = timeout(CREATE_MAX, call).await;
    answer.unwrap_or_else(|_| Err(fault::out_of_time(CREATE_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::mysql::MySqlSslMode;

    #[test]
    fn tls_is_used_only_where_the_address_asks_for_it() {
        let mode = |url: &str| {
            let url = format!("mysql://u:p@h:3306/db{url}");
            let options = MySqlConnectOptions::from_str(&plain_unless_asked(&url));
            options.unwrap().get_ssl_mode()
        };
        assert!(matches!(mode(""), MySqlSslMode::Disabled));
        assert!(matches!(mode("?charset=utf8mb4"), MySqlSslMode::Disabled));
        assert!(matches!(
            mode("?ssl-mode=VERIFY_CA"),
            MySqlSslMode::VerifyCa
        ));
        let behind = "?charset=utf8mb4&sslmode=REQUIRED";
        assert!(matches!(mode(behind), MySqlSslMode::Required));
    }
}
