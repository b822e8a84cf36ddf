//! The one writer of a queue file: commits whatever waits at the same time together, with an
//! outcome for each.

use super::queues::{Queue, Queues};
use crate::broker::contract::PublishOutcome;
use crate::ids::Generation;
use anyhow::Context;
use database::sqlite::SqliteFile;
use engines::IncarnationId;
use sqlx::{Row, SqliteConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Messages that wait to be taken by the writer; senders beyond them wait for room.
const WAITING_MAX: usize = 1_024;
/// Most messages of one commit.
const GROUP_MAX: usize = 256;
/// First and longest pause between attempts to write again after a failure.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// What is to be published.
#[derive(Debug)]
pub struct Message {
    pub incarnation: IncarnationId,
    pub generation: Generation,
    pub kind: &'static str,
    pub message_id: String,
    /// Which span it belongs to, if that is recorded.
    pub traceparent: Option<String>,
    pub body: Vec<u8>,
    /// Bound of the queue.
    pub max_messages: u64,
}

/// A message on its way.
#[derive(Debug)]
pub struct Put {
    /// `None` when it was not taken.
    outcome: Option<oneshot::Receiver<PublishOutcome>>,
}

#[derive(Debug)]
enum Task {
    Publish(Message, oneshot::Sender<PublishOutcome>),
    /// Something was acknowledged.
    Wake,
    /// Answered when everything before it has been dealt with.
    Flush(oneshot::Sender<()>),
}

/// The way to the writer. It ends when this is dropped.
#[derive(Debug)]
pub struct WriterHandle {
    sender: mpsc::Sender<Task>,
    is_writing: Arc<AtomicBool>,
}

impl WriterHandle {
    /// Starts the writer in a thread of its own, because it outlives the runtime of any of its
    /// users.
    pub(super) fn start(file: Arc<SqliteFile>, queues: Arc<Queues>) -> anyhow::Result<Self> {
        let (sender, tasks) = mpsc::channel(WAITING_MAX);
        let is_writing = Arc::new(AtomicBool::new(true));
        let writer = Writer {
            file,
            queues,
            tasks,
            is_writing: is_writing.clone(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .context("cannot start a runtime")?;
        let thread = std::thread::Builder::new().name("queue-writer".to_owned());
        thread
            .spawn(move || runtime.block_on(writer.run()))
            .context("cannot start a thread")?;
        Ok(Self { sender, is_writing })
    }

    /// Hands a message over.
    pub async fn put(&self, message: Message) -> Put {
        let (sender, outcome) = oneshot::channel();
        let sent = self.sender.send(Task::Publish(message, sender)).await;
        Put {
            outcome: sent.is_ok().then_some(outcome),
        }
    }

    /// Lets the writer see what was acknowledged. If it has no room for this, it is busy and sees
    /// it anyway.
    pub fn wake(&self) {
        let _ = self.sender.try_send(Task::Wake);
    }

    /// Waits until everything before has been dealt with.
    pub async fn flush(&self) {
        let (sender, flushed) = oneshot::channel();
        if self.sender.send(Task::Flush(sender)).await.is_ok() {
            let _ = flushed.await;
        }
    }

    /// Whether there is a writer.
    pub fn is_alive(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Whether the last commit succeeded.
    pub fn is_writing(&self) -> bool {
        self.is_alive() && self.is_writing.load(Ordering::SeqCst)
    }
}

impl Put {
    /// Waits until it is durable.
    pub async fn confirmed(self) -> PublishOutcome {
        match self.outcome {
            Some(outcome) => outcome.await.unwrap_or(PublishOutcome::Unknown),
            None => PublishOutcome::NotSent,
        }
    }

    /// Does not wait for what becomes of it.
    pub fn handed_over(self) -> PublishOutcome {
        if self.outcome.is_some() {
            PublishOutcome::Accepted
        } else {
            PublishOutcome::NotSent
        }
    }
}

struct Writer {
    file: Arc<SqliteFile>,
    queues: Arc<Queues>,
    tasks: mpsc::Receiver<Task>,
    is_writing: Arc<AtomicBool>,
}

/// What one commit contains.
#[derive(Default)]
struct Group {
    messages: Vec<(Message, oneshot::Sender<PublishOutcome>)>,
    flushes: Vec<oneshot::Sender<()>>,
}

impl Writer {
    async fn run(mut self) {
        while let Some(first) = self.tasks.recv().await {
            let mut group = Group::default();
            group.add(first);
            if let Err(error) = self.commit(&mut group).await {
                tracing::warn!(%error, "cannot write to the queue");
                self.recover().await;
            }
        }
    }

    /// Commits the group, together with whatever has come by the time it is its turn to write.
    /// Every message gets its outcome, also after an error.
    async fn commit(&mut self, group: &mut Group) -> sqlx::Result<()> {
        if group.messages.is_empty() && self.queues.acknowledged().is_empty() {
            group.answer(&[]);
            return Ok(());
        }
        let begun = self.file.write().await;
        while group.messages.len() < GROUP_MAX {
            let Ok(task) = self.tasks.try_recv() else {
                break;
            };
            group.add(task);
        }
        let mut transaction = match begun {
            Ok(transaction) => transaction,
            Err(error) => return self.fail(group, PublishOutcome::NotSent, error),
        };
        let acknowledged = self.queues.acknowledged();
        let outcomes = match write(
            &mut transaction,
            &self.queues,
            &group.messages,
            &acknowledged,
        )
        .await
        {
            Ok(outcomes) => outcomes,
            Err(error) => {
                // Rolled back for certain: it was never committed, whatever becomes of the
                // rollback.
                let _ = transaction.rollback().await;
                return self.fail(group, PublishOutcome::NotSent, error);
            }
        };
        crate::failpoint::hit("queue.before_commit");
        if let Err(error) = transaction.commit().await {
            return self.fail(group, PublishOutcome::Unknown, error);
        }
        crate::failpoint::hit("queue.after_commit");
        for (_, queue, newest) in acknowledged {
            queue.deleted.fetch_max(newest, Ordering::SeqCst);
        }
        for (incarnation, outcome) in group
            .messages
            .iter()
            .map(|(message, _)| message.incarnation)
            .zip(&outcomes)
        {
            if *outcome == PublishOutcome::Accepted {
                self.queues.of(incarnation).arrived.notify_one();
            }
        }
        group.answer(&outcomes);
        Ok(())
    }

    fn fail(
        &self,
        group: &mut Group,
        outcome: PublishOutcome,
        error: sqlx::Error,
    ) -> sqlx::Result<()> {
        self.is_writing.store(false, Ordering::SeqCst);
        group.answer(&vec![outcome; group.messages.len()]);
        Err(error)
    }

    /// Turns messages away until something can be written again, so that nothing is reserved that
    /// cannot be queued.
    async fn recover(&mut self) {
        let mut pause = RETRY_MIN;
        loop {
            loop {
                match self.tasks.try_recv() {
                    Ok(Task::Publish(_, outcome)) => drop(outcome.send(PublishOutcome::NotSent)),
                    Ok(Task::Wake) => {}
                    Ok(Task::Flush(flushed)) => drop(flushed.send(())),
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => return,
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
            match self.probe().await {
                Ok(()) => break,
                Err(error) => tracing::warn!(%error, "cannot write to the queue yet"),
            }
        }
        tracing::info!("the queue can be written again");
        self.is_writing.store(true, Ordering::SeqCst);
    }

    /// Writes something for real, to a queue that nobody has, and takes it away again.
    async fn probe(&self) -> sqlx::Result<()> {
        let mut transaction = self.file.write().await?;
        for sql in [
            "INSERT INTO queue_bindings VALUES (0, 0)",
            "DELETE FROM queue_bindings WHERE incarnation = 0",
        ] {
            sqlx::query(sql).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }
}

impl Group {
    fn add(&mut self, task: Task) {
        match task {
            Task::Publish(message, outcome) => self.messages.push((message, outcome)),
            Task::Wake => {}
            Task::Flush(flushed) => self.flushes.push(flushed),
        }
    }

    /// Tells each its outcome.
    fn answer(&mut self, outcomes: &[PublishOutcome]) {
        for ((_, reply), outcome) in self.messages.drain(..).zip(outcomes) {
            let _ = reply.send(*outcome);
        }
        for flushed in self.flushes.drain(..) {
            let _ = flushed.send(());
        }
    }
}

/// Writes everything of one transaction; an error means that none of it may be committed.
async fn write(
    connection: &mut SqliteConnection,
    queues: &Queues,
    messages: &[(Message, oneshot::Sender<PublishOutcome>)],
    acknowledged: &[(IncarnationId, Arc<Queue>, i64)],
) -> sqlx::Result<Vec<PublishOutcome>> {
    // First, because it makes room.
    for (incarnation, _, newest) in acknowledged {
        sqlx::query("DELETE FROM queue_messages WHERE incarnation = ? AND seq <= ?")
            .bind(incarnation.0)
            .bind(newest)
            .execute(&mut *connection)
            .await?;
    }
    let mut outcomes = Vec::with_capacity(messages.len());
    for (message, _) in messages {
        let has_room = has_room(connection, &queues.of(message.incarnation), message).await?;
        outcomes.push(match has_room {
            false => PublishOutcome::Rejected,
            true if insert(connection, message).await? => PublishOutcome::Accepted,
            true => PublishOutcome::Unroutable,
        });
    }
    Ok(outcomes)
}

/// Takes a place in the queue. Counts only when the places known to be free have run out; what is
/// taken for a message that does not get in after all is found again by counting.
async fn has_room(
    connection: &mut SqliteConnection,
    queue: &Queue,
    message: &Message,
) -> sqlx::Result<bool> {
    let mut length = queue.length_at_most.load(Ordering::SeqCst);
    if length >= message.max_messages {
        let row = sqlx::query("SELECT COUNT(*) FROM queue_messages WHERE incarnation = ?")
            .bind(message.incarnation.0)
            .fetch_one(connection)
            .await?;
        length = row.try_get::<i64, _>(0)?.cast_unsigned();
    }
    let has_room = length < message.max_messages;
    queue
        .length_at_most
        .store(if has_room { length + 1 } else { length }, Ordering::SeqCst);
    Ok(has_room)
}

/// `false` if its generation is not bound.
async fn insert(connection: &mut SqliteConnection, message: &Message) -> sqlx::Result<bool> {
    let sql = "INSERT INTO queue_messages (incarnation, generation, kind, message_id, body, traceparent)
               SELECT ?1, ?2, ?3, ?4, ?5, ?6
               WHERE EXISTS (SELECT 1 FROM queue_bindings WHERE incarnation = ?1 AND generation = ?2)";
    let inserted = sqlx::query(sql)
        .bind(message.incarnation.0)
        .bind(message.generation.0)
        .bind(message.kind)
        .bind(message.message_id.as_str())
        .bind(message.body.as_slice())
        .bind(message.traceparent.as_deref())
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected() == 1)
}
