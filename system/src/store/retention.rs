//! What is done of releases and copies and may go after a while. A call reads and deletes no more than a page
//! of each kind, however much there is.

use super::handle::Store;
use database::Result;
use database::fixed_rows::{BULK, Statement};

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
