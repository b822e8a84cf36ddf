//! The database server behind an engine: how it is connected to, whether it keeps what it has
//! committed and isolates transactions as needed, and what its errors mean.

use crate::{EngineError, Result};
use database::Database;
use database::sqlite::SqliteFile;
use sqlx::mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlPoolOptions};
use sqlx::{MySqlPool, Row};
use std::str::FromStr;
use std::time::Duration;
use tokio::runtime::Handle;

/// Connections of one engine object: transactions of different sales, and looks.
const MAX_CONNECTIONS: u32 = 4;
/// Longest wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);
/// `PRAGMA synchronous` of FULL.
const SYNCHRONOUS_FULL: i64 = 2;
/// MySQL/MariaDB: a lock was not given in time. Only this statement is undone; dropping the
/// transaction undoes the rest.
const LOCK_WAIT_TIMEOUT: u16 = 1_205;
/// MySQL/MariaDB: two transactions waited for each other, and this one was rolled back.
const DEADLOCK: u16 = 1_213;
/// SQLite: somebody else writes. The low byte of the code; the others say why.
const SQLITE_BUSY: i64 = 5;

/// The database at `url`, for `engine`. Connections are opened when first used.
pub fn connect(engine: &str, url: Option<&String>) -> Result<Database> {
    let url =
        url.ok_or_else(|| EngineError::Config(format!("engine {engine} needs a database url")))?;
    let malformed = |error| {
        EngineError::Config(format!(
            "engine {engine}: the database url is malformed: {error}"
        ))
    };
    if SqliteFile::is_url(url) {
        return Ok(Database::Sqlite(SqliteFile::open(url).map_err(malformed)?));
    }
    let options = MySqlConnectOptions::from_str(url).map_err(malformed)?;
    let pool = MySqlPoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT);
    let pool = pool
        .test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move {
                // Every look must see what others have committed since the last, and no gap between
                // rows is locked. A lock is waited for 1 s at most: then the request behind it is
                // too old anyway.
                sqlx::query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
                    .execute(&mut *connection)
                    .await?;
                sqlx::query("SET SESSION innodb_lock_wait_timeout = 1")
                    .execute(&mut *connection)
                    .await?;
                // A process that is frozen in a transaction would stop the sale for everybody.
                // MySQL has no such setting.
                let frozen = sqlx::query("SET SESSION idle_transaction_timeout = 2")
                    .execute(connection)
                    .await;
                frozen.map(|_| ()).or_else(|error| {
                    if is_unknown_variable(&error) {
                        Ok(())
                    } else {
                        Err(error)
                    }
                })
            })
        });
    Ok(Database::MySql(pool.connect_lazy_with(options)))
}

fn is_unknown_variable(error: &sqlx::Error) -> bool {
    const ER_UNKNOWN_SYSTEM_VARIABLE: u16 = 1193;
    let sqlx::Error::Database(error) = error else {
        return false;
    };
    error
        .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        .is_some_and(|error| error.number() == ER_UNKNOWN_SYSTEM_VARIABLE)
}

/// Waits for `call`, which goes on to its end on `runtime` even if nobody waits any more: a caller
/// who is dropped must not drop a connection in the middle of an answer, which would be lost to its
/// pool (sqlx 0.8.6).
pub async fn within<T: Send + 'static>(
    runtime: &Handle,
    limit: Duration,
    what: &str,
    call: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let unknown = |how: String| EngineError::Unknown {
        context: format!("{what} {how}"),
        source: None,
    };
    match tokio::time::timeout(limit, runtime.spawn(call)).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => Err(unknown(format!("was ended: {error}"))),
        Err(_) => Err(unknown(format!("took longer than {limit:?}"))),
    }
}

/// Before the commit was sent: nothing has happened.
pub fn not_done(engine: &str, error: sqlx::Error) -> EngineError {
    EngineError::Unavailable {
        context: format!("{engine}: {error}"),
        source: Some(Box::new(error)),
    }
}

/// The commit was sent.
pub fn unknown(engine: &str, error: sqlx::Error) -> EngineError {
    let context = format!("{engine}: commit: {error}");
    let code = error
        .as_database_error()
        .and_then(|error| error.code())
        .and_then(|code| code.parse::<i64>().ok());
    let is_sqlite = !matches!(&error, sqlx::Error::Database(error) if error.try_downcast_ref::<MySqlDatabaseError>().is_some());
    if is_sqlite && code.is_some_and(|code| code & 0xFF == SQLITE_BUSY) {
        return EngineError::Unavailable {
            context,
            source: Some(Box::new(error)),
        };
    }
    EngineError::Unknown {
        context,
        source: Some(Box::new(error)),
    }
}

/// Whether nothing has happened and the same transaction can succeed at once: it lost against
/// another one, or its connection had died before it was used.
pub fn may_be_repeated(error: &EngineError) -> bool {
    let EngineError::Unavailable {
        source: Some(source),
        ..
    } = error
    else {
        return false;
    };
    match source.downcast_ref::<sqlx::Error>() {
        Some(sqlx::Error::Io(_)) => true,
        Some(sqlx::Error::Database(error)) => {
            let number = error
                .try_downcast_ref::<MySqlDatabaseError>()
                .map(MySqlDatabaseError::number);
            // A row that is not there cannot be locked: of two who insert it, one is told so here.
            number.is_some_and(|number| [LOCK_WAIT_TIMEOUT, DEADLOCK].contains(&number))
                || error.is_unique_violation()
        }
        _ => false,
    }
}

/// Refuses a database that cannot carry `engine` with its `tables`, with the reason and what is
/// needed instead.
pub async fn check(
    engine: &str,
    database: &Database,
    tables: &[&str],
    allow_volatile: bool,
) -> Result<Vec<(String, String)>> {
    let check = Check {
        engine,
        tables,
        allow_volatile,
    };
    match database {
        Database::MySql(pool) => check.mysql(pool).await,
        Database::Sqlite(file) => check.sqlite(file).await,
    }
}

struct Check<'a> {
    engine: &'a str,
    tables: &'a [&'a str],
    allow_volatile: bool,
}

impl Check<'_> {
    fn refused<T>(&self, what: &str) -> Result<T> {
        Err(EngineError::Config(format!("{}: {what}", self.engine)))
    }

    fn not_done(&self, error: sqlx::Error) -> EngineError {
        not_done(self.engine, error)
    }

    async fn mysql(&self, pool: &MySqlPool) -> Result<Vec<(String, String)>> {
        let row = sqlx::query("SELECT CAST(VERSION() AS CHAR)")
            .fetch_one(pool)
            .await;
        let version: String = row
            .and_then(|row| row.try_get(0))
            .map_err(|error| self.not_done(error))?;
        let flush = self
            .variable(pool, "innodb_flush_log_at_trx_commit")
            .await?
            .unwrap_or_default();
        if flush != "1" && !self.allow_volatile {
            return self
                .refused(&format!("innodb_flush_log_at_trx_commit is {flush}; only 1 survives a crash of the server; --allow-volatile accepts that"));
        }
        // MariaDB before 11.1 has the one name, MySQL 8 the other.
        let isolation = match self.variable(pool, "transaction_isolation").await? {
            Some(isolation) => Some(isolation),
            None => self.variable(pool, "tx_isolation").await?,
        };
        if isolation.as_deref() != Some("READ-COMMITTED") {
            let isolation =
                isolation.unwrap_or_else(|| "an isolation level that it does not name".to_owned());
            return self.refused(&format!(
                "the server runs these transactions as {isolation}; READ COMMITTED is needed, so that a look sees the newest rows"
            ));
        }
        let has_log = self
            .variable(pool, "log_bin")
            .await?
            .is_some_and(|value| value == "ON");
        if has_log
            && self
                .variable(pool, "binlog_format")
                .await?
                .is_some_and(|format| format == "STATEMENT")
        {
            return self.refused(
                "binlog_format is STATEMENT, with which the server refuses to write at READ COMMITTED; ROW or MIXED is needed",
            );
        }
        for table in self.tables {
            self.table(pool, table).await?;
        }
        Ok(vec![
            ("database.version".to_owned(), version),
            ("database.innodb_flush_log_at_trx_commit".to_owned(), flush),
        ])
    }

    async fn table(&self, pool: &MySqlPool, table: &str) -> Result<()> {
        let sql = "SELECT CAST(ENGINE AS CHAR) FROM information_schema.TABLES
                   WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?";
        let row = sqlx::query(sql)
            .bind(table)
            .fetch_optional(pool)
            .await
            .map_err(|error| self.not_done(error))?;
        let Some(row) = row else {
            return self.missing(table);
        };
        let stored_by: Option<String> = row.try_get(0).map_err(|error| self.not_done(error))?;
        let stored_by = stored_by.unwrap_or_default();
        if stored_by.eq_ignore_ascii_case("InnoDB") {
            return Ok(());
        }
        self.refused(&format!(
            "table {table} is stored by {stored_by}, which locks no rows for FOR UPDATE; InnoDB is needed"
        ))
    }

    fn missing<T>(&self, table: &str) -> Result<T> {
        self.refused(&format!(
            "table {table} is missing; run the migrations first"
        ))
    }

    async fn variable(&self, pool: &MySqlPool, name: &str) -> Result<Option<String>> {
        let row = sqlx::query(&format!("SHOW VARIABLES LIKE '{name}'"))
            .fetch_optional(pool)
            .await;
        let value = row.and_then(|row| row.map(|row| row.try_get(1)).transpose());
        value.map_err(|error| self.not_done(error))
    }

    async fn sqlite(&self, file: &SqliteFile) -> Result<Vec<(String, String)>> {
        let ask = async |text: &'static str| {
            sqlx::query(text)
                .fetch_one(file.readers())
                .await
                .map_err(|error| self.not_done(error))
        };
        let unread = |error| self.not_done(error);
        let version: String = ask("SELECT sqlite_version()")
            .await?
            .try_get(0)
            .map_err(unread)?;
        let journal: String = ask("PRAGMA journal_mode")
            .await?
            .try_get(0)
            .map_err(unread)?;
        let synchronous: i64 = ask("PRAGMA synchronous")
            .await?
            .try_get(0)
            .map_err(unread)?;
        if journal != "wal" {
            return self.refused(&format!(
                "the database's journal_mode is {journal}; wal is needed, so that those who read do not wait for the writer"
            ));
        }
        if synchronous < SYNCHRONOUS_FULL && !self.allow_volatile {
            return self.refused(&format!(
                "the database's synchronous is {synchronous}; only 2 (FULL) survives a power failure; --allow-volatile accepts that"
            ));
        }
        for table in self.tables {
            let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?";
            let found = sqlx::query(sql)
                .bind(table)
                .fetch_optional(file.readers())
                .await
                .map_err(unread)?;
            if found.is_none() {
                return self.missing(table);
            }
        }
        Ok(vec![
            ("database.version".to_owned(), format!("SQLite {version}")),
            ("database.journal_mode".to_owned(), journal),
            ("database.synchronous".to_owned(), synchronous.to_string()),
        ])
    }
}

#[cfg(test)]
mod tests;
