//! Whose turn it is to open epochs, so that two reconcilers do not take every epoch from each other before it is open.
//!
//! This keeps them making progress, not correct: the conditional updates of an opening do that without it (R14).

use sqlx::{Connection, MySqlConnection, MySqlPool, Row};
use std::time::{Duration, Instant};

/// A reconciler that has the turn and claims no epoch for this long is taken for stalled. One that died gives its turn
/// back at once, because the database notices its closed connection.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// Remembers what it saw of the others.
#[derive(Debug, Default)]
pub struct Turns {
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// Grows with every claim.
    epochs: i64,
    since: Instant,
}

/// The turn, for as long as its connection lives.
#[derive(Debug)]
pub struct Turn {
    connection: Option<MySqlConnection>,
}

impl Turns {
    /// `None` while another reconciler has it.
    pub async fn take(&mut self, pool: &MySqlPool) -> sqlx::Result<Option<Turn>> {
        // Not a pooled connection: the lock belongs to it and must go when this process or task goes.
        let mut connection = pool.acquire().await?.detach();
        let row = sqlx::query(
            "SELECT GET_LOCK(CONCAT('seckill.open.', MD5(DATABASE())), 0),
             (SELECT CAST(COALESCE(SUM(newest_epoch), 0) AS SIGNED) FROM sales)",
        )
        .fetch_one(&mut connection)
        .await?;
        let (is_ours, epochs): (Option<i64>, i64) = (row.try_get(0)?, row.try_get(1)?);
        if is_ours == Some(1) {
            self.waiting = None;
            return Ok(Some(Turn { connection: Some(connection) }));
        }
        let _ = connection.close().await;
        let waiting = self.waiting.get_or_insert(Waiting { epochs, since: Instant::now() });
        if waiting.epochs != epochs {
            *waiting = Waiting { epochs, since: Instant::now() };
        }
        if waiting.since.elapsed() < STALLED_AFTER {
            return Ok(None);
        }
        tracing::warn!(?STALLED_AFTER, "the reconciler whose turn it is has stalled; opening without it");
        Ok(Some(Turn { connection: None }))
    }
}

impl Turn {
    /// Lets others open; dropping it does so too, a little later.
    pub async fn give_back(self) {
        if let Some(connection) = self.connection {
            let _ = connection.close().await;
        }
    }
}
