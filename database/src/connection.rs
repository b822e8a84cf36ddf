//! Statements that read the same on MySQL/MariaDB and on SQLite, and run on either.
//!
//! Every parameter is a `?`. What the dialects say differently is in [`DatabaseKind`].

use crate::mysql::MySqlServer;
use crate::session::{self, Session};
use crate::sqlite::SqliteFile;
use crate::{Arg, DatabaseKind, FromRow, RowRef, arg};
use sqlx::{Result, Sqlite, SqliteConnection};
use std::sync::Arc;
use std::time::Duration;

/// A connection of either kind.
#[derive(Debug)]
pub enum Connection<'a> {
    MySql(&'a mut Session),
    Sqlite(&'a mut SqliteConnection),
}

/// A database of either kind; cheap to clone.
#[derive(Clone, Debug)]
pub enum Database {
    MySql(MySqlServer),
    Sqlite(Arc<SqliteFile>),
}

/// A transaction that writes, or a part of one. Dropping it rolls back.
#[derive(Debug)]
pub enum Tx<'a> {
    MySql(session::Transaction<'a>),
    Sqlite(sqlx::Transaction<'a, Sqlite>),
}

macro_rules! sqlite_rows {
    ($query:expr, $executor:expr) => {{
        let rows = $query.fetch_all($executor).await?;
        rows.iter()
            .map(|row| R::from_row(RowRef::Sqlite(row)))
            .collect()
    }};
}

impl Connection<'_> {
    /// Which database it is.
    pub fn kind(&self) -> DatabaseKind {
        match self {
            Self::MySql(_) => DatabaseKind::MySql,
            Self::Sqlite(_) => DatabaseKind::Sqlite,
        }
    }

    /// What makes a `SELECT` lock its rows.
    pub fn for_update(&self) -> &'static str {
        self.kind().for_update()
    }

    /// Every row.
    pub async fn rows<'q, R: FromRow>(
        &mut self,
        sql: &'q str,
        args: impl IntoIterator<Item: Into<Arg<'q>>>,
    ) -> Result<Vec<R>> {
        match self {
            Self::MySql(session) => {
                let read = |row: &_| R::from_row(RowRef::MySql(row));
                session.rows(arg::mysql(sql, args), read).await
            }
            Self::Sqlite(connection) => {
                sqlite_rows!(arg::sqlite(sql, args), &mut **connection)
            }
        }
    }

    /// The first row, if there is one.
    pub async fn row<'q, R: FromRow>(
        &mut self,
        sql: &'q str,
        args: impl IntoIterator<Item: Into<Arg<'q>>>,
    ) -> Result<Option<R>> {
        Ok(self.rows(sql, args).await?.into_iter().next())
    }

    /// How many rows the statement found, changed or not.
    pub async fn run<'q>(
        &mut self,
        sql: &'q str,
        args: impl IntoIterator<Item: Into<Arg<'q>>>,
    ) -> Result<u64> {
        match self {
            Self::MySql(session) => {
                let done = session.run(arg::mysql(sql, args)).await?;
                Ok(done.rows_affected())
            }
            Self::Sqlite(connection) => {
                let done = arg::sqlite(sql, args).execute(&mut **connection).await?;
                Ok(done.rows_affected())
            }
        }
    }

    /// Inserts a row into a table that numbers its rows; returns the row's number.
    pub async fn insert<'q>(
        &mut self,
        sql: &'q str,
        args: impl IntoIterator<Item: Into<Arg<'q>>>,
    ) -> Result<i64> {
        match self {
            Self::MySql(session) => {
                let done = session.run(arg::mysql(sql, args)).await?;
                Ok(done.last_insert_id().cast_signed())
            }
            Self::Sqlite(connection) => {
                let done = arg::sqlite(sql, args).execute(&mut **connection).await?;
                Ok(done.last_insert_rowid())
            }
        }
    }

    /// Begins a part of the transaction that can be rolled back by itself.
    pub async fn savepoint(&mut self) -> Result<Tx<'_>> {
        match self {
            Self::MySql(session) => Ok(Tx::MySql(session::Transaction::within(session).await?)),
            Self::Sqlite(connection) => Ok(Tx::Sqlite(
                sqlx::Connection::begin(&mut **connection).await?,
            )),
        }
    }
}

impl Database {
    /// Open connections that are in use, and those that are not.
    pub fn connections(&self) -> (u32, u32) {
        let (open, idle) = match self {
            Self::MySql(server) => (server.pool().size(), server.pool().num_idle()),
            Self::Sqlite(file) => file.connections(),
        };
        let idle = u32::try_from(idle).unwrap_or(u32::MAX);
        (open.saturating_sub(idle), idle)
    }

    /// Which database it is.
    pub fn kind(&self) -> DatabaseKind {
        match self {
            Self::MySql(_) => DatabaseKind::MySql,
            Self::Sqlite(_) => DatabaseKind::Sqlite,
        }
    }

    /// The clock of the database, unix ms; see [`DatabaseKind::now_ms`].
    pub fn now_ms(&self) -> &'static str {
        self.kind().now_ms()
    }

    /// The same database and the same connections, with another limit for each statement: see
    /// [`PoolLimits::statement_max`](crate::PoolLimits::statement_max).
    #[must_use]
    pub fn with_statement_max(&self, statement_max: Duration) -> Self {
        match self {
            Self::MySql(server) => Self::MySql(server.with_statement_max(statement_max)),
            Self::Sqlite(file) => Self::Sqlite(file.clone()),
        }
    }

    /// Begins a transaction that may write.
    pub async fn begin(&self) -> Result<Tx<'static>> {
        match self {
            Self::MySql(server) => Ok(Tx::MySql(server.begin().await?)),
            Self::Sqlite(file) => Ok(Tx::Sqlite(file.write().await?)),
        }
    }

    /// Runs one statement in a transaction of its own; how many rows it found, changed or not.
    pub async fn run<'q>(
        &self,
        sql: &'q str,
        args: impl IntoIterator<Item: Into<Arg<'q>>>,
    ) -> Result<u64> {
        match self {
            // Which commits by itself: one question, one answer.
            Self::MySql(server) => {
                let mut session = server.session().await?;
                Connection::MySql(&mut session).run(sql, args).await
            }
            Self::Sqlite(_) => {
                let mut tx = self.begin().await?;
                let found = tx.connection().run(sql, args).await?;
                tx.commit().await?;
                Ok(found)
            }
        }
    }

    /// Every row, of everything committed when the statement begins.
    pub async fn rows<'q, R: FromRow>(
        &self,
        sql: &'q str,
        args: impl IntoIterator<Item: Into<Arg<'q>>>,
    ) -> Result<Vec<R>> {
        match self {
            Self::MySql(server) => {
                let mut session = server.session().await?;
                Connection::MySql(&mut session).rows(sql, args).await
            }
            Self::Sqlite(file) => sqlite_rows!(arg::sqlite(sql, args), file.readers()),
        }
    }

    /// The first row, if there is one.
    pub async fn row<'q, R: FromRow>(
        &self,
        sql: &'q str,
        args: impl IntoIterator<Item: Into<Arg<'q>>>,
    ) -> Result<Option<R>> {
        Ok(self.rows(sql, args).await?.into_iter().next())
    }
}

impl Tx<'_> {
    /// Where its statements run.
    pub fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::MySql(transaction) => Connection::MySql(transaction),
            Self::Sqlite(transaction) => Connection::Sqlite(transaction),
        }
    }

    /// Makes it last. After an error that is not an answer of the database nobody knows whether it
    /// does.
    pub async fn commit(self) -> Result<()> {
        match self {
            Self::MySql(transaction) => transaction.commit().await,
            Self::Sqlite(transaction) => transaction.commit().await,
        }
    }

    /// Undoes it, and waits until that is done.
    pub async fn rollback(self) -> Result<()> {
        match self {
            Self::MySql(transaction) => transaction.rollback().await,
            Self::Sqlite(transaction) => transaction.rollback().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NO_ARGS, PoolLimits, fault};
    use std::time::Duration;

    const LIMITS: PoolLimits = PoolLimits {
        connections_max: 1,
        acquire_max: Duration::from_secs(1),
        statement_max: Duration::from_secs(1),
        lock_wait_max: None,
        idle_transaction_max: None,
    };

    async fn with_table() -> (tempfile::TempDir, Database) {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("a.db").display());
        let database = Database::open(&url, &LIMITS).unwrap();
        let sql = "CREATE TABLE t (id INTEGER PRIMARY KEY, big INTEGER NOT NULL, word TEXT, raw BLOB) STRICT";
        database.run(sql, NO_ARGS).await.unwrap();
        (folder, database)
    }

    const INSERT: &str = "INSERT INTO t (big, word, raw) VALUES (?, ?, ?)";

    #[tokio::test]
    async fn what_goes_in_comes_out_as_what_it_was() {
        let (_folder, database) = with_table().await;
        let mut tx = database.begin().await.unwrap();
        let mut connection = tx.connection();
        let full = [u64::MAX.into(), "a".into(), Arg::from(&b"\0\x01"[..])];
        assert_eq!(connection.insert(INSERT, full).await.unwrap(), 1);
        let empty = [Arg::from(3_u32), None::<&str>.into(), Arg::Null];
        assert_eq!(connection.insert(INSERT, empty).await.unwrap(), 2);
        tx.commit().await.unwrap();
        type Row = (u64, Option<String>, Option<Vec<u8>>, bool);
        let rows: Vec<Row> = database
            .rows("SELECT big, word, raw, word IS NULL FROM t", NO_ARGS)
            .await
            .unwrap();
        let full = (u64::MAX, Some("a".to_owned()), Some(vec![0, 1]), false);
        assert_eq!(rows, [full, (3, None, None, true)]);
        let sizes = "SELECT id, big FROM t WHERE id = ?";
        assert_eq!(
            database.row(sizes, [2_i64]).await.unwrap(),
            Some([2_i64, 3])
        );
        assert_eq!(database.row::<i64>(sizes, [7_i64]).await.unwrap(), None);
        let refused = database.row::<u32>("SELECT -1", NO_ARGS).await;
        assert!(refused.unwrap_err().to_string().contains("column"));
    }

    #[tokio::test]
    async fn a_savepoint_undoes_its_own_part_only() {
        let (_folder, database) = with_table().await;
        let mut tx = database.begin().await.unwrap();
        let mut connection = tx.connection();
        let insert = "INSERT INTO t (id, big) VALUES (?, 0)";
        connection.run(insert, [1_i64]).await.unwrap();
        let mut savepoint = connection.savepoint().await.unwrap();
        savepoint.connection().run(insert, [2_i64]).await.unwrap();
        let refused = savepoint.connection().run(insert, [1_i64]).await;
        let refused = refused.unwrap_err();
        assert!(fault::is_refusal(&refused) && fault::is_unique_violation(&refused));
        savepoint.rollback().await.unwrap();
        connection.run(insert, [3_i64]).await.unwrap();
        tx.commit().await.unwrap();
        let ids: Vec<i64> = database.rows("SELECT id FROM t", NO_ARGS).await.unwrap();
        assert_eq!(ids, [1, 3]);
    }

    #[test]
    fn an_url_of_neither_database_is_refused_without_its_password() {
        let refused = Database::open("postgres://u:secret@h/d", &LIMITS).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "postgres://u:***@h/d is neither mysql://user:password@host:port/database nor sqlite:///path/file.db"
        );
    }
}
