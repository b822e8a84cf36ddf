//! The database server behind an engine: how it is connected to, whether it keeps what it has
//! committed and isolates transactions as needed, and what its errors mean.

use crate::{EngineError, Result};
use database::{Arg, Database, DatabaseKind, FromRow, NO_ARGS, PoolLimits, fault};
use std::time::Duration;
use tokio::runtime::Handle;

/// Connections of one engine object: transactions of different sales, and looks.
const LIMITS: PoolLimits = PoolLimits {
    connections_max: 4,
    acquire_max: Duration::from_secs(1),
    // Within what an engine's call may take, so that it can say that nothing has happened.
    statement_max: Duration::from_millis(1_500),
    // Then the request behind it is too old anyway.
    lock_wait_max: Some(Duration::from_secs(1)),
    // A process that is frozen in a transaction would stop the sale for everybody.
    idle_transaction_max: Some(Duration::from_secs(2)),
};
/// Longest wait for one statement of an opening: it loads or deletes a row for every buyer.
const OPENING_STATEMENT_MAX: Duration = Duration::from_secs(20);
/// `PRAGMA synchronous` of FULL.
const SYNCHRONOUS_FULL: i64 = 2;

/// The database at `url`, for `engine`. Connections are opened when first used.
pub fn connect(engine: &str, url: &str) -> Result<Database> {
    Database::open(url, &LIMITS)
        .map_err(|error| EngineError::Config(format!("engine {engine}: {error}")))
}

/// The same database for statements that concern every buyer of a sale: openings, retirements.
pub fn patient(database: &Database) -> Database {
    database.with_statement_max(OPENING_STATEMENT_MAX)
}

/// Waits for `call`, which goes on to its end on `runtime` even if nobody waits any more: a caller
/// who is dropped must not drop a connection in the middle of an answer, which would be closed.
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
pub fn not_done(engine: &str, error: database::Error) -> EngineError {
    EngineError::Unavailable {
        context: format!("{engine}: {error}"),
        source: Some(Box::new(error)),
    }
}

/// The commit was sent.
pub fn unknown(engine: &str, error: database::Error) -> EngineError {
    let context = format!("{engine}: commit: {error}");
    if fault::is_busy(&error) {
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

/// Whether nothing has happened and the same transaction can succeed immediately: it lost against
/// another one, or its connection had died before it was used.
pub fn may_be_repeated(error: &EngineError) -> bool {
    let EngineError::Unavailable {
        source: Some(source),
        ..
    } = error
    else {
        return false;
    };
    source
        .downcast_ref::<database::Error>()
        .is_some_and(fault::may_be_repeated)
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
        database,
        tables,
        allow_volatile,
    };
    match database.kind() {
        DatabaseKind::MySql => check.mysql().await,
        DatabaseKind::Sqlite => check.sqlite().await,
    }
}

struct Check<'a> {
    engine: &'a str,
    database: &'a Database,
    tables: &'a [&'a str],
    allow_volatile: bool,
}

impl Check<'_> {
    fn refused<T>(&self, what: &str) -> Result<T> {
        Err(EngineError::Config(format!("{}: {what}", self.engine)))
    }

    /// The first row of what the server says about itself.
    async fn ask<R: FromRow>(&self, sql: &str, args: &[Arg<'_>]) -> Result<Option<R>> {
        let row = self.database.row(sql, args).await;
        row.map_err(|error| not_done(self.engine, error))
    }

    async fn mysql(&self) -> Result<Vec<(String, String)>> {
        let version: Option<String> = self.ask("SELECT CAST(VERSION() AS CHAR)", &NO_ARGS).await?;
        let flush = self
            .variable("innodb_flush_log_at_trx_commit")
            .await?
            .unwrap_or_default();
        if flush != "1" && !self.allow_volatile {
            return self
                .refused(&format!("innodb_flush_log_at_trx_commit is {flush}; only 1 survives a crash of the server; --allow-volatile accepts that"));
        }
        // MariaDB before 11.1 has the one name, MySQL 8 the other.
        let isolation = match self.variable("transaction_isolation").await? {
            Some(isolation) => Some(isolation),
            None => self.variable("tx_isolation").await?,
        };
        if isolation.as_deref() != Some("READ-COMMITTED") {
            let isolation =
                isolation.unwrap_or_else(|| "an isolation level that it does not name".to_owned());
            return self.refused(&format!(
                "the server runs these transactions as {isolation}; READ COMMITTED is needed, so that a look sees the newest rows"
            ));
        }
        let has_log = self
            .variable("log_bin")
            .await?
            .is_some_and(|value| value == "ON");
        if has_log
            && self
                .variable("binlog_format")
                .await?
                .is_some_and(|format| format == "STATEMENT")
        {
            return self.refused(
                "binlog_format is STATEMENT, with which the server refuses to write at READ COMMITTED; ROW or MIXED is needed",
            );
        }
        for table in self.tables {
            self.table(table).await?;
        }
        Ok(vec![
            ("database.version".to_owned(), version.unwrap_or_default()),
            ("database.innodb_flush_log_at_trx_commit".to_owned(), flush),
        ])
    }

    async fn table(&self, table: &str) -> Result<()> {
        let sql = "SELECT CAST(ENGINE AS CHAR) FROM information_schema.TABLES
                   WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?";
        let found: Option<Option<String>> = self.ask(sql, &[table.into()]).await?;
        let Some(stored_by) = found else {
            return self.missing(table);
        };
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

    async fn variable(&self, name: &str) -> Result<Option<String>> {
        let sql = format!("SHOW VARIABLES LIKE '{name}'");
        let row: Option<(String, String)> = self.ask(&sql, &NO_ARGS).await?;
        Ok(row.map(|(_, value)| value))
    }

    async fn sqlite(&self) -> Result<Vec<(String, String)>> {
        let ask = async |sql| -> Result<String> {
            Ok(self.ask(sql, &NO_ARGS).await?.unwrap_or_default())
        };
        let version = ask("SELECT sqlite_version()").await?;
        let journal = ask("PRAGMA journal_mode").await?;
        let synchronous: Option<i64> = self.ask("PRAGMA synchronous", &NO_ARGS).await?;
        let synchronous = synchronous.unwrap_or_default();
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
            let found: Option<String> = self.ask(sql, &[(*table).into()]).await?;
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
