//! SQLite, the embedded stack's file: connection, migrations, and what its dialect says
//! differently.

// The same statements as for MySQL, compiled for this database's types.
#[allow(clippy::duplicate_mod)]
#[path = "statements.rs"]
mod statements;

use crate::config::DatabaseConfig;
use anyhow::Context;
use database::sqlite::SqliteFile;
use sqlx::error::ErrorKind;
use sqlx::sqlite::SqliteQueryResult;
use sqlx::{Sqlite, SqlitePool, Transaction};
use std::sync::Arc;

pub use sqlx::SqliteConnection as DbConnection;
pub use sqlx::sqlite::SqliteRow as DbRow;

/// SQL expression for the database's clock, unix ms.
pub const NOW_MS: &str = "CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)";
/// Nothing to lock: there is one writing transaction at a time, and it reads what is committed.
pub const FOR_UPDATE: &str = "";
/// Likewise.
pub const FOR_SHARE: &str = "";

/// Behind an INSERT: a row whose key is there already is left as it is.
pub fn or_nothing(_key: &str) -> String {
    " ON CONFLICT DO NOTHING".to_owned()
}

/// Id that an INSERT was given.
pub fn inserted_id(done: &SqliteQueryResult) -> i64 {
    done.last_insert_rowid()
}

/// Whether the database refuses these values for good, as opposed to being locked or full.
pub fn is_refusal(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else {
        return false;
    };
    matches!(
        error.kind(),
        ErrorKind::UniqueViolation | ErrorKind::CheckViolation | ErrorKind::NotNullViolation
    )
}

pub use engines::close_leases_sqlite as close_leases;

/// The file.
#[derive(Clone, Debug)]
pub struct Database {
    file: Arc<SqliteFile>,
}

impl Database {
    pub(super) async fn connect(config: &DatabaseConfig) -> anyhow::Result<Self> {
        let database = Self::open(config)?;
        sqlx::query("SELECT COUNT(*) FROM sales")
            .execute(database.readers())
            .await
            .with_context(|| {
                format!("{} has no tables; run `seckill migrate` first", config.url)
            })?;
        Ok(database)
    }

    fn open(config: &DatabaseConfig) -> anyhow::Result<Self> {
        let file = SqliteFile::open(&config.url);
        let file = file.with_context(|| {
            format!(
                "database.url: {} is not of the form sqlite:///path",
                config.url
            )
        })?;
        Ok(Self { file })
    }

    pub(super) async fn migrate(config: &DatabaseConfig) -> anyhow::Result<Self> {
        let database = Self::open(config)?;
        let files = [
            (
                "products",
                include_str!("../../migrations/sqlite/products.sql"),
            ),
            ("allocations", engines::ALLOCATIONS_SQLITE),
            ("orders", include_str!("../../migrations/sqlite/orders.sql")),
            (
                "incarnations",
                include_str!("../../migrations/sqlite/incarnations.sql"),
            ),
            ("queue", include_str!("../../migrations/sqlite/queue.sql")),
            ("preallocated engine", engines::PREALLOCATED_SQLITE),
            ("database-row engine", engines::DATABASE_ROW_SQLITE),
        ];
        let migrator = statements::migrator(&files);
        let mut transaction = database
            .begin()
            .await
            .with_context(|| format!("cannot write to {}", config.url))?;
        migrator
            .run_direct(&mut *transaction)
            .await
            .context("cannot bring the schema up to date")?;
        transaction.commit().await?;
        Ok(database)
    }

    /// The file stays open: other roles of this process use it too.
    pub(super) async fn close(self) {}

    /// Where to read what is committed.
    fn readers(&self) -> &SqlitePool {
        self.file.readers()
    }

    /// Begins the one writing transaction. Dropping it rolls back.
    async fn begin(&self) -> sqlx::Result<Transaction<'static, Sqlite>> {
        self.file.write().await
    }
}
