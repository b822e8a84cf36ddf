//! What is done in the outbox and may go after a while. A call reads and deletes no more than a page
//! of each kind, however much there is.

use super::handle::Store;
use crate::order_id::minted_at_ms;
use database::Result;
use database::fixed_rows::{BULK, Statement};
use engines::OrderId;

/// Rows of one kind looked at, and deleted, in one call.
const PAGE: i64 = 1_000;

impl Store {
    /// Deletes a bounded number of rows of the outbox that were done before `before_ms`, unix ms, and
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
        Ok(forgotten + self.delete_from_outbox(&old).await?)
    }

    /// Copies that are not published and were written before `before_ms`. A row has no time of its
    /// own; it is surely older than that if neither its order is younger nor the last change of it,
    /// and then so are those with smaller numbers.
    async fn old_copies(&self, before_ms: i64) -> Result<Vec<i64>> {
        let sql = "SELECT o.id, o.order_id, COALESCE(r.updated_at_ms, 0) FROM outbox o
             LEFT JOIN orders r ON r.order_id = o.order_id
             WHERE o.kind = 'copy' AND o.published_at_ms IS NULL ORDER BY o.id LIMIT ?";
        let rows: Vec<(i64, OrderId, i64)> = self.database.rows(sql, [PAGE]).await?;
        let is_old = |(_, order, changed_at_ms): &(i64, OrderId, i64)| {
            order.0 > 0 && minted_at_ms(*order) < before_ms && *changed_at_ms < before_ms
        };
        let old = rows.iter().rposition(is_old).map_or(0, |last| last + 1);
        Ok(rows[..old].iter().map(|(id, ..)| *id).collect())
    }

    async fn delete_from_outbox(&self, ids: &[i64]) -> Result<u64> {
        static DELETE: Statement =
            Statement::new(BULK, "DELETE FROM outbox WHERE id IN (", "?", ")");
        let mut deleted = 0;
        for slice in BULK.cut(ids) {
            let sql = DELETE.for_rows(slice.len());
            deleted += self.database.run(sql, slice).await?;
        }
        Ok(deleted)
    }
}
