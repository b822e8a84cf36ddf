//! SQLite as the embedded stack uses it: one file, many readers, and one writer for everything in a
//! process.
//!
//! SQLite lets one connection write at a time. Here all writers of a process queue, in order, for
//! the same connection, so that none of them starves in a busy loop; other processes (the lab's
//! audit) only read.

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};
use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Connections that read at the same time.
const READERS_MAX: u32 = 4;
/// Longest wait for the writer, or for a lock of another process on the file.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared.
const STATEMENTS_CACHED: usize = 64;

/// Takes the lock on the file at once: a transaction that only asks for it with its first write can
/// be refused there.
const BEGIN: &str = "BEGIN IMMEDIATE";

/// Open files of this process: a second opening of a file gets the same writer.
static OPEN: LazyLock<Mutex<HashMap<PathBuf, Weak<SqliteFile>>>> = LazyLock::new(Mutex::default);

/// One database file.
#[derive(Debug)]
pub struct SqliteFile {
    readers: SqlitePool,
    writer: SqlitePool,
}

impl SqliteFile {
    /// How many connections are open, and how many of them are idle.
    pub(crate) fn connections(&self) -> (u32, usize) {
        (
            self.readers.size() + self.writer.size(),
            self.readers.num_idle() + self.writer.num_idle(),
        )
    }

    /// Whether `url` names such a file.
    pub fn is_url(url: &str) -> bool {
        url.starts_with("sqlite:")
    }

    /// The file of `sqlite:///absolute/path.db`, made if it is not there. Connections are opened
    /// when first used.
    ///
    /// # Errors
    /// When the URL is malformed.
    pub fn open(url: &str) -> sqlx::Result<Arc<Self>> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // With WAL, only FULL makes a commit survive a power failure.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(WAIT_MAX)
            .statement_cache_capacity(STATEMENTS_CACHED);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let path = options.get_filename().to_path_buf();
        if let Some(file) = open.get(&path).and_then(Weak::upgrade) {
            return Ok(file);
        }
        let pool = |connections: u32| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(WAIT_MAX)
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let readers = pool(READERS_MAX).connect_lazy_with(options.clone());
        let file = Arc::new(Self {
            readers,
            writer: pool(1).connect_lazy_with(options),
        });
        open.retain(|_, file| file.strong_count() > 0);
        open.insert(path, Arc::downgrade(&file));
        Ok(file)
    }

    /// For statements that only read. A read that must see everything committed so far needs
    /// nothing more.
    pub fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Begins the one writing transaction, after those who asked earlier. Dropping it rolls back.
    pub async fn write(&self) -> sqlx::Result<Transaction<'static, Sqlite>> {
        let writer = self.writer.clone();
        // A task of its own: a caller that goes away in the middle would leave the one writer in a
        // transaction for ever.
        let beginning = tokio::spawn(async move {
            match writer.begin_with(BEGIN).await {
                // SQLite has ended a transaction by itself (full disk, I/O error), and sqlx counts
                // it as open for ever.
                Err(sqlx::Error::InvalidSavePointStatement) => {
                    writer.acquire().await?.close().await?;
                    writer.begin_with(BEGIN).await
                }
                begun => begun,
            }
        });
        beginning.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }

    /// Closes every connection; for the end of a process.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Row;

    #[tokio::test]
    async fn after_a_transaction_that_sqlite_ended_by_itself_others_can_write() {
        let folder = tempfile::tempdir().unwrap();
        let file = SqliteFile::open(&format!(
            "sqlite://{}",
            folder.path().join("b.db").display()
        ))
        .unwrap();
        let mut ended = file.write().await.unwrap();
        // What SQLite does when the disk is full.
        sqlx::query("ROLLBACK").execute(&mut *ended).await.unwrap();
        assert!(ended.commit().await.is_err());
        for _ in 0..2 {
            file.write().await.unwrap().commit().await.unwrap();
        }
    }

    #[tokio::test]
    async fn writers_take_turns_and_what_was_not_committed_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("a.db").display());
        let file = SqliteFile::open(&url).unwrap();
        assert!(
            Arc::ptr_eq(&file, &SqliteFile::open(&url).unwrap()),
            "one writer for one file"
        );
        let mut first = file.write().await.unwrap();
        sqlx::raw_sql("CREATE TABLE t (n INTEGER NOT NULL); INSERT INTO t VALUES (1)")
            .execute(&mut *first)
            .await
            .unwrap();
        let second = tokio::spawn({
            let file = file.clone();
            async move {
                let mut transaction = file.write().await.unwrap();
                sqlx::query("UPDATE t SET n = n + 1")
                    .execute(&mut *transaction)
                    .await
                    .unwrap();
                transaction.commit().await.unwrap();
            }
        });
        first.commit().await.unwrap();
        second.await.unwrap();
        let mut dropped = file.write().await.unwrap();
        sqlx::query("UPDATE t SET n = 100")
            .execute(&mut *dropped)
            .await
            .unwrap();
        drop(dropped);
        let row = sqlx::query("SELECT n, (SELECT synchronous FROM pragma_synchronous) FROM t")
            .fetch_one(file.readers())
            .await;
        let row = row.unwrap();
        assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1)), (2, 2));
    }
}
