//! Orders that administrators make for others, by the key that makes a repeat harmless.

use super::handle::Store;
use crate::clock::unix_ms;
use database::{Arg, Result, fault};
use engines::{OrderId, SaleId, UserId};

/// What an administrator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeOrder {
    pub key: String,
    pub user: UserId,
    pub sale: SaleId,
    pub quantity: u32,
}

impl Store {
    /// Remembers what is asked under a key, and answers what is asked under it, which is something
    /// else if the key was used before, and which order that became, if it is known.
    pub async fn begin_made_order(&self, made: &MadeOrder) -> Result<(MadeOrder, Option<OrderId>)> {
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
            Ok(_) => return Ok((made.clone(), None)),
            Err(error) if fault::is_unique_violation(&error) => {}
            Err(error) => return Err(error),
        }
        let sql = "SELECT user_id, product_id, quantity, order_id FROM made_orders WHERE idempotency_key = ?";
        let found = self.database.row(sql, [made.key.as_str()]).await?;
        let (user, sale, quantity, order): (UserId, SaleId, u32, OrderId) =
            found.ok_or(database::Error::RowNotFound)?;
        let before = MadeOrder {
            key: made.key.clone(),
            user,
            sale,
            quantity,
        };
        Ok((before, (order.0 > 0).then_some(order)))
    }

    /// It became this order.
    pub async fn conclude_made_order(&self, key: &str, order: OrderId) -> Result<()> {
        let sql = "UPDATE made_orders SET order_id = ? WHERE idempotency_key = ? AND order_id = 0";
        let args = [Arg::from(order), key.into()];
        self.database.run(sql, args).await.map(drop)
    }
}
