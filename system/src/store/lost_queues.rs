//! Queues that are gone with whatever was in them: one record in `parked` stands for all of it
//! (exclusive-route, R6; parked-is-final, R10).

use super::handle::Store;
use super::parking::QUEUE;
use super::types::Poison;
use crate::clock::unix_ms;
use database::{Arg, Connection, NO_ARGS, Result};
use engines::{IncarnationId, SaleId};

/// Kind of the record while it is not known yet whether the queue is gone, and from then on.
const SUSPECTED: &str = Poison::QUEUE_SUSPECTED;
const LOST: &str = Poison::QUEUE_LOST;
/// The suspicion has a record of its own, so that it can be taken back whatever else is known. Its
/// digest is its kind; before it had its own, it stood under that of the queue.
const UNSUSPECT: &str =
    "DELETE FROM parked WHERE incarnation = ? AND digest IN (?, ?) AND kind = ?";

impl Store {
    /// Records that the queue may be gone, before it is made anew: whoever dies in between leaves
    /// the record behind. From here on no hold that went through it is voided. `Some(false)`:
    /// somebody had recorded it before. `None`: it was drained for good, and may rightly be gone.
    pub async fn suspect_lost_queue(&self, id: IncarnationId) -> Result<Option<bool>> {
        let mut tx = self.database.begin().await?;
        let mut connection = tx.connection();
        let for_update = connection.for_update();
        let needed = format!(
            "SELECT id FROM incarnations WHERE id = ? AND state <> 'gone' AND queue <> ''{for_update}"
        );
        let needed: Option<IncarnationId> = connection.row(&needed, [id]).await?;
        if needed.is_none() {
            return Ok(None);
        }
        let known = "SELECT COUNT(*) FROM parked WHERE incarnation = ? AND digest = ?";
        let args = [Arg::from(id), SUSPECTED.into()];
        let is_new = connection.row(known, args).await? == Some(0_i64);
        record(&mut connection, id, SUSPECTED).await?;
        tx.commit().await?;
        Ok(Some(is_new))
    }

    /// Takes one's own suspicion back. What was found of the queue, by anybody, before or meanwhile,
    /// stays as it is: also what somebody has resolved.
    pub async fn unsuspect_queue(&self, id: IncarnationId) -> Result<()> {
        self.database.run(UNSUSPECT, suspicion(id)).await.map(drop)
    }

    /// The queue was gone: the record stays until somebody resolves it, and the incarnation, if it
    /// lives, is fenced for good. `false`: it was recorded before.
    pub async fn queue_is_lost(&self, id: IncarnationId) -> Result<bool> {
        let mut tx = self.database.begin().await?;
        let mut connection = tx.connection();
        let known = "SELECT COUNT(*) FROM parked WHERE incarnation = ? AND digest = ? AND kind = ?";
        let args = [Arg::from(id), QUEUE.into(), LOST.into()];
        let is_news = connection.row(known, args).await? == Some(0_i64);
        connection.run(UNSUSPECT, suspicion(id)).await?;
        record(&mut connection, id, LOST).await?;
        let fence = format!(
            "UPDATE incarnations SET state = 'fenced', generation = generation + 1, fenced_at_ms = {}
             WHERE id = ? AND state = 'live'",
            self.database.now_ms()
        );
        connection.run(&fence, [id]).await?;
        tx.commit().await?;
        Ok(is_news)
    }

    /// Incarnations whose queue may hold orders that are no rows yet.
    pub async fn queues_to_drain(&self) -> Result<Vec<IncarnationId>> {
        let sql = "SELECT id FROM incarnations WHERE state <> 'gone' AND queue <> '' ORDER BY id";
        self.database.rows(sql, NO_ARGS).await
    }

    /// Sales for which nobody can have published anything: no epoch of theirs was ever begun.
    pub async fn never_opened(&self) -> Result<Vec<SaleId>> {
        let sql = "SELECT product_id FROM sales WHERE newest_epoch = 0";
        self.database.rows(sql, NO_ARGS).await
    }
}

fn suspicion(id: IncarnationId) -> [Arg<'static>; 4] {
    [
        Arg::from(id),
        QUEUE.into(),
        SUSPECTED.into(),
        SUSPECTED.into(),
    ]
}

/// One record of each kind for the whole incarnation. It counts every time at which the queue was not
/// there, and is open again from each on.
async fn record(connection: &mut Connection<'_>, id: IncarnationId, kind: &str) -> Result<()> {
    let if_known = connection.kind().or_update(
        "incarnation, order_id, digest",
        "count = count + 1, resolved = 0, resolved_at_ms = NULL, resolution = ''",
    );
    let digest = match kind {
        LOST => QUEUE,
        suspected => suspected,
    };
    let sql = format!(
        "INSERT INTO parked (incarnation, message_id, order_id, kind, reason, body, digest, created_at_ms, seen_at_ms)
         VALUES (?, ?, ?, ?, 'the queue was not there; whatever was in it is lost', ?, ?, ?, ?){if_known}"
    );
    let now_ms = unix_ms();
    let values = [
        Arg::from(id),
        QUEUE.into(),
        Poison::WHOLE_MESSAGE.into(),
        kind.into(),
        Arg::Bytes(&[]),
        digest.into(),
        now_ms.into(),
        now_ms.into(),
    ];
    connection.run(&sql, values).await.map(drop)
}
