//! Publishing processes: their leases, their fences, and their queues.

use super::{Fenced, Publisher, Store, WorkerUse};
use crate::ids::{Generation, WorkerId};
use database::{Arg, Error, NO_ARGS, Result, fault};
use engines::IncarnationId;

impl Store {
    /// Every worker id that was ever used.
    pub async fn worker_ids(&self) -> Result<Vec<WorkerUse>> {
        let sql = "SELECT worker_id, MAX(minted_until_ms), MAX(holder IS NOT NULL) FROM incarnations GROUP BY worker_id";
        let rows: Vec<(WorkerId, i64, bool)> = self.database.rows(sql, NO_ARGS).await?;
        let used = rows
            .into_iter()
            .map(|(worker, minted_until_ms, is_held)| WorkerUse {
                worker,
                minted_until_ms,
                is_held,
            });
        Ok(used.collect())
    }

    /// Registers an incarnation under a worker id; `None` if somebody else holds it.
    pub async fn register(
        &self,
        worker: WorkerId,
        publisher: &Publisher,
        minted_until_ms: i64,
    ) -> Result<Option<IncarnationId>> {
        let mut tx = self.database.begin().await?;
        let sql = format!(
            "INSERT INTO incarnations (worker_id, holder, lease_ms, heartbeat_at_ms, minted_until_ms, deadline_ms,
             address, label) VALUES (?, 1, ?, {}, ?, ?, ?, ?)",
            self.database.now_ms()
        );
        let args = [
            Arg::from(worker),
            publisher.lease_ms.into(),
            minted_until_ms.into(),
            publisher.deadline_ms.into(),
            publisher.address.as_str().into(),
            publisher.label.as_str().into(),
        ];
        let id = match tx.connection().insert(&sql, args).await {
            Ok(id) => IncarnationId(id),
            Err(error) if fault::is_unique_violation(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        tx.commit().await?;
        Ok(Some(id))
    }

    /// Stores the queue's name and confirms that the generation is still the present one
    /// (bind-then-recheck, R2).
    pub async fn confirm_binding(
        &self,
        id: IncarnationId,
        generation: Generation,
        queue: &str,
    ) -> Result<bool> {
        let sql =
            "UPDATE incarnations SET queue = ? WHERE id = ? AND generation = ? AND state = 'live'";
        let args = [Arg::from(queue), id.into(), generation.into()];
        Ok(self.database.run(sql, args).await? == 1)
    }

    /// Extends the lease; `false` means that this generation has been fenced.
    pub async fn heartbeat(
        &self,
        id: IncarnationId,
        generation: Generation,
        minted_until_ms: i64,
    ) -> Result<bool> {
        let sql = format!(
            "UPDATE incarnations SET heartbeat_at_ms = {}, beats = beats + 1, minted_until_ms = ?
             WHERE id = ? AND generation = ? AND state = 'live'",
            self.database.now_ms()
        );
        let args = [Arg::from(minted_until_ms), id.into(), generation.into()];
        Ok(self.database.run(&sql, args).await? == 1)
    }

    /// Takes up a generation, and acknowledges it; `false` means that it has been fenced again.
    pub async fn adopt(&self, id: IncarnationId, generation: Generation) -> Result<bool> {
        let sql = format!(
            "UPDATE incarnations SET heartbeat_at_ms = {}, beats = beats + 1, acknowledged_generation = generation
             WHERE id = ? AND generation = ? AND state = 'live'",
            self.database.now_ms()
        );
        let args = [Arg::from(id), generation.into()];
        Ok(self.database.run(&sql, args).await? == 1)
    }

    /// Acknowledges whatever fence there is; returns the present generation, and whether the
    /// incarnation is live.
    pub async fn acknowledge(&self, id: IncarnationId) -> Result<(Generation, bool)> {
        let mut tx = self.database.begin().await?;
        let mut connection = tx.connection();
        let acknowledge =
            "UPDATE incarnations SET acknowledged_generation = generation WHERE id = ?";
        connection.run(acknowledge, [id]).await?;
        let sql = "SELECT generation, state = 'live' FROM incarnations WHERE id = ?";
        let row = connection.row(sql, [id]).await?;
        tx.commit().await?;
        row.ok_or(Error::RowNotFound)
    }

    /// Fences an incarnation by its own wish, and acknowledges that in the same step.
    pub async fn hand_back(&self, id: IncarnationId, minted_until_ms: i64) -> Result<()> {
        // MySQL assigns from left to right, SQLite from the old row: the generation is computed in
        // both places.
        let sql = format!(
            "UPDATE incarnations SET state = 'fenced', fenced_at_ms = {}, minted_until_ms = ?,
             acknowledged_generation = generation + 1, generation = generation + 1 WHERE id = ? AND state = 'live'",
            self.database.now_ms()
        );
        let args = [Arg::from(minted_until_ms), id.into()];
        self.database.run(&sql, args).await.map(drop)
    }

    /// fence-wait (R1): whether a lease has run out for sure. One parameter: the margin, ms.
    fn lease_is_over(&self) -> String {
        let now_ms = self.database.now_ms();
        format!("(heartbeat_at_ms + lease_ms + ? < {now_ms})")
    }

    /// fence-wait (R1): fences incarnations whose lease has run out for sure; returns how many.
    pub async fn fence_expired(&self, margin_ms: u64) -> Result<u64> {
        // Looked for first: on most passes there is nothing to write.
        let expired = format!("state = 'live' AND {}", self.lease_is_over());
        let count = format!("SELECT COUNT(*) FROM incarnations WHERE {expired}");
        if self.database.row(&count, [margin_ms]).await? == Some(0_i64) {
            return Ok(0);
        }
        let sql = format!(
            "UPDATE incarnations SET state = 'fenced', generation = generation + 1, fenced_at_ms = {} WHERE {expired}",
            self.database.now_ms()
        );
        self.database.run(&sql, [margin_ms]).await
    }

    /// Incarnations that are fenced for good and can no longer say yes, with their generation.
    pub async fn fenced_for_sure(&self, margin_ms: u64, limit: i64) -> Result<Vec<Fenced>> {
        let sql = format!(
            "SELECT id, generation FROM incarnations WHERE state = 'fenced'
             AND (acknowledged_generation = generation OR {}) ORDER BY id LIMIT ?",
            self.lease_is_over()
        );
        let args = [Arg::from(margin_ms), limit.into()];
        let rows: Vec<(IncarnationId, Generation)> = self.database.rows(&sql, args).await?;
        let fenced = rows.into_iter();
        Ok(fenced
            .map(|(id, generation)| Fenced { id, generation })
            .collect())
    }

    /// Incarnations that are fenced and not gone yet.
    pub async fn count_fenced(&self) -> Result<u64> {
        let sql = "SELECT COUNT(*) FROM incarnations WHERE state = 'fenced'";
        Ok(self.database.row(sql, NO_ARGS).await?.unwrap_or_default())
    }

    /// Publishers that count as live and have not been heard since `since_ms`: each will either
    /// speak or be fenced.
    pub async fn silent_since(&self, since_ms: i64) -> Result<u64> {
        let sql = "SELECT COUNT(*) FROM incarnations WHERE state = 'live' AND heartbeat_at_ms < ?";
        Ok(self
            .database
            .row(sql, [since_ms])
            .await?
            .unwrap_or_default())
    }

    /// exclusive-route (R6): stores that this incarnation is drained for ever, frees its worker id,
    /// and gives back to the sale's pool what its leases have not sold. One transaction.
    pub async fn retire(&self, id: IncarnationId) -> Result<()> {
        let mut tx = self.database.begin().await?;
        let mut connection = tx.connection();
        // The row is locked first, so that of two reconcilers one closes the leases.
        let for_update = connection.for_update();
        let lock = format!("SELECT id FROM incarnations WHERE id = ?{for_update}");
        connection.row::<IncarnationId>(&lock, [id]).await?;
        engines::close_leases(&mut connection, id).await?;
        let gone = "UPDATE incarnations SET state = 'gone', holder = NULL WHERE id = ?";
        connection.run(gone, [id]).await?;
        tx.commit().await
    }

    /// Queues of incarnations that are gone and whose deletion is not known to have been done.
    pub async fn queues_to_delete(&self, limit: i64) -> Result<Vec<IncarnationId>> {
        let sql =
            "SELECT id FROM incarnations WHERE state = 'gone' AND queue <> '' ORDER BY id LIMIT ?";
        self.database.rows(sql, [limit]).await
    }

    /// Remembers that there is no such queue any more.
    pub async fn queue_deleted(&self, id: IncarnationId) -> Result<()> {
        let sql = "UPDATE incarnations SET queue = '' WHERE id = ? AND state = 'gone'";
        self.database.run(sql, [id]).await.map(drop)
    }

    /// Queues that may hold messages. Also those of incarnations that are gone and not deleted yet:
    /// a consumer that died before it could acknowledge left rows' messages in there, and a queue
    /// is deleted only when it is empty.
    pub async fn queues(&self, limit: i64) -> Result<Vec<IncarnationId>> {
        let sql = "SELECT id FROM incarnations WHERE queue <> '' ORDER BY id LIMIT ?";
        self.database.rows(sql, [limit]).await
    }

    /// Every incarnation whose queue may still hold messages, with its generation.
    pub async fn generations(&self) -> Result<Vec<(IncarnationId, Generation)>> {
        let sql = "SELECT id, generation FROM incarnations WHERE state <> 'gone' ORDER BY id";
        self.database.rows(sql, NO_ARGS).await
    }

    /// Publishing processes whose lease runs, ascending.
    pub async fn live_publishers(&self) -> Result<Vec<IncarnationId>> {
        let sql = format!(
            "SELECT id FROM incarnations WHERE state = 'live' AND queue <> '' AND NOT {} ORDER BY id",
            self.lease_is_over()
        );
        let margin_ms = 0_u64;
        self.database.rows(&sql, [margin_ms]).await
    }

    /// fence-wait (R1): bumps the generation of every live publisher.
    pub async fn fence_live(&self) -> Result<()> {
        let sql = "UPDATE incarnations SET generation = generation + 1 WHERE state = 'live'";
        self.database.run(sql, NO_ARGS).await.map(drop)
    }

    /// Whether nobody can say yes any more under a generation before this one.
    pub async fn is_fenced(
        &self,
        id: IncarnationId,
        generation: Generation,
        margin_ms: u64,
    ) -> Result<bool> {
        let sql = format!(
            "SELECT COUNT(*) FROM incarnations WHERE id = ? AND state <> 'gone' AND acknowledged_generation < ?
             AND NOT {}",
            self.lease_is_over()
        );
        let args = [Arg::from(id), generation.into(), margin_ms.into()];
        Ok(self.database.row(&sql, args).await? == Some(0_i64))
    }
}
