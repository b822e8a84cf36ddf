//! A queue file: one per path in this process, however many use it.

use super::queues::Queues;
use super::writer::WriterHandle;
use anyhow::Context;
use database::sqlite::SqliteFile;
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
}
