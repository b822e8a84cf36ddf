//! Publishing processes: their leases, their fences, and what proves that their queues are drained.

use super::super::{Database, DbRow, FOR_UPDATE, NOW_MS, close_leases, inserted_id};
use crate::store::Fenced;
use sqlx::Row;

/// Markers deleted in one go.
const MARKERS_FORGOTTEN_MAX: i64 = 1_000;

impl Database {
    pub async fn worker_ids(&self) -> sqlx::Result<Vec<(i64, i64, bool)>> {
        let rows = sqlx::query(
            "SELECT worker_id, MAX(minted_until_ms), MAX(holder IS NOT NULL) FROM incarnations GROUP BY worker_id",
        )
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| {
                Ok((
                    row.try_get(0)?,
                    row.try_get(1)?,
                    row.try_get::<i64, _>(2)? != 0,
                ))
            })
            .collect()
    }

    pub async fn register(
        &self,
        worker: i64,
        lease_ms: u64,
        minted_until_ms: i64,
    ) -> sqlx::Result<Option<i64>> {
        let mut transaction = self.begin().await?;
        let sql = format!(
            "INSERT INTO incarnations (worker_id, holder, lease_ms, heartbeat_at_ms, minted_until_ms)
             VALUES (?, 1, ?, {NOW_MS}, ?)"
        );
        let inserted = sqlx::query(&sql)
            .bind(worker)
            .bind(lease_ms.cast_signed())
            .bind(minted_until_ms)
            .execute(&mut *transaction)
            .await;
        let done = match inserted {
            Ok(done) => done,
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => return Ok(None),
            Err(error) => return Err(error),
        };
        transaction.commit().await?;
        Ok(Some(inserted_id(&done)))
    }

    pub async fn confirm_binding(
        &self,
        id: i64,
        generation: i64,
        queue: &str,
    ) -> sqlx::Result<bool> {
        let mut transaction = self.begin().await?;
        let found = sqlx::query(
            "UPDATE incarnations SET queue = ? WHERE id = ? AND generation = ? AND state = 'live'",
        )
        .bind(queue)
        .bind(id)
        .bind(generation)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(found.rows_affected() == 1)
    }

    pub async fn heartbeat(
        &self,
        id: i64,
        generation: i64,
        minted_until_ms: i64,
    ) -> sqlx::Result<bool> {
        let mut transaction = self.begin().await?;
        let sql = format!(
            "UPDATE incarnations SET heartbeat_at_ms = {NOW_MS}, minted_until_ms = ?
             WHERE id = ? AND generation = ? AND state = 'live'"
        );
        let found = sqlx::query(&sql)
            .bind(minted_until_ms)
            .bind(id)
            .bind(generation)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(found.rows_affected() == 1)
    }

    pub async fn adopt(&self, id: i64, generation: i64) -> sqlx::Result<bool> {
        let mut transaction = self.begin().await?;
        let sql = format!(
            "UPDATE incarnations SET heartbeat_at_ms = {NOW_MS}, acknowledged_generation = generation
             WHERE id = ? AND generation = ? AND state = 'live'"
        );
        let found = sqlx::query(&sql)
            .bind(id)
            .bind(generation)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(found.rows_affected() == 1)
    }

    pub async fn acknowledge(&self, id: i64) -> sqlx::Result<(i64, bool)> {
        let mut transaction = self.begin().await?;
        sqlx::query("UPDATE incarnations SET acknowledged_generation = generation WHERE id = ?")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        let row = sqlx::query("SELECT generation, state FROM incarnations WHERE id = ?")
            .bind(id)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok((row.try_get(0)?, row.try_get::<String, _>(1)? == "live"))
    }

    pub async fn hand_back(&self, id: i64, minted_until_ms: i64) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        // MySQL assigns from left to right, SQLite from the old row: the generation is computed in
        // both places.
        let sql = format!(
            "UPDATE incarnations SET state = 'fenced', fenced_at_ms = {NOW_MS}, minted_until_ms = ?,
             acknowledged_generation = generation + 1, generation = generation + 1 WHERE id = ? AND state = 'live'"
        );
        sqlx::query(&sql)
            .bind(minted_until_ms)
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }

    pub async fn fence_expired(&self, margin_ms: u64) -> sqlx::Result<u64> {
        // Looked for first: on most passes there is nothing to write.
        let expired = format!("state = 'live' AND heartbeat_at_ms + lease_ms + ? < {NOW_MS}");
        let count = format!("SELECT COUNT(*) FROM incarnations WHERE {expired}");
        let row = sqlx::query(&count)
            .bind(margin_ms.cast_signed())
            .fetch_one(self.readers())
            .await?;
        if row.try_get::<i64, _>(0)? == 0 {
            return Ok(0);
        }
        let mut transaction = self.begin().await?;
        let sql = format!(
            "UPDATE incarnations SET state = 'fenced', generation = generation + 1, fenced_at_ms = {NOW_MS} WHERE {expired}"
        );
        let fenced = sqlx::query(&sql)
            .bind(margin_ms.cast_signed())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(fenced.rows_affected())
    }

    pub async fn fenced_for_sure(&self, margin_ms: u64, limit: i64) -> sqlx::Result<Vec<Fenced>> {
        let sql = format!(
            "SELECT id, generation FROM incarnations WHERE state = 'fenced'
             AND (acknowledged_generation = generation OR heartbeat_at_ms + lease_ms + ? < {NOW_MS}) ORDER BY id LIMIT ?"
        );
        let rows = sqlx::query(&sql)
            .bind(margin_ms.cast_signed())
            .bind(limit)
            .fetch_all(self.readers())
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Fenced {
                    id: row.try_get(0)?,
                    generation: row.try_get(1)?,
                })
            })
            .collect()
    }

    pub async fn count_fenced(&self) -> sqlx::Result<u64> {
        let row = sqlx::query("SELECT COUNT(*) FROM incarnations WHERE state = 'fenced'")
            .fetch_one(self.readers())
            .await?;
        Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
    }

    pub async fn silent_since(&self, since_ms: i64) -> sqlx::Result<u64> {
        let row = sqlx::query(
            "SELECT COUNT(*) FROM incarnations WHERE state = 'live' AND heartbeat_at_ms < ?",
        )
        .bind(since_ms)
        .fetch_one(self.readers())
        .await?;
        Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
    }

    pub async fn retire(&self, id: i64) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        // The row is locked first, so that of two reconcilers one closes the leases.
        let lock = format!("SELECT id FROM incarnations WHERE id = ?{FOR_UPDATE}");
        sqlx::query(&lock)
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await?;
        close_leases(&mut transaction, engines::IncarnationId(id)).await?;
        sqlx::query("UPDATE incarnations SET state = 'gone', holder = NULL WHERE id = ?")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }

    pub async fn queues_to_delete(&self, limit: i64) -> sqlx::Result<Vec<i64>> {
        let sql =
            "SELECT id FROM incarnations WHERE state = 'gone' AND queue <> '' ORDER BY id LIMIT ?";
        ids(&sqlx::query(sql)
            .bind(limit)
            .fetch_all(self.readers())
            .await?)
    }

    pub async fn queue_deleted(&self, id: i64) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query("UPDATE incarnations SET queue = '' WHERE id = ? AND state = 'gone'")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }

    pub async fn queues(&self, limit: i64) -> sqlx::Result<Vec<i64>> {
        let sql = "SELECT id FROM incarnations WHERE queue <> '' ORDER BY id LIMIT ?";
        ids(&sqlx::query(sql)
            .bind(limit)
            .fetch_all(self.readers())
            .await?)
    }

    pub async fn generations(&self) -> sqlx::Result<Vec<(i64, i64)>> {
        let rows = sqlx::query(
            "SELECT id, generation FROM incarnations WHERE state <> 'gone' ORDER BY id",
        )
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }

    pub async fn live_publishers(&self) -> sqlx::Result<Vec<i64>> {
        let sql = format!(
            "SELECT id FROM incarnations WHERE state = 'live' AND queue <> '' AND heartbeat_at_ms + lease_ms >= {NOW_MS} ORDER BY id"
        );
        ids(&sqlx::query(&sql).fetch_all(self.readers()).await?)
    }

    pub async fn fence_live(&self) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query("UPDATE incarnations SET generation = generation + 1 WHERE state = 'live'")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }

    pub async fn is_fenced(&self, id: i64, generation: i64, margin_ms: u64) -> sqlx::Result<bool> {
        let sql = format!(
            "SELECT COUNT(*) FROM incarnations WHERE id = ? AND state <> 'gone' AND acknowledged_generation < ?
             AND heartbeat_at_ms + lease_ms + ? >= {NOW_MS}"
        );
        let query = sqlx::query(&sql)
            .bind(id)
            .bind(generation)
            .bind(margin_ms.cast_signed());
        Ok(query
            .fetch_one(self.readers())
            .await?
            .try_get::<i64, _>(0)?
            == 0)
    }

    pub async fn consumer_session(&self, id: i64) -> sqlx::Result<Option<i64>> {
        let sql = "SELECT consumer_session FROM incarnations WHERE id = ? AND state <> 'gone' AND queue <> ''";
        let row = sqlx::query(sql)
            .bind(id)
            .fetch_optional(self.readers())
            .await?;
        row.map(|row| row.try_get(0)).transpose()
    }

    pub async fn marker_session(&self, nonce: u64) -> sqlx::Result<Option<i64>> {
        let sql = "SELECT consumer_session FROM markers WHERE nonce = ?";
        let row = sqlx::query(sql)
            .bind(nonce.cast_signed())
            .fetch_optional(self.readers())
            .await?;
        row.map(|row| row.try_get(0)).transpose()
    }

    pub async fn forget_markers(&self, before_ms: i64) -> sqlx::Result<()> {
        let sql = "SELECT nonce FROM markers WHERE committed_at_ms < ? LIMIT ?";
        let rows = sqlx::query(sql)
            .bind(before_ms)
            .bind(MARKERS_FORGOTTEN_MAX)
            .fetch_all(self.readers())
            .await?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        for nonce in ids(&rows)? {
            sqlx::query("DELETE FROM markers WHERE nonce = ?")
                .bind(nonce)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }
}

fn ids(rows: &[DbRow]) -> sqlx::Result<Vec<i64>> {
    rows.iter().map(|row| row.try_get(0)).collect()
}
