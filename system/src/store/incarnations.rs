//! Publishing processes: their leases, their fences, and their queues.

use super::handle::Store;
use super::types::{Fenced, Life, Publisher, WorkerUse};
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
             address, label, registered_at_ms) VALUES (?, 1, ?, {0}, ?, ?, ?, ?, {0})",
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
        Ok(self.heartbeats.run(&sql, args).await? == 1)
    }

    /// Takes up a generation, and acknowledges it; `false` means that it has been fenced again.
    pub async fn adopt(&self, id: IncarnationId, generation: Generation) -> Result<bool> {
        let sql = format!(
            "UPDATE incarnations SET heartbeat_at_ms = {}, beats = beats + 1, acknowledged_generation = generation
             WHERE id = ? AND generation = ? AND state = 'live'",
            self.database.now_ms()
        );
        let args = [Arg::from(id), generation.into()];
        Ok(self.heartbeats.run(&sql, args).await? == 1)
    }

    /// Acknowledges whatever fence there is; returns the present generation, and whether the
    /// incarnation is live.
    pub async fn acknowledge(&self, id: IncarnationId) -> Result<(Generation, bool)> {
        let mut tx = self.heartbeats.begin().await?;
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

    /// What the row of every incarnation that is not gone says of its life. Whether one is silent is
    /// for the reader to find out, on a clock of their own: the times in the rows are for people.
    pub async fn lives(&self) -> Result<Vec<Life>> {
        let sql = "SELECT id, generation, acknowledged_generation, state = 'live', queue <> '', beats, lease_ms
                   FROM incarnations WHERE state <> 'gone' ORDER BY id";
        type Row = (IncarnationId, Generation, Generation, bool, bool, i64, u64);
        let rows: Vec<Row> = self.database.rows(sql, NO_ARGS).await?;
        let lives = rows.into_iter().map(
            |(id, generation, acknowledged, is_live, has_queue, beats, lease_ms)| Life {
                id,
                generation,
                acknowledged,
                is_live,
                has_queue,
                beats,
                lease_ms,
            },
        );
        Ok(lives.collect())
    }

    /// Where every incarnation serves that is not fenced.
    pub async fn publisher_addresses(&self) -> Result<Vec<(IncarnationId, String)>> {
        let sql = "SELECT id, address FROM incarnations WHERE state = 'live'";
        self.database.rows(sql, NO_ARGS).await
    }

    /// fence-wait (R1): fences an incarnation for good whose lease has surely run out if it has not
    /// beaten since `life` was read, and stores that nobody needs to wait for it any more; `false`
    /// if it has.
    pub async fn fence_silent(&self, life: &Life) -> Result<bool> {
        // The order of the assignments: see `hand_back`.
        let sql = format!(
            "UPDATE incarnations SET state = 'fenced', fenced_at_ms = {}, acknowledged_generation = generation + 1,
             generation = generation + 1 WHERE id = ? AND generation = ? AND beats = ? AND state <> 'gone'",
            self.database.now_ms()
        );
        let args = [
            Arg::from(life.id),
            life.generation.into(),
            life.beats.into(),
        ];
        Ok(self.database.run(&sql, args).await? == 1)
    }

    /// Incarnations that are fenced for good and can no longer say yes, with their generation: they
    /// have said so themselves, or whoever fenced them has waited for the end of their lease.
    pub async fn fenced_for_sure(&self, limit: i64) -> Result<Vec<Fenced>> {
        let sql = "SELECT id, generation FROM incarnations WHERE state = 'fenced'
                   AND acknowledged_generation = generation ORDER BY id LIMIT ?";
        let rows: Vec<(IncarnationId, Generation)> = self.database.rows(sql, [limit]).await?;
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

    /// deadline-before-reserve (R7): the longest deadline of all who may still publish what they
    /// have reserved, ms.
    pub async fn longest_deadline_ms(&self) -> Result<u64> {
        let sql = "SELECT MAX(deadline_ms) FROM incarnations WHERE state <> 'gone'";
        let longest: Option<Option<u64>> = self.database.row(sql, NO_ARGS).await?;
        Ok(longest.flatten().unwrap_or_default())
    }

    /// exclusive-route (R6): stores that this incarnation is drained for ever, frees its worker id,
    /// and gives back to the sale's pool what its leases have not sold. One transaction.
    pub async fn retire(&self, id: IncarnationId) -> Result<()> {
        let mut tx = self.long.begin().await?;
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
    /// is deleted only when it is empty. All of them, read in pages of this size.
    pub async fn queues(&self, page: i64) -> Result<Vec<IncarnationId>> {
        let sql = "SELECT id FROM incarnations WHERE queue <> '' AND id > ? ORDER BY id LIMIT ?";
        let mut queues: Vec<IncarnationId> = Vec::new();
        loop {
            let after = queues.last().map_or(0, |id| id.0);
            let more: Vec<IncarnationId> = self.database.rows(sql, [after, page]).await?;
            let is_last = i64::try_from(more.len()).is_ok_and(|found| found < page);
            queues.extend(more);
            if is_last {
                return Ok(queues);
            }
        }
    }

    /// Every incarnation whose queue may still hold messages, with its generation.
    pub async fn generations(&self) -> Result<Vec<(IncarnationId, Generation)>> {
        let sql = "SELECT id, generation FROM incarnations WHERE state <> 'gone' ORDER BY id";
        self.database.rows(sql, NO_ARGS).await
    }

    /// fence-wait (R1): bumps the generation of every live publisher.
    pub async fn fence_live(&self) -> Result<()> {
        let sql = "UPDATE incarnations SET generation = generation + 1 WHERE state = 'live'";
        self.database.run(sql, NO_ARGS).await.map(drop)
    }
}
