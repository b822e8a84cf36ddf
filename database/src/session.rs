//! A session with MySQL or MariaDB, and what becomes of it when no answer comes: a connection in
//! the middle of an answer is closed and never given back to its pool.

use crate::fault;
use futures_util::TryStreamExt;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::mysql::{MySqlArguments, MySqlQueryResult, MySqlRow};
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::{Connection, MySql, MySqlConnection, Result, TransactionManager};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// Longest wait for a connection to say goodbye.
const CLOSE_MAX: Duration = Duration::from_secs(1);

type Manager = <MySql as sqlx::Database>::TransactionManager;

/// When a connection was last lost. Those that were open then may well have gone the same way, and
/// nobody should have to find that out one after the other.
#[derive(Debug, Default)]
pub(crate) struct LastLoss(Mutex<Option<Instant>>);

impl LastLoss {
    /// A connection was lost with the statement that was sent at `sent`.
    fn note(&self, sent: Instant) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = (*last).max(Some(sent));
    }

    /// Whether a connection of this `age` was open then.
    pub fn concerns(&self, age: Duration) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() <= age)
    }
}

/// Where statements run, one after the other, each with a limit. Dropping it gives its connection
/// back, or closes it when nobody knows what would be read from it next: after a time-out, and
/// after a caller who went away in the middle.
#[derive(Debug)]
pub struct Session {
    /// `None`: lost.
    connection: Option<Link>,
    statement_max: Duration,
    losses: Arc<LastLoss>,
    /// A statement was sent, and its answer has not been read to its end.
    is_waiting: bool,
}

#[derive(Debug)]
enum Link {
    Pooled(PoolConnection<MySql>),
    Own(MySqlConnection),
}

impl Session {
    pub(crate) fn new(
        connection: PoolConnection<MySql>,
        statement_max: Duration,
        losses: Arc<LastLoss>,
    ) -> Self {
        Self {
            connection: Some(Link::Pooled(connection)),
            statement_max,
            losses,
            is_waiting: false,
        }
    }

    /// Out of the pool for good: closed when it is dropped, with all that belongs to it.
    pub(crate) fn detached(mut self) -> Self {
        self.connection = self.connection.take().map(|link| match link {
            Link::Pooled(pooled) => Link::Own(pooled.detach()),
            own => own,
        });
        self
    }

    /// The limit is that of the wait for each row: a long answer may take its time as long as it
    /// goes on. Rows are read as they come, because a server that has sent the last one counts how
    /// long it hears nothing.
    pub(crate) async fn rows<T>(
        &mut self,
        query: Query<'_, MySql, MySqlArguments>,
        read: impl Fn(&MySqlRow) -> Result<T>,
    ) -> Result<Vec<T>> {
        let (limit, sent) = (self.statement_max, Instant::now());
        let mut answer = query.fetch(self.send()?);
        let mut rows = Ok(Vec::new());
        let end = loop {
            match timeout(limit, answer.try_next()).await {
                Ok(Ok(Some(row))) => match (&mut rows, read(&row)) {
                    (Ok(rows), Ok(row)) => rows.push(row),
                    // What comes behind it has to be read all the same.
                    (Ok(_), Err(error)) => rows = Err(error),
                    (Err(_), _) => {}
                },
                Ok(Ok(None)) => break Ok(Ok(())),
                Ok(Err(error)) => break Ok(Err(error)),
                Err(late) => break Err(late),
            }
        };
        drop(answer);
        self.heard(sent, end)?;
        rows
    }

    pub(crate) async fn run(
        &mut self,
        query: Query<'_, MySql, MySqlArguments>,
    ) -> Result<MySqlQueryResult> {
        let (limit, sent) = (self.statement_max, Instant::now());
        let answer = timeout(limit, query.execute(self.send()?)).await;
        self.heard(sent, answer)
    }

    /// All of it within the limit of one statement.
    pub(crate) async fn migrate(&mut self, migrator: &Migrator) -> Result<(), MigrateError> {
        let (limit, sent) = (self.statement_max, Instant::now());
        let answer = timeout(limit, migrator.run_direct(self.send()?)).await;
        match answer {
            Ok(ran) => self.heard(sent, Ok(Ok(ran)))?,
            Err(late) => self.heard(sent, Err(late)).map_err(MigrateError::Execute),
        }
    }

    /// Says goodbye, and closes the connection whether that is heard or not.
    pub(crate) async fn close(mut self) {
        let own = match self.connection.take() {
            Some(Link::Pooled(pooled)) => pooled.detach(),
            Some(Link::Own(own)) => own,
            None => return,
        };
        let _ = timeout(CLOSE_MAX, own.close()).await;
    }

    /// Begins a transaction, or a part of one that can be undone by itself.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        let (limit, sent) = (self.statement_max, Instant::now());
        let answer = timeout(limit, Manager::begin(self.send()?, None)).await;
        self.heard(sent, answer)
    }

    /// A statement is about to be sent.
    fn send(&mut self) -> Result<&mut MySqlConnection> {
        if self.is_waiting {
            // A caller who went away left half an answer behind.
            self.close_hard();
        }
        self.is_waiting = true;
        match &mut self.connection {
            Some(Link::Pooled(pooled)) => Ok(pooled),
            Some(Link::Own(own)) => Ok(own),
            None => Err(fault::lost()),
        }
    }

    /// What came of it.
    fn heard<T>(&mut self, sent: Instant, answer: Result<Result<T>, Elapsed>) -> Result<T> {
        let limit = self.statement_max;
        let result = answer.unwrap_or_else(|_| Err(fault::out_of_time(limit)));
        match &result {
            Err(error) if fault::is_loss(error) => {
                self.losses.note(sent);
                self.close_hard();
            }
            _ => self.is_waiting = false,
        }
        result
    }

    fn close_hard(&mut self) {
        match self.connection.take() {
            // Its place in the pool is free.
            Some(Link::Pooled(pooled)) => drop(pooled.detach()),
            own => drop(own),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let runtime = Handle::try_current().ok().filter(|_| !self.is_waiting);
        match (self.connection.take(), runtime) {
            (Some(Link::Pooled(mut pooled)), Some(runtime)) => {
                // The pool asks the connection whether it is well, and would wait for the answer
                // for ever.
                let giving_back = timeout(self.statement_max, pooled.return_to_pool());
                runtime.spawn(async move { drop(giving_back.await) });
            }
            (Some(Link::Pooled(pooled)), None) => drop(pooled.detach()),
            (own, _) => drop(own),
        }
    }
}

/// A transaction, or a part of one. Dropping it rolls back.
#[derive(Debug)]
pub struct Transaction<'a> {
    session: Place<'a>,
    is_open: bool,
}

#[derive(Debug)]
enum Place<'a> {
    Own(Session),
    Within(&'a mut Session),
}

impl Transaction<'static> {
    pub(crate) async fn begin(mut session: Session) -> Result<Self> {
        session.begin().await?;
        Ok(Self {
            session: Place::Own(session),
            is_open: true,
        })
    }
}

impl<'a> Transaction<'a> {
    /// A part of the transaction that is open in `session`.
    pub(crate) async fn within(session: &'a mut Session) -> Result<Self> {
        session.begin().await?;
        Ok(Self {
            session: Place::Within(session),
            is_open: true,
        })
    }

    pub(crate) async fn commit(mut self) -> Result<()> {
        self.is_open = false;
        let (limit, sent) = (self.statement_max, Instant::now());
        let answer = timeout(limit, Manager::commit(self.send()?)).await;
        let committed = self.heard(sent, answer);
        self.kept_if(committed)
    }

    pub(crate) async fn rollback(mut self) -> Result<()> {
        self.is_open = false;
        let (limit, sent) = (self.statement_max, Instant::now());
        let answer = timeout(limit, Manager::rollback(self.send()?)).await;
        let rolled_back = self.heard(sent, answer);
        self.kept_if(rolled_back)
    }

    /// A refused end leaves a connection that may still be in the transaction, and that sqlx takes
    /// to be: the next one would begin within it.
    fn kept_if(&mut self, ended: Result<()>) -> Result<()> {
        if ended.is_err() {
            self.close_hard();
        }
        ended
    }
}

impl Deref for Transaction<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        match &self.session {
            Place::Own(session) => session,
            Place::Within(session) => session,
        }
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Session {
        match &mut self.session {
            Place::Own(session) => session,
            Place::Within(session) => session,
        }
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.is_open || self.is_waiting {
            return;
        }
        // Put where the next statement, or the pool's question, sends it along.
        match &mut self.connection {
            Some(Link::Pooled(pooled)) => Manager::start_rollback(pooled),
            Some(Link::Own(own)) => Manager::start_rollback(own),
            None => {}
        }
    }
}
