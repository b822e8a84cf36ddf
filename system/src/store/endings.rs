//! The end of a sale, and what is known of it afterwards.

use super::handle::Store;
use super::types::{PastSale, Poison, SaleRow};
use database::fixed_rows::{BATCH, Statement};
use database::{Arg, NO_ARGS, Result};
use engines::{Epoch, OrderId, SaleId, UserId};

/// Ended sales looked at in one statement for a window that has moved.
const MOVED_MAX: i64 = 1_000;

impl Store {
    /// The database's clock, unix ms. Whether a window is open is a matter of the hour; nothing that
    /// a lease depends on is read from it.
    pub async fn now_ms(&self) -> Result<i64> {
        let sql = format!("SELECT {}", self.database.now_ms());
        let now_ms = self.database.row(&sql, NO_ARGS).await?;
        now_ms.ok_or(database::Error::RowNotFound)
    }

    /// open-by-condition (R14): takes the next epoch number for the end of the sale, so that from
    /// here on nobody learns its term, and no opening that began before can be completed. `None`:
    /// another claim was faster, or its window has been moved and is not over at `now_ms`.
    pub async fn claim_end(&self, row: &SaleRow, now_ms: i64) -> Result<Option<Epoch>> {
        let next = Epoch(row.newest.0 + 1);
        let sql = "UPDATE sales SET newest_epoch = ?, ending_epoch = ?, open_epoch = NULL
             WHERE product_id = ? AND newest_epoch = ?
             AND (SELECT sale_ends_at FROM products WHERE id = ?) * 1000 <= ?";
        let args = [
            Arg::from(next),
            next.into(),
            row.sale.into(),
            row.newest.into(),
            row.sale.into(),
            now_ms.into(),
        ];
        Ok((self.database.run(sql, args).await? == 1).then_some(next))
    }

    /// The engine has forgotten the sale, and every order has its row: nobody looks after it any
    /// more. `false`: a newer epoch has been claimed meanwhile, or its window has been moved and is
    /// not over at `now_ms`, or a whole message is parked and may be an order of it
    /// (parked-is-final, R10). Whoever had not read of the end yet may have sold in that window, and
    /// the row of what they sold may still be coming: the next epoch drains for it.
    pub async fn end_sale(&self, sale: SaleId, epoch: Epoch, now_ms: i64) -> Result<bool> {
        let sql = "UPDATE sales SET ended = 1 WHERE product_id = ? AND newest_epoch = ? AND ending_epoch = ?
             AND (SELECT sale_ends_at FROM products WHERE id = ?) * 1000 <= ?
             AND NOT EXISTS (SELECT 1 FROM parked WHERE order_id = ? AND resolved = 0)";
        let args = [
            Arg::from(sale),
            epoch.into(),
            epoch.into(),
            sale.into(),
            now_ms.into(),
            Poison::WHOLE_MESSAGE.into(),
        ];
        Ok(self.database.run(sql, args).await? == 1)
    }

    /// Finds ended sales whose window has been moved and is not over at `now_ms`: they are looked
    /// after again, which opens their next epoch. How many.
    pub async fn take_back_moved(&self, now_ms: i64) -> Result<u64> {
        let sql = "SELECT s.product_id FROM products p JOIN sales s ON s.product_id = p.id
             WHERE p.sale_ends_at > ? AND s.ended = 1 LIMIT ?";
        let moved: Vec<SaleId> = self.database.rows(sql, [now_ms / 1_000, MOVED_MAX]).await?;
        let mut taken = 0;
        for sale in moved {
            let sql = "UPDATE sales SET ended = 0 WHERE product_id = ? AND ended = 1";
            taken += self.database.run(sql, [sale]).await?;
        }
        Ok(taken)
    }

    /// What the rows say of these buyers of a sale, in one statement, so that "it has ended" and
    /// "they have no order" are of the same moment. `None`: there is no such sale.
    pub async fn past_sale(&self, sale: SaleId, users: &[UserId]) -> Result<Option<PastSale>> {
        static SELECT: Statement = Statement::new(
            BATCH,
            "SELECT s.ended, COALESCE(s.ending_epoch = s.newest_epoch, 0), p.deleted_at IS NOT NULL, o.user_id,
             o.order_id FROM sales s JOIN products p ON p.id = s.product_id LEFT JOIN orders o ON o.product_id = s.product_id AND o.live = 1 AND o.user_id IN (",
            "?",
            ") WHERE s.product_id = ?",
        );
        type Row = (bool, bool, bool, Option<UserId>, Option<OrderId>);
        let mut past: Option<PastSale> = None;
        let ids: Vec<i64> = users.iter().map(|user| user.0).collect();
        for slice in BATCH.padded(&ids) {
            let args = slice.iter().copied().chain([sale.0]);
            let select = SELECT.for_rows(slice.len());
            let rows: Vec<Row> = self.database.rows(select, args).await?;
            for (ended, ending, deleted, user, order) in rows {
                let past = past.get_or_insert_default();
                (past.has_ended, past.is_ending, past.is_deleted) = (ended, ending, deleted);
                past.orders.extend(user.zip(order));
            }
        }
        Ok(past)
    }
}
