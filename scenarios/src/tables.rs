//! Reads the system's tables over one connection that a URL names: to MariaDB or MySQL, or to the
//! SQLite file of the embedded stack. It never writes, opens SQLite read-only, and shares no code
//! with the system.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::TryStreamExt;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions, Connection, Row};

/// A database that does not take a connection within this time is down.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for a lock on the SQLite file, which a reader meets only while a log is recovered
/// or removed.
const BUSY_LIMIT: Duration = Duration::from_secs(5);

/// After these statements, every further one sees the same state. SQLite takes its snapshot with
/// the first read.
const FREEZE_MYSQL: [&str; 2] = [
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
];
const FREEZE_SQLITE: [&str; 2] = ["BEGIN", "SELECT COUNT(*) FROM sqlite_schema"];

#[derive(Debug)]
pub(crate) enum Tables {
    MySql(MySqlConnection),
    Sqlite(SqliteConnection),
}

/// One row, by the position of its columns.
#[allow(missing_debug_implementations, reason = "a row of SQLite has none")]
pub(crate) enum TableRow<'a> {
    MySql(&'a MySqlRow),
    Sqlite(&'a SqliteRow),
}

impl Tables {
    /// # Errors
    /// When the URL names neither kind of database, or the database does not answer.
    pub(crate) async fn open(url: &str) -> anyhow::Result<Self> {
        let opening = async {
            match url.split_once(':').map(|(scheme, _)| scheme) {
                Some("sqlite") => {
                    let options = SqliteConnectOptions::from_str(url)
                        .context("this is not the URL of a SQLite file")?;
                    let options = options
                        .read_only(true)
                        .create_if_missing(false)
                        .busy_timeout(BUSY_LIMIT);
                    let file = options.get_filename().display().to_string();
                    let connection = options.disable_statement_logging().connect().await;
                    Ok(Self::Sqlite(
                        connection.with_context(|| format!("cannot open {file}"))?,
                    ))
                }
                Some("mysql" | "mariadb") => {
                    let options = MySqlConnectOptions::from_str(url)
                        .context("the database URL is not of the form mysql://user[:password]@host:port/database")?;
                    let connection = options.disable_statement_logging().connect().await;
                    Ok(Self::MySql(
                        connection.context("no connection to the database")?,
                    ))
                }
                _ => bail!(
                    "the database URL is neither mysql://user[:password]@host:port/database nor sqlite:///path/of.db"
                ),
            }
        };
        tokio::time::timeout(CONNECT_LIMIT, opening)
            .await
            .with_context(|| {
                format!(
                    "the database accepted no connection within {} s",
                    CONNECT_LIMIT.as_secs()
                )
            })?
    }

    /// Begins a transaction in which everything is read as it is now, until [`Tables::close`].
    pub(crate) async fn freeze(&mut self) -> anyhow::Result<()> {
        let statements = match self {
            Self::MySql(_) => FREEZE_MYSQL,
            Self::Sqlite(_) => FREEZE_SQLITE,
        };
        for statement in statements {
            self.each(statement, |_| Ok(())).await.context(statement)?;
        }
        Ok(())
    }

    /// Every row of a statement, which is sent as text: nothing is prepared or cached.
    pub(crate) async fn each(
        &mut self,
        statement: &str,
        mut visit: impl FnMut(TableRow<'_>) -> sqlx::Result<()>,
    ) -> sqlx::Result<()> {
        let statement = sqlx::raw_sql(statement);
        match self {
            Self::MySql(connection) => {
                let mut rows = statement.fetch(connection);
                while let Some(row) = rows.try_next().await? {
                    visit(TableRow::MySql(&row))?;
                }
            }
            Self::Sqlite(connection) => {
                let mut rows = statement.fetch(connection);
                while let Some(row) = rows.try_next().await? {
                    visit(TableRow::Sqlite(&row))?;
                }
            }
        }
        Ok(())
    }

    /// The first column of every row.
    pub(crate) async fn texts(&mut self, statement: &str) -> sqlx::Result<Vec<String>> {
        let mut texts = Vec::new();
        self.each(statement, |row| {
            texts.push(row.text(0)?);
            Ok(())
        })
        .await?;
        Ok(texts)
    }

    /// The first column of every row.
    pub(crate) async fn integers(&mut self, statement: &str) -> sqlx::Result<Vec<i64>> {
        let mut integers = Vec::new();
        self.each(statement, |row| {
            integers.push(row.integer(0)?);
            Ok(())
        })
        .await?;
        Ok(integers)
    }

    /// Whether there is a table of this name: one that an older version of the system made has fewer.
    pub(crate) async fn has(&mut self, table: &str) -> sqlx::Result<bool> {
        let statement = match self {
            Self::MySql(_) => format!(
                "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '{table}'"
            ),
            Self::Sqlite(_) => format!(
                "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = '{table}'"
            ),
        };
        Ok(self.integers(&statement).await? != [0])
    }

    /// Closes the connection. What was read stays valid if this fails, so a failure is ignored.
    pub(crate) async fn close(self) {
        let _ = match self {
            Self::MySql(connection) => connection.close().await,
            Self::Sqlite(connection) => connection.close().await,
        };
    }
}

impl TableRow<'_> {
    pub(crate) fn integer(&self, column: usize) -> sqlx::Result<i64> {
        match self {
            Self::MySql(row) => row.try_get(column),
            Self::Sqlite(row) => row.try_get(column),
        }
    }

    pub(crate) fn integer_or_null(&self, column: usize) -> sqlx::Result<Option<i64>> {
        match self {
            Self::MySql(row) => row.try_get(column),
            Self::Sqlite(row) => row.try_get(column),
        }
    }

    pub(crate) fn text(&self, column: usize) -> sqlx::Result<String> {
        match self {
            Self::MySql(row) => row.try_get(column),
            Self::Sqlite(row) => row.try_get(column),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with one table, whose writer is still connected.
    async fn written(folder: &std::path::Path) -> (SqliteConnection, String) {
        let url = format!("sqlite://{}/leg.db", folder.display());
        let options = SqliteConnectOptions::from_str(&url)
            .expect("a URL")
            .create_if_missing(true);
        let options = options.journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
        let mut writer = options.connect().await.expect("a writer");
        let made =
            "CREATE TABLE t (n INTEGER, word TEXT); INSERT INTO t VALUES (7, 'a'), (NULL, 'b')";
        sqlx::raw_sql(made)
            .execute(&mut writer)
            .await
            .expect("made");
        (writer, url)
    }

    #[tokio::test]
    async fn a_frozen_sqlite_file_is_read_as_it_was_and_never_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut writer, url) = written(folder.path()).await;
        let mut tables = Tables::open(&url).await.expect("opened");
        tables.freeze().await.expect("frozen");
        sqlx::raw_sql("DELETE FROM t")
            .execute(&mut writer)
            .await
            .expect("written meanwhile");
        let mut seen = Vec::new();
        let read = tables.each("SELECT n, word FROM t ORDER BY word", |row| {
            seen.push((row.integer_or_null(0)?, row.text(1)?));
            Ok(())
        });
        read.await.expect("read");
        assert_eq!(seen, [(Some(7), "a".to_owned()), (None, "b".to_owned())]);
        let refused = tables
            .each("DELETE FROM t", |_| Ok(()))
            .await
            .expect_err("read-only")
            .to_string();
        assert!(refused.contains("readonly"), "{refused}");
        tables.close().await;
        let mut anew = Tables::open(&url).await.expect("opened");
        assert_eq!(
            anew.integers("SELECT COUNT(*) FROM t").await.expect("read"),
            [0]
        );
        assert!(anew.has("t").await.expect("read"));
        assert!(!anew.has("u").await.expect("read"));
    }

    #[tokio::test]
    async fn an_url_of_neither_database_and_a_file_that_is_not_there_are_refused() {
        let said = async |url: &str| format!("{:#}", Tables::open(url).await.expect_err(url));
        assert!(said("postgres://h/d").await.contains("neither mysql://"));
        let missing = said("sqlite:///nowhere/leg.db").await;
        assert!(missing.contains("cannot open /nowhere/leg.db"), "{missing}");
    }
}
