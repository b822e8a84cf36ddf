//! Statements over whole numbers that read the same on MySQL/MariaDB and on SQLite, and run on either.
//!
//! Every value is an `i64` and every parameter a `?`. What the dialects say differently is `for_update` and `now_ms`.

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

macro_rules! fetch {
    ($executor:expr, $sql:expr, $args:expr) => {{
        let query = $args.iter().fold(sqlx::query($sql), |query, arg| query.bind(*arg));
        let rows = query.fetch_all($executor).await?;
        let mut numbers = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut read = [0; N];
            for (index, number) in read.iter_mut().enumerate() {
                *number = row.try_get(index)?;
            }
            numbers.push(read);
        }
        Ok(numbers)
    }};
}

impl Connection<'_> {
    /// Rows of `N` numbers each.
    pub async fn rows<const N: usize>(&mut self, sql: &str, args: &[i64]) -> sqlx::Result<Vec<[i64; N]>> {
        match self {
            Self::MySql(connection) => fetch!(&mut **connection, sql, args),
            Self::Sqlite(connection) => fetch!(&mut **connection, sql, args),
        }
    }

    /// How many rows the statement found.
    pub async fn run(&mut self, sql: &str, args: &[i64]) -> sqlx::Result<u64> {
        match self {
            Self::MySql(connection) => {
                let query = args.iter().fold(sqlx::query(sql), |query, arg| query.bind(*arg));
                Ok(query.execute(&mut **connection).await?.rows_affected())
            }
            Self::Sqlite(connection) => {
                let query = args.iter().fold(sqlx::query(sql), |query, arg| query.bind(*arg));
                Ok(query.execute(&mut **connection).await?.rows_affected())
            }
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
    pub async fn rows<const N: usize>(&self, sql: &str, args: &[i64]) -> sqlx::Result<Vec<[i64; N]>> {
        match self {
            Self::MySql(pool) => fetch!(pool, sql, args),
            Self::Sqlite(file) => fetch!(file.readers(), sql, args),
        }
    }

    /// The clock of the database, unix ms: one clock for all processes.
    pub fn now_ms(&self) -> &'static str {
        match self {
            Self::MySql(_) => "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
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
