//! A queue file: one per path in this process, however many use it.

use super::queues::{QUEUE_ITSELF, Queues};
use super::writer::WriterHandle;
use crate::ids::Generation;
use anyhow::Context;
use database::sqlite::SqliteFile;
use engines::IncarnationId;
use sqlx::Row;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

/// Queue files that are open in this process.
static OPEN: LazyLock<Mutex<Vec<Weak<QueueFile>>>> = LazyLock::new(Mutex::default);

/// What all users of the queues of one file share.
#[derive(Debug)]
pub struct QueueFile {
    pub sqlite: Arc<SqliteFile>,
    pub queues: Arc<Queues>,
    pub writer: WriterHandle,
}

impl QueueFile {
    /// The file of this URL, with the one writer that everybody in this process shares.
    pub fn open(url: &str) -> anyhow::Result<Arc<Self>> {
        let sqlite = SqliteFile::open(url)
            .with_context(|| format!("database.url: {url} is not of the form sqlite:///path"))?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|file| file.strong_count() > 0);
        let known = open
            .iter()
            .filter_map(Weak::upgrade)
            .find(|file| Arc::ptr_eq(&file.sqlite, &sqlite));
        if let Some(known) = known {
            return Ok(known);
        }
        let queues: Arc<Queues> = Arc::default();
        let writer = WriterHandle::start(sqlite.clone(), queues.clone())?;
        let file = Arc::new(Self {
            sqlite,
            queues,
            writer,
        });
        open.push(Arc::downgrade(&file));
        Ok(file)
    }

    /// Binds a queue to a generation, or to itself; idempotent.
    pub async fn insert_binding(
        &self,
        incarnation: IncarnationId,
        generation: Generation,
    ) -> sqlx::Result<()> {
        let sql = "INSERT INTO queue_bindings (incarnation, generation) VALUES (?, ?) ON CONFLICT DO NOTHING";
        let mut transaction = self.sqlite.write().await?;
        sqlx::query(sql)
            .bind(incarnation.0)
            .bind(generation.0)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }

    /// Whether there is such a queue.
    pub async fn has_queue(&self, incarnation: IncarnationId) -> sqlx::Result<bool> {
        let sql = "SELECT COUNT(*) FROM queue_bindings WHERE incarnation = ? AND generation = ?";
        let row = sqlx::query(sql)
            .bind(incarnation.0)
            .bind(QUEUE_ITSELF.0)
            .fetch_one(self.sqlite.readers())
            .await?;
        Ok(row.try_get::<i64, _>(0)? > 0)
    }
}
