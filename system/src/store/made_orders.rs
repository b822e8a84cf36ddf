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

/// Leave to buy under a key. One request has it at a time, and it ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuyingTurn {
    /// Whose it is: a random number.
    pub number: i64,
    /// By the database's clock.
    pub lasts_ms: u64,
}

impl Store {
    /// Remembers what is asked under a key that nothing stood under, and takes the turn; `false`: by
    /// now something does.
    pub async fn begin_made_order(&self, made: &MadeOrder, turn: BuyingTurn) -> Result<bool> {
        let sql = format!(
            "INSERT INTO made_orders (idempotency_key, user_id, product_id, quantity, created_at_ms, turn, turn_ends_at_ms)
             VALUES (?, ?, ?, ?, ?, ?, {} + ?)",
            self.database.now_ms()
        );
        let args = [
            Arg::from(made.key.as_str()),
            made.user.into(),
            made.sale.into(),
            made.quantity.into(),
            unix_ms().into(),
            turn.number.into(),
            turn.lasts_ms.into(),
        ];
        match self.database.run(&sql, args).await {
            Ok(_) => Ok(true),
            Err(error) if fault::is_unique_violation(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes the turn under a key of which nobody knows what it became; `false`: somebody has it.
    pub async fn take_buying_turn(&self, key: &str, turn: BuyingTurn) -> Result<bool> {
        let now_ms = self.database.now_ms();
        let sql = format!(
            "UPDATE made_orders SET turn = ?, turn_ends_at_ms = {now_ms} + ?
             WHERE idempotency_key = ? AND order_id = 0 AND turn_ends_at_ms <= {now_ms}"
        );
        let args = [Arg::from(turn.number), turn.lasts_ms.into(), key.into()];
        Ok(self.database.run(&sql, args).await? == 1)
    }

    /// Ends the turn: nothing that was asked for in it can still be bought.
    pub async fn end_buying_turn(&self, key: &str, turn: BuyingTurn) -> Result<()> {
        let sql =
            "UPDATE made_orders SET turn_ends_at_ms = 0 WHERE idempotency_key = ? AND turn = ?";
        let args = [Arg::from(key), turn.number.into()];
        self.database.run(sql, args).await.map(drop)
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
    /// For whoever has the turn: of all others nobody knows what becomes of what they asked.
    pub async fn forget_made_order(&self, key: &str, turn: BuyingTurn) -> Result<()> {
        let sql = "DELETE FROM made_orders WHERE idempotency_key = ? AND order_id = 0 AND turn = ?";
        let args = [Arg::from(key), turn.number.into()];
        self.database.run(sql, args).await.map(drop)
    }

    /// It became this order, even if somebody has forgotten it meanwhile who was refused. What stands
    /// under the key from now on: what was concluded first.
    pub async fn conclude_made_order(&self, made: &MadeOrder, order: OrderId) -> Result<OrderId> {
        let no_turn = BuyingTurn {
            number: 0,
            lasts_ms: 0,
        };
        self.begin_made_order(made, no_turn).await?;
        let sql = "UPDATE made_orders SET order_id = ? WHERE idempotency_key = ? AND order_id = 0";
        let args = [Arg::from(order), made.key.as_str().into()];
        self.database.run(sql, args).await?;
        let known = self.made_order(&made.key).await?;
        Ok(known.and_then(|known| known.order).unwrap_or(order))
    }
}
