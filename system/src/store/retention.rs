//! What is done and may go after a while: releases and copies, dead letters that are resolved, and the keys
//! of administrators. A call reads and deletes no more than a page of each kind, however much there is.

use super::handle::Store;
use database::fixed_rows::{BULK, Statement};
use database::{Arg, Result};

/// Rows of one kind looked at, and deleted, in one call.
const PAGE: i64 = 1_000;

impl Store {
    /// Deletes a bounded number of releases and copies that were done before `before_ms`, unix ms, and
    /// of copies that are older and that nobody took; how many. A release that is not done stays,
    /// whatever its age.
    pub async fn forget_outbox(&self, before_ms: i64) -> Result<u64> {
        let released = "SELECT id FROM outbox WHERE kind = 'release' AND released_at_ms < ? ORDER BY released_at_ms LIMIT ?";
        let published = "SELECT id FROM outbox WHERE kind = 'copy' AND published_at_ms < ? ORDER BY published_at_ms LIMIT ?";
        let mut forgotten = 0;
        for done in [released, published] {
            let ids: Vec<i64> = self.database.rows(done, [before_ms, PAGE]).await?;
            forgotten += self.delete_from_outbox(&ids).await?;
        }
        let old = self.old_copies(before_ms).await?;
        forgotten += self.delete_from_outbox(&old).await?;
        Ok(forgotten + self.forget_releases(before_ms).await?)
    }

    /// Deletes a bounded number of dead letters that were resolved before `before_ms`; how many. One
    /// that is open stays, whatever its age. So does every one of an incarnation that is not over: its
    /// publisher compares how much of it was ever parked (parked-is-final, R10).
    pub async fn forget_dead_letters(&self, before_ms: i64) -> Result<u64> {
        let sql = "SELECT id FROM parked WHERE resolved = 1 AND resolved_at_ms < ?
             AND NOT EXISTS (SELECT 1 FROM incarnations i WHERE i.id = parked.incarnation AND i.state <> 'gone')
             ORDER BY resolved_at_ms LIMIT ?";
        let ids: Vec<i64> = self.database.rows(sql, [before_ms, PAGE]).await?;
        static DELETE: Statement = Statement::new(
            BULK,
            "DELETE FROM parked WHERE id IN (",
            "?",
            ") AND resolved = 1",
        );
        self.delete(&DELETE, &ids).await
    }

    /// Deletes a bounded number of keys under which nothing has been asked since `before_ms`; how many.
    /// A change of stock that no epoch has answered stays, whatever its age.
    pub async fn forget_keys(&self, before_ms: i64) -> Result<u64> {
        let changes = "SELECT idempotency_key FROM stock_changes WHERE created_at_ms < ? AND applied_total IS NOT NULL
             AND (applied_at_ms IS NULL OR applied_at_ms < ?) ORDER BY created_at_ms LIMIT ?";
        static CHANGES: Statement = Statement::new(
            BULK,
            "DELETE FROM stock_changes WHERE idempotency_key IN (",
            "?",
            ")",
        );
        let orders = "SELECT idempotency_key FROM made_orders WHERE created_at_ms < ? AND turn_ends_at_ms < ?
             ORDER BY created_at_ms LIMIT ?";
        static ORDERS: Statement = Statement::new(
            BULK,
            "DELETE FROM made_orders WHERE idempotency_key IN (",
            "?",
            ")",
        );
        let mut forgotten = 0;
        for (old, delete) in [(changes, &CHANGES), (orders, &ORDERS)] {
            // As bytes: that is how a column comes that is compared byte for byte.
            let keys: Vec<Vec<u8>> = self
                .database
                .rows(old, [before_ms, before_ms, PAGE])
                .await?;
            let keys: Vec<_> = keys
                .iter()
                .map(|key| String::from_utf8_lossy(key))
                .collect();
            for slice in BULK.cut(&keys) {
                let args = slice.iter().map(|key| Arg::from(key.as_ref()));
                forgotten += self
                    .database
                    .run(delete.for_rows(slice.len()), args)
                    .await?;
            }
        }
        Ok(forgotten)
    }

    async fn forget_releases(&self, before_ms: i64) -> Result<u64> {
        let sql =
            "SELECT id FROM releases WHERE released_at_ms < ? ORDER BY released_at_ms LIMIT ?";
        let ids: Vec<i64> = self.database.rows(sql, [before_ms, PAGE]).await?;
        static DELETE: Statement =
            Statement::new(BULK, "DELETE FROM releases WHERE id IN (", "?", ")");
        self.delete(&DELETE, &ids).await
    }

    /// Copies that are not published and were written before `before_ms`.
    async fn old_copies(&self, before_ms: i64) -> Result<Vec<i64>> {
        let sql = "SELECT id FROM outbox WHERE kind = 'copy' AND published_at_ms IS NULL AND written_at_ms < ?
             ORDER BY id LIMIT ?";
        self.database.rows(sql, [before_ms, PAGE]).await
    }

    async fn delete_from_outbox(&self, ids: &[i64]) -> Result<u64> {
        static DELETE: Statement =
            Statement::new(BULK, "DELETE FROM outbox WHERE id IN (", "?", ")");
        self.delete(&DELETE, ids).await
    }

    async fn delete(&self, delete: &'static Statement, ids: &[i64]) -> Result<u64> {
        let mut deleted = 0;
        for slice in BULK.cut(ids) {
            let sql = delete.for_rows(slice.len());
            deleted += self.database.run(sql, slice).await?;
        }
        Ok(deleted)
    }
}
