//! Orders as their buyers look at them. A VOID row never was one.

use super::handle::Store;
use super::types::{OrderState, status};
use database::{Arg, Result};
use engines::{OrderId, SaleId, UserId};

/// One order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderView {
    pub order: OrderId,
    pub user: UserId,
    pub sale: SaleId,
    pub quantity: u32,
    pub total_price_cents: i64,
    pub state: OrderState,
    /// Unix ms.
    pub created_at_ms: i64,
    /// Unix ms.
    pub updated_at_ms: i64,
}

type Columns = (OrderId, UserId, SaleId, u32, i64, i64, bool, i64, i64);

/// Which of a buyer's orders, newest first.
#[derive(Clone, Copy, Debug)]
pub struct OrderPage {
    pub user: UserId,
    /// Only orders before this one.
    pub before: OrderId,
    pub skip: i64,
    pub limit: i64,
}

impl Store {
    /// One order, whoever's.
    pub async fn order(&self, order: OrderId) -> Result<Option<OrderView>> {
        let sql = "SELECT order_id, user_id, product_id, quantity, total_price_cents, status, expired, created_at_ms,
             updated_at_ms FROM orders WHERE order_id = ?";
        let columns: Option<Columns> = self.database.row(sql, [order]).await?;
        Ok(columns.and_then(read))
    }

    /// A page of a buyer's orders. They are found product by product, by the key that keeps a buyer
    /// from buying twice: one of their own would cost every purchase.
    pub async fn orders_of(&self, page: &OrderPage) -> Result<Vec<OrderView>> {
        let of_key = |live: &str| {
            format!(
                "SELECT o.order_id, o.user_id, o.product_id, o.quantity, o.total_price_cents, o.status, o.expired,
                 o.created_at_ms, o.updated_at_ms FROM sales s JOIN orders o ON o.product_id = s.product_id
                 AND o.live {live} AND o.user_id = ? WHERE o.order_id < ? AND o.status <> {}",
                status::VOID
            )
        };
        let sql = format!(
            "{} UNION ALL {} ORDER BY 1 DESC LIMIT ? OFFSET ?",
            of_key("= 1"),
            of_key("IS NULL")
        );
        let args = [
            Arg::from(page.user),
            page.before.into(),
            page.user.into(),
            page.before.into(),
            page.limit.into(),
            page.skip.into(),
        ];
        let rows: Vec<Columns> = self.database.rows(&sql, args).await?;
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// How many orders a buyer has.
    pub async fn count_orders_of(&self, user: UserId) -> Result<i64> {
        let of_key = |live: &str| {
            format!(
                "(SELECT COUNT(*) FROM sales s JOIN orders o ON o.product_id = s.product_id AND o.live {live}
                  AND o.user_id = ? WHERE o.status <> {})",
                status::VOID
            )
        };
        let sql = format!("SELECT {} + {}", of_key("= 1"), of_key("IS NULL"));
        let count = self.database.row(&sql, [user, user]).await?;
        Ok(count.unwrap_or_default())
    }
}

fn read(columns: Columns) -> Option<OrderView> {
    let (order, user, sale, quantity, total_price_cents, status, expired, created, updated) =
        columns;
    Some(OrderView {
        order,
        user,
        sale,
        quantity,
        total_price_cents,
        state: OrderState::of(status, expired)?,
        created_at_ms: created,
        updated_at_ms: updated,
    })
}
