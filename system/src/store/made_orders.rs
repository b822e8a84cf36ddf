//! Orders that administrators make for others, by the key that makes a repeat harmless.

use super::handle::Store;
use crate::clock::unix_ms;
use crate::order_id::last_minted_by;
use database::{Arg, Result, fault};
use engines::{OrderId, SaleId, UserId};

/// How far the clocks of whoever asks and of whoever mints order ids may be apart.
const CLOCKS_APART_MS: i64 = 1_000;

/// What an administrator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeOrder {
    pub key: String,
    pub user: UserId,
    pub sale: SaleId,
    pub quantity: u32,
}

/// What stands under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownOrder {
    pub asked: MadeOrder,
    /// What it became, if it is known.
    pub order: Option<OrderId>,
    /// When it was asked for first, unix ms.
    pub since_ms: i64,
}

impl Store {
    /// Remembers what is asked under a key that nothing stood under; `false`: by now something does.
    pub async fn begin_made_order(&self, made: &MadeOrder) -> Result<bool> {
        let sql = "INSERT INTO made_orders (idempotency_key, user_id, product_id, quantity, created_at_ms)
             VALUES (?, ?, ?, ?, ?)";
        let args = [
            Arg::from(made.key.as_str()),
            made.user.into(),
            made.sale.into(),
            made.quantity.into(),
            unix_ms().into(),
        ];
        match self.database.run(sql, args).await {
            Ok(_) => Ok(true),
            Err(error) if fault::is_unique_violation(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What was asked under a key before.
    pub async fn made_order(&self, key: &str) -> Result<Option<KnownOrder>> {
        let sql = "SELECT user_id, product_id, quantity, order_id, created_at_ms FROM made_orders WHERE idempotency_key = ?";
        type Row = (UserId, SaleId, u32, OrderId, i64);
        let found: Option<Row> = self.database.row(sql, [key]).await?;
        Ok(
            found.map(|(user, sale, quantity, order, since_ms)| KnownOrder {
                asked: MadeOrder {
                    key: key.to_owned(),
                    user,
                    sale,
                    quantity,
                },
                order: (order.0 > 0).then_some(order),
                since_ms,
            }),
        )
    }

    /// The first order of this buyer, sale and quantity since then that stands under no other key,
    /// whatever became of it.
    pub async fn order_since(&self, made: &MadeOrder, since_ms: i64) -> Result<Option<OrderId>> {
        let first = last_minted_by(since_ms.saturating_sub(CLOCKS_APART_MS));
        let sql = "SELECT order_id FROM orders WHERE product_id = ? AND (live = 1 OR live IS NULL) AND user_id = ?
             AND quantity = ? AND order_id > ? AND status <> 4
             AND NOT EXISTS (SELECT 1 FROM made_orders m WHERE m.order_id = orders.order_id AND m.user_id = orders.user_id
             AND m.idempotency_key <> ?)
             ORDER BY order_id LIMIT 1";
        let args = [
            Arg::from(made.sale),
            made.user.into(),
            made.quantity.into(),
            first.into(),
            made.key.as_str().into(),
        ];
        self.database.row(sql, args).await
    }

    /// Nothing was made under this key, and what is asked under it next is asked for the first time.
    /// For whoever asked first: of a repeat nobody knows what became of what was asked before.
    pub async fn forget_made_order(&self, key: &str) -> Result<()> {
        let sql = "DELETE FROM made_orders WHERE idempotency_key = ? AND order_id = 0";
        self.database.run(sql, [key]).await.map(drop)
    }

    /// It became this order, even if somebody has forgotten it meanwhile who was refused.
    pub async fn conclude_made_order(&self, made: &MadeOrder, order: OrderId) -> Result<()> {
        self.begin_made_order(made).await?;
        let sql = "UPDATE made_orders SET order_id = ? WHERE idempotency_key = ? AND order_id = 0";
        let args = [Arg::from(order), made.key.as_str().into()];
        self.database.run(sql, args).await.map(drop)
    }
}
