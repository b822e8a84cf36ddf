//! The end of a product: it is marked, and stays for the sake of its orders.

use super::handle::Store;
use super::products::note_change;
use super::stock_changes::LockedSale;
use database::{Arg, Result};
use engines::SaleId;

/// A sale that begins within so long may begin before every publisher has learnt that it does not, s.
const START_MARGIN_S: i64 = 5;

/// What became of the wish to delete a product; where it is refused nothing is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    Done,
    /// There is no such product, or it was deleted before.
    NoProduct,
    /// Its sale is on, or begins within [`START_MARGIN_S`], until then, unix s.
    OnSale(i64),
    /// Its sale is over, but orders of it may still become rows.
    Ending,
    /// Somebody has an order.
    HasOrders,
}

impl Store {
    /// Deletes a product whose sale is over or has never begun, and of which nobody has a live order.
    /// The window of one that is still to begin is closed, so that it ends as every sale does.
    pub async fn delete_product(&self, sale: SaleId) -> Result<Deleted> {
        let mut tx = self.database.begin().await?;
        let mut connection = tx.connection();
        if LockedSale::lock(&mut connection, sale).await?.is_none() {
            return Ok(Deleted::NoProduct);
        }
        let sql = format!(
            "SELECT p.sale_starts_at, p.sale_ends_at, s.ended, {},
             EXISTS (SELECT 1 FROM orders o WHERE o.product_id = s.product_id AND o.live = 1)
             FROM sales s JOIN products p ON p.id = s.product_id WHERE s.product_id = ?",
            connection.kind().now_ms()
        );
        type Row = (i64, i64, bool, i64, bool);
        let row: Option<Row> = connection.row(&sql, [sale]).await?;
        let Some((starts_at, ends_at, has_ended, now_ms, has_orders)) = row else {
            return Ok(Deleted::NoProduct);
        };
        let now_s = now_ms.div_euclid(1_000);
        let is_over = ends_at <= now_s;
        if !is_over && starts_at <= now_s + START_MARGIN_S {
            return Ok(Deleted::OnSale(ends_at));
        }
        if has_orders {
            return Ok(Deleted::HasOrders);
        }
        if is_over && !has_ended {
            return Ok(Deleted::Ending);
        }
        let ends_at = ends_at.min(now_s);
        let sql = "UPDATE products SET deleted_at = ?, updated_at = ?, sale_starts_at = ?, sale_ends_at = ? WHERE id = ?";
        let args = [
            Arg::from(now_s),
            now_s.into(),
            starts_at.min(ends_at - 1).into(),
            ends_at.into(),
            sale.into(),
        ];
        connection.run(sql, args).await?;
        note_change(&mut connection, sale).await?;
        tx.commit().await?;
        Ok(Deleted::Done)
    }
}
