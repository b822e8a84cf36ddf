//! A lock by name that goes when its holder does.

use crate::session::Session;
use crate::{Arg, Connection, Database};
use sqlx::Result;

/// A holder that has not been heard of for so long loses the lock, s: nothing may come through its
/// connection any more, and nobody has closed it.
const HELD_MAX_S: i64 = 900;

/// Held for as long as it lives.
#[derive(Debug)]
pub struct NamedLock {
    session: Option<Session>,
}

impl Database {
    /// Takes the lock called `name` in this database, or learns that somebody else has it. A file
    /// is used by one process only, which always gets it.
    pub async fn try_lock(&self, name: &str) -> Result<Option<NamedLock>> {
        let Self::MySql(server) = self else {
            return Ok(Some(NamedLock { session: None }));
        };
        // Not a pooled connection: the lock belongs to it and must go when this process or task
        // goes. It is idle while it is held, for longer than those of the pool may be.
        let mut session = server.session().await?.detached();
        let sql = format!("SET SESSION wait_timeout = {HELD_MAX_S}");
        session.run(sqlx::query(&sql)).await?;
        if take(&mut session, name, 0).await? {
            return Ok(Some(NamedLock {
                session: Some(session),
            }));
        }
        session.close().await;
        Ok(None)
    }
}

/// Takes the lock called `name` in this database for as long as the connection of `session` lives;
/// `false`: somebody else has had it for `wait_max_s` seconds. MariaDB takes no wait without end.
pub(crate) async fn take(session: &mut Session, name: &str, wait_max_s: i64) -> Result<bool> {
    let take = "SELECT GET_LOCK(CONCAT(?, '.', MD5(DATABASE())), ?)";
    let args = [Arg::from(name), wait_max_s.into()];
    let taken: Option<Option<i64>> = Connection::MySql(session).row(take, args).await?;
    Ok(taken.flatten() == Some(1))
}

impl NamedLock {
    /// Lets others have it; dropping it does so too, a little later.
    pub async fn give_back(self) {
        if let Some(session) = self.session {
            session.close().await;
        }
    }
}
