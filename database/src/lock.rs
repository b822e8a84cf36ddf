//! A lock by name that goes when its holder does.

use crate::Database;
use sqlx::{Connection, MySqlConnection, Result};

/// Held for as long as it lives.
#[derive(Debug)]
pub struct NamedLock {
    connection: Option<MySqlConnection>,
}

impl Database {
    /// Takes the lock called `name` in this database, or learns that somebody else has it. A file
    /// is used by one process only, which always gets it.
    pub async fn try_lock(&self, name: &str) -> Result<Option<NamedLock>> {
        let Self::MySql(pool) = self else {
            return Ok(Some(NamedLock { connection: None }));
        };
        // Not a pooled connection: the lock belongs to it and must go when this process or task
        // goes.
        let mut connection = pool.acquire().await?.detach();
        if take(&mut connection, name, 0).await? {
            return Ok(Some(NamedLock {
                connection: Some(connection),
            }));
        }
        let _ = connection.close().await;
        Ok(None)
    }
}

/// Takes the lock called `name` in this database for as long as `connection` lives; `false`:
/// somebody else has had it for `wait_max_s` seconds. MariaDB takes no wait without end.
pub(crate) async fn take(
    connection: &mut MySqlConnection,
    name: &str,
    wait_max_s: i64,
) -> Result<bool> {
    let take = "SELECT GET_LOCK(CONCAT(?, '.', MD5(DATABASE())), ?)";
    let taken: Option<i64> = sqlx::query_scalar(take)
        .bind(name)
        .bind(wait_max_s)
        .fetch_one(connection)
        .await?;
    Ok(taken == Some(1))
}

impl NamedLock {
    /// Lets others have it; dropping it does so too, a little later.
    pub async fn give_back(self) {
        if let Some(connection) = self.connection {
            let _ = connection.close().await;
        }
    }
}
