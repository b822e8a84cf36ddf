//! Statements over whole numbers that read the same on MySQL/MariaDB and on SQLite, and run on
//! either.
//!
//! Every parameter is a `?` and every value an `i64`, but for [`Arg`] and one column of bytes at
//! the end of a row. What the dialects say differently is `for_update` and `now_ms`.

use crate::sqlite::SqliteFile;
use sqlx::{MySql, MySqlConnection, MySqlPool, Row, Sqlite, SqliteConnection, Transaction};
use std::sync::Arc;

/// A connection of either kind.
#[derive(Debug)]
pub enum Connection<'a> {
    MySql(&'a mut MySqlConnection),
    Sqlite(&'a mut SqliteConnection),
}

/// A database of either kind.
#[derive(Debug)]
pub enum Database {
    MySql(MySqlPool),
    Sqlite(Arc<SqliteFile>),
}

/// A transaction that writes. Dropping it rolls back.
#[derive(Debug)]
pub enum Tx {
    MySql(Transaction<'static, MySql>),
    Sqlite(Transaction<'static, Sqlite>),
}

/// A parameter of a statement that has not only numbers.
#[derive(Clone, Copy, Debug)]
pub enum Arg<'a> {
    Number(i64),
    Bytes(&'a [u8]),
}

macro_rules! numbers {
    ($row:expr) => {{
        let mut numbers = [0; N];
        for (index, number) in numbers.iter_mut().enumerate() {
            *number = $row.try_get(index)?;
        }
        numbers
    }};
}

macro_rules! fetch {
    ($executor:expr, $sql:expr, $args:expr) => {{
        let query = $args
            .iter()
            .fold(sqlx::query($sql), |query, arg| query.bind(*arg));
        let rows = query.fetch_all($executor).await?;
        rows.iter().map(|row| Ok(numbers!(row))).collect()
    }};
}

macro_rules! fetch_with_bytes {
    ($executor:expr, $sql:expr, $args:expr) => {{
        let query = $args
            .iter()
            .fold(sqlx::query($sql), |query, arg| query.bind(*arg));
        let rows = query.fetch_all($executor).await?;
        rows.iter()
            .map(|row| Ok((numbers!(row), row.try_get(N)?)))
            .collect()
    }};
}

macro_rules! run_with {
    ($executor:expr, $sql:expr, $args:expr) => {{
        let query = $args
            .iter()
            .fold(sqlx::query($sql), |query, arg| match *arg {
                Arg::Number(number) => query.bind(number),
                Arg::Bytes(bytes) => query.bind(bytes),
            });
        Ok(query.execute($executor).await?.rows_affected())
    }};
}

impl Connection<'_> {
    /// Rows of `N` numbers each.
    pub async fn rows<const N: usize>(
        &mut self,
        sql: &str,
        args: &[i64],
    ) -> sqlx::Result<Vec<[i64; N]>> {
        match self {
            Self::MySql(connection) => fetch!(&mut **connection, sql, args),
            Self::Sqlite(connection) => fetch!(&mut **connection, sql, args),
        }
    }

    /// How many rows the statement found.
    pub async fn run(&mut self, sql: &str, args: &[i64]) -> sqlx::Result<u64> {
        match self {
            Self::MySql(connection) => {
                let query = args
                    .iter()
                    .fold(sqlx::query(sql), |query, arg| query.bind(*arg));
                Ok(query.execute(&mut **connection).await?.rows_affected())
            }
            Self::Sqlite(connection) => {
                let query = args
                    .iter()
                    .fold(sqlx::query(sql), |query, arg| query.bind(*arg));
                Ok(query.execute(&mut **connection).await?.rows_affected())
            }
        }
    }

    /// Rows of `N` numbers each, and bytes in the column behind them.
    pub async fn rows_with_bytes<const N: usize>(
        &mut self,
        sql: &str,
        args: &[i64],
    ) -> sqlx::Result<Vec<([i64; N], Vec<u8>)>> {
        match self {
            Self::MySql(connection) => fetch_with_bytes!(&mut **connection, sql, args),
            Self::Sqlite(connection) => fetch_with_bytes!(&mut **connection, sql, args),
        }
    }

    /// [`run`](Self::run) with bytes among the parameters.
    pub async fn run_with(&mut self, sql: &str, args: &[Arg<'_>]) -> sqlx::Result<u64> {
        match self {
            Self::MySql(connection) => run_with!(&mut **connection, sql, args),
            Self::Sqlite(connection) => run_with!(&mut **connection, sql, args),
        }
    }

    /// What makes a `SELECT` lock its rows; a writing transaction of SQLite has the whole file.
    pub fn for_update(&self) -> &'static str {
        match self {
            Self::MySql(_) => " FOR UPDATE",
            Self::Sqlite(_) => "",
        }
    }
}

impl Database {
    /// Begins a transaction that may write.
    pub async fn begin(&self) -> sqlx::Result<Tx> {
        match self {
            Self::MySql(pool) => Ok(Tx::MySql(pool.begin().await?)),
            Self::Sqlite(file) => Ok(Tx::Sqlite(file.write().await?)),
        }
    }

    /// Rows of `N` numbers each, of everything committed when the statement begins.
    pub async fn rows<const N: usize>(
        &self,
        sql: &str,
        args: &[i64],
    ) -> sqlx::Result<Vec<[i64; N]>> {
        match self {
            Self::MySql(pool) => fetch!(pool, sql, args),
            Self::Sqlite(file) => fetch!(file.readers(), sql, args),
        }
    }

    /// The clock of the database, unix ms: one clock for all processes. Read when the row is, not
    /// when the statement begins: that may be long ago if it had to wait for a lock.
    pub fn now_ms(&self) -> &'static str {
        match self {
            Self::MySql(_) => "CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)",
            Self::Sqlite(_) => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
        }
    }
}

impl Tx {
    pub fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::MySql(transaction) => Connection::MySql(transaction),
            Self::Sqlite(transaction) => Connection::Sqlite(transaction),
        }
    }

    pub async fn commit(self) -> sqlx::Result<()> {
        match self {
            Self::MySql(transaction) => transaction.commit().await,
            Self::Sqlite(transaction) => transaction.commit().await,
        }
    }
}
