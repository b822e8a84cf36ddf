//! Whether the database behind the leases keeps what it has committed, and can isolate their transfers.

use super::{NAME, not_done};
use crate::allocation::sql::Database;
use crate::sqlite::SqliteFile;
use crate::{EngineError, Result};
use sqlx::{MySqlPool, Row};

/// Tables that take part in a transfer.
const TABLES: [&str; 5] = ["allocations", "orders", "engine_openings", "engine_partitions", "engine_wants"];
/// `PRAGMA synchronous` of FULL.
const SYNCHRONOUS_FULL: i64 = 2;

/// Refuses a database with the reason and what is needed instead.
pub async fn check(database: &Database, allow_volatile: bool) -> Result<Vec<(String, String)>> {
    match database {
        Database::MySql(pool) => check_mysql(pool, allow_volatile).await,
        Database::Sqlite(file) => check_sqlite(file, allow_volatile).await,
    }
}

fn refused(what: String) -> EngineError {
    EngineError::Config(format!("{NAME}: {what}"))
}

async fn check_mysql(pool: &MySqlPool, allow_volatile: bool) -> Result<Vec<(String, String)>> {
    let version: String = sqlx::query("SELECT CAST(VERSION() AS CHAR)")
        .fetch_one(pool)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(not_done)?;
    let flush = variable(pool, "innodb_flush_log_at_trx_commit").await?.unwrap_or_default();
    if flush != "1" && !allow_volatile {
        return Err(refused(format!(
            "innodb_flush_log_at_trx_commit is {flush}; only 1 survives a crash of the server"
        )));
    }
    // MariaDB before 11.1 has the one name, MySQL 8 the other.
    let isolation = match variable(pool, "transaction_isolation").await? {
        Some(isolation) => Some(isolation),
        None => variable(pool, "tx_isolation").await?,
    };
    if isolation.as_deref() != Some("READ-COMMITTED") {
        return Err(refused(format!(
            "the server runs these transactions as {}; READ COMMITTED is needed, so that a look sees the newest rows",
            isolation.unwrap_or_else(|| "an isolation level that it does not name".to_owned())
        )));
    }
    let has_log = variable(pool, "log_bin").await?.is_some_and(|value| value == "ON");
    if has_log && variable(pool, "binlog_format").await?.is_some_and(|format| format == "STATEMENT") {
        return Err(refused(
            "binlog_format is STATEMENT, with which the server refuses to write at READ COMMITTED; ROW or MIXED is needed"
                .to_owned(),
        ));
    }
    for table in TABLES {
        check_table(pool, table).await?;
    }
    Ok(vec![("database.version".to_owned(), version), ("database.innodb_flush_log_at_trx_commit".to_owned(), flush)])
}

async fn check_table(pool: &MySqlPool, table: &str) -> Result<()> {
    let row = sqlx::query(
        "SELECT CAST(ENGINE AS CHAR) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?",
    )
    .bind(table)
    .fetch_optional(pool)
    .await
    .map_err(not_done)?;
    let row = row.ok_or_else(|| refused(format!("table {table} is missing; run the migrations first")))?;
    let engine: Option<String> = row.try_get(0).map_err(not_done)?;
    let engine = engine.unwrap_or_default();
    if engine.eq_ignore_ascii_case("InnoDB") {
        return Ok(());
    }
    Err(refused(format!("table {table} is stored by {engine}, which locks no rows for FOR UPDATE; InnoDB is needed")))
}

async fn variable(pool: &MySqlPool, name: &str) -> Result<Option<String>> {
    let row = sqlx::query(&format!("SHOW VARIABLES LIKE '{name}'")).fetch_optional(pool).await.map_err(not_done)?;
    row.map(|row| row.try_get(1)).transpose().map_err(not_done)
}

async fn check_sqlite(file: &SqliteFile, allow_volatile: bool) -> Result<Vec<(String, String)>> {
    let pragma = async |text: &'static str| sqlx::query(text).fetch_one(file.readers()).await.map_err(not_done);
    let version: String = pragma("SELECT sqlite_version()").await?.try_get(0).map_err(not_done)?;
    let journal: String = pragma("PRAGMA journal_mode").await?.try_get(0).map_err(not_done)?;
    let synchronous: i64 = pragma("PRAGMA synchronous").await?.try_get(0).map_err(not_done)?;
    if journal != "wal" {
        return Err(refused(format!(
            "the database's journal_mode is {journal}; wal is needed, so that those who read do not wait for the writer"
        )));
    }
    if synchronous < SYNCHRONOUS_FULL && !allow_volatile {
        return Err(refused(format!(
            "the database's synchronous is {synchronous}; only 2 (FULL) survives a power failure"
        )));
    }
    Ok(vec![
        ("database.version".to_owned(), format!("SQLite {version}")),
        ("database.journal_mode".to_owned(), journal),
        ("database.synchronous".to_owned(), synchronous.to_string()),
    ])
}
