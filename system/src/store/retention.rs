//! What is done in the outbox and may go after a while, and what there is nothing left to do about.
//!
//! Everything here is bounded: a call reads and deletes no more than a page, however much there is.

use super::Store;
use crate::clock::unix_ms;
use crate::order_id::minted_at_ms;
use database::fixed_rows::{BULK, Statement};
use database::{Arg, Result};
use engines::{OrderId, SaleId};

/// Rows of one kind looked at, and deleted, in one call.
const PAGE: i64 = 1_000;

/// How far a walk through the releases that are left has come; the default is its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReleasePlace {
    sale: SaleId,
    id: i64,
}

/// What a page of the releases that are left showed.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReleasePage {
    /// How many of them there was nothing left to do about; they are done now.
    pub over: u64,
    /// Where the next page begins; `None` at the end.
    pub next: Option<ReleasePlace>,
}

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

    /// release-by-epoch (R12): looks at a page of the releases that are left, and marks those done
    /// whose sale has ended or has a later epoch open.
    pub async fn close_releases(&self, from: ReleasePlace) -> Result<ReleasePage> {
        static CLOSE: Statement = Statement::new(
            BULK,
            "UPDATE outbox SET released_at_ms = ? WHERE kind = 'release' AND released_at_ms IS NULL AND id IN (",
            "?",
            ")",
        );
        let sql = "SELECT o.product_id, o.id, s.ended = 1 OR COALESCE(s.open_epoch, 0) > o.epoch
             FROM outbox o JOIN sales s ON s.product_id = o.product_id
             WHERE o.kind = 'release' AND o.released_at_ms IS NULL
             AND (o.product_id > ? OR (o.product_id = ? AND o.id > ?)) ORDER BY o.product_id, o.id LIMIT ?";
        let args = [
            Arg::from(from.sale),
            from.sale.into(),
            from.id.into(),
            PAGE.into(),
        ];
        let rows: Vec<(SaleId, i64, bool)> = self.database.rows(sql, args).await?;
        let over = rows.iter().filter(|(_, _, is_over)| *is_over);
        let over: Vec<i64> = over.map(|(_, id, _)| *id).collect();
        let mut closed = 0;
        for slice in BULK.cut(&over) {
            let args = std::iter::once(unix_ms()).chain(slice.iter().copied());
            closed += self.database.run(CLOSE.for_rows(slice.len()), args).await?;
        }
        let is_last = i64::try_from(rows.len()).is_ok_and(|found| found < PAGE);
        let next = rows.last().filter(|_| !is_last);
        Ok(ReleasePage {
            over: closed,
            next: next.map(|(sale, id, _)| ReleasePlace {
                sale: *sale,
                id: *id,
            }),
        })
    }
}
