//! Changes of a sale's total that administrators ask for. What is wanted stands in the sale's row
//! until its next epoch grants it, behind fence and drain (units-in-one-place, R16).
//!
//! Each change has a row of its own, under the key that makes a repeat harmless. Whoever writes one
//! has locked the row of its sale before, as the grant has that answers it.

use super::handle::Store;
use database::{Arg, Connection, Result, fault};
use engines::SaleId;

/// Most units of one sale: the wire has no larger number for them.
pub const TOTAL_MAX: i64 = i32::MAX as i64;
/// Changes of one sale that wait for the same epoch; more are turned away.
const WAITING_MAX: i64 = 1_000;

/// A change of a sale's total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockChange {
    /// Whose total it is.
    pub sale: SaleId,
    /// What was to be added, or, negative, taken away; 0: the sale was created with its total.
    pub delta: i64,
    /// What the total was to become with it.
    pub wanted_total: i64,
    /// What it became, more than wanted by as many units as were sold too many; `None`: the next
    /// epoch says it.
    pub applied_total: Option<i64>,
}

/// What became of the wish for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It is there, from now on or since the key was used first.
    Known(StockChange),
    /// There is no such sale.
    NoSale,
    /// The window of the sale is over, so that it has no next epoch.
    Over,
    /// The total would become negative, or larger than [`TOTAL_MAX`]; what it is now, or is to
    /// become.
    OutOfRange(i64),
    /// [`WAITING_MAX`] others wait.
    Crowded,
    /// The key stands for something else.
    KeyUsed(StockChange),
}

/// A sale whose row is locked.
#[derive(Clone, Copy, Debug)]
pub(super) struct LockedSale {
    pub sale: SaleId,
    pub total: i64,
    pub wanted_total: Option<i64>,
}

impl LockedSale {
    /// Locks the row of a sale, if there is one whose product was not deleted.
    pub async fn lock(connection: &mut Connection<'_>, sale: SaleId) -> Result<Option<Self>> {
        let for_update = connection.for_update();
        let sql = format!("SELECT total, wanted_total FROM sales WHERE product_id = ?{for_update}");
        let row: Option<(i64, Option<i64>)> = connection.row(&sql, [sale]).await?;
        let Some((total, wanted_total)) = row else {
            return Ok(None);
        };
        let is_there = "SELECT id FROM products WHERE id = ? AND deleted_at IS NULL";
        let product: Option<SaleId> = connection.row(is_there, [sale]).await?;
        Ok(product.map(|sale| Self {
            sale,
            total,
            wanted_total,
        }))
    }

    /// What the total will be if nothing else is asked for.
    pub fn target(&self) -> i64 {
        self.wanted_total.unwrap_or(self.total)
    }

    /// Whether its window is over, by the database's clock.
    pub async fn is_over(&self, connection: &mut Connection<'_>) -> Result<bool> {
        let sql = format!(
            "SELECT sale_ends_at * 1000 <= {} FROM products WHERE id = ?",
            connection.kind().now_ms()
        );
        let is_over = connection.row(&sql, [self.sale]).await?;
        Ok(is_over.unwrap_or(true))
    }

    /// Asks for another total, under a key that nothing stands under yet. No row is written where it
    /// is refused.
    pub async fn want(
        &self,
        connection: &mut Connection<'_>,
        key: &str,
        delta: i64,
    ) -> Result<Wish> {
        let target = self.target();
        let wanted_total = target.saturating_add(delta);
        if !(0..=TOTAL_MAX).contains(&wanted_total) {
            return Ok(Wish::OutOfRange(target));
        }
        if self.is_over(connection).await? {
            return Ok(Wish::Over);
        }
        let waiting =
            "SELECT COUNT(*) FROM stock_changes WHERE product_id = ? AND applied_total IS NULL";
        let waiting: Option<i64> = connection.row(waiting, [self.sale]).await?;
        if waiting.unwrap_or_default() >= WAITING_MAX {
            return Ok(Wish::Crowded);
        }
        let change = StockChange {
            sale: self.sale,
            delta,
            wanted_total,
            applied_total: None,
        };
        record(connection, key, &change, "").await?;
        let want = "UPDATE sales SET wanted_total = ? WHERE product_id = ?";
        connection.run(want, [wanted_total, self.sale.0]).await?;
        Ok(Wish::Known(change))
    }
}

/// Writes a change down; a unique violation if something stands under its key. `content`: a digest of
/// the product that was created with it, if one was.
pub(super) async fn record(
    connection: &mut Connection<'_>,
    key: &str,
    change: &StockChange,
    content: &str,
) -> Result<()> {
    let sql = format!(
        "INSERT INTO stock_changes (idempotency_key, product_id, delta, wanted_total, applied_total, content, created_at_ms)
         VALUES (?, ?, ?, ?, ?, ?, {})",
        connection.kind().now_ms()
    );
    let args = [
        Arg::from(key),
        change.sale.into(),
        change.delta.into(),
        change.wanted_total.into(),
        change.applied_total.into(),
        content.into(),
    ];
    connection.run(&sql, args).await.map(drop)
}

/// grant-under-lock (R11), units-in-one-place (R16): makes the total what is wanted, or as near to it
/// as live orders leave it, in the transaction that grants it. `taken`: units of live orders. Who
/// asked reads their answer from their rows: units that could not be taken away are missing from the
/// latest changes that were to take some.
pub(super) async fn apply(
    connection: &mut Connection<'_>,
    sale: SaleId,
    wanted_total: i64,
    taken: i64,
) -> Result<i64> {
    let total = wanted_total.max(taken);
    let apply = "UPDATE sales SET total = ?, wanted_total = NULL WHERE product_id = ?";
    connection.run(apply, [total, sale.0]).await?;
    let waiting = "SELECT idempotency_key, delta, wanted_total FROM stock_changes
         WHERE product_id = ? AND applied_total IS NULL ORDER BY created_at_ms DESC, wanted_total";
    // As bytes: that is how a column comes that is compared byte for byte.
    let waiting: Vec<(Vec<u8>, i64, i64)> = connection.rows(waiting, [sale]).await?;
    let mut missing = total - wanted_total;
    for (key, delta, wanted) in waiting {
        let missed = missing.min((-delta).max(0));
        missing -= missed;
        let answer = format!(
            "UPDATE stock_changes SET applied_total = ?, applied_at_ms = {} WHERE idempotency_key = ?",
            connection.kind().now_ms()
        );
        let key = String::from_utf8_lossy(&key);
        let args = [Arg::from(wanted + missed), key.as_ref().into()];
        connection.run(&answer, args).await?;
    }
    Ok(total)
}

impl Store {
    /// Asks for `delta` units more, or fewer, of a sale, once under each key: again it is what it was.
    pub async fn change_stock(&self, sale: SaleId, delta: i64, key: &str) -> Result<Wish> {
        if let Some(known) = self.stock_change(key).await? {
            return Ok(known.repeated(sale, delta));
        }
        let mut tx = self.database.begin().await?;
        let mut connection = tx.connection();
        let Some(locked) = LockedSale::lock(&mut connection, sale).await? else {
            return Ok(Wish::NoSale);
        };
        let wish = match locked.want(&mut connection, key, delta).await {
            Ok(wish @ Wish::Known(_)) => wish,
            Ok(refused) => return Ok(refused),
            // Somebody else has just used it, and has committed: the index made us wait for that.
            Err(error) if fault::is_unique_violation(&error) => {
                tx.rollback().await?;
                let known = self.stock_change(key).await?;
                return known.map(|known| known.repeated(sale, delta)).ok_or(error);
            }
            Err(error) => return Err(error),
        };
        tx.commit().await?;
        Ok(wish)
    }

    /// What stands under a key.
    pub async fn stock_change(&self, key: &str) -> Result<Option<KnownChange>> {
        let sql =
            "SELECT content, product_id, delta, wanted_total, applied_total FROM stock_changes
             WHERE idempotency_key = ?";
        type Row = (String, SaleId, i64, i64, Option<i64>);
        let row: Option<Row> = self.database.row(sql, [key]).await?;
        let known = row.map(
            |(content, sale, delta, wanted_total, applied_total)| KnownChange {
                content,
                change: StockChange {
                    sale,
                    delta,
                    wanted_total,
                    applied_total,
                },
            },
        );
        Ok(known)
    }

    /// The units of a sale in all, as they were granted last; `None`: there is no such sale.
    pub async fn total(&self, sale: SaleId) -> Result<Option<i64>> {
        let sql = "SELECT total FROM sales WHERE product_id = ?";
        self.database.row(sql, [sale]).await
    }

    /// Whether the window of a sale is over, by the database's clock; also of one that is not there.
    pub async fn is_over(&self, sale: SaleId) -> Result<bool> {
        let sql = format!(
            "SELECT sale_ends_at * 1000 <= {} FROM products WHERE id = ?",
            self.database.now_ms()
        );
        Ok(self.database.row(&sql, [sale]).await?.unwrap_or(true))
    }
}

/// What was found under a key.
#[derive(Clone, Debug)]
pub struct KnownChange {
    /// A digest of the product that was created, if one was.
    pub content: String,
    pub change: StockChange,
}

impl KnownChange {
    fn repeated(self, sale: SaleId, delta: i64) -> Wish {
        match self.change.sale == sale && self.change.delta == delta && self.content.is_empty() {
            true => Wish::Known(self.change),
            false => Wish::KeyUsed(self.change),
        }
    }
}
