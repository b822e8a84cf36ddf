//! How far the reconciler has gone through the orders, oldest first, in search of those that were
//! not paid in time.
//!
//! The place is an order id, and ids are ordered by the time of their minting. It moves forward only
//! over orders that it has looked at, and over none whose row is written but not yet committed:
//! whoever writes the row of an order that is older than a moment looks where the place is, in the
//! same transaction, and takes it back if it is beyond. Whose row was younger when it was written is
//! waited for, however long the commit takes.

use super::handle::Store;
use super::types::status;
use crate::clock::unix_ms;
use crate::order_id::minted_at_ms;
use database::{Arg, Connection, DatabaseKind, Result, fault};
use engines::OrderId;

/// An order younger than this is not looked for yet: the shortest time to pay is 1,000 ms, and the
/// clocks of a publisher, its consumer and the database may be so far apart as the rest is long.
const YOUNG_MS: i64 = 500;

/// A page of orders, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderSweep {
    /// Those of it that are to be paid.
    pub unpaid: Vec<OrderId>,
    /// The last of the page, if it is full: the next begins behind it.
    pub last: Option<OrderId>,
}

/// What became of a move of the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceMove {
    /// It is where it was to be.
    Moved,
    /// Somebody is writing a row in between; nothing is known of it before they have committed.
    Held,
    /// It was not where it was thought to be, or an order in between is to be paid, whose row came
    /// while the others were looked at: the walk begins again where the place is now.
    TakenBack,
}

impl Store {
    /// Up to which order everything was looked at.
    pub async fn expiry_place(&self) -> Result<OrderId> {
        let sql = "SELECT order_id FROM sweeps WHERE name = 'expiry'";
        let place = self.database.row(sql, database::NO_ARGS).await?;
        place.ok_or(database::Error::RowNotFound)
    }

    /// The orders behind `after`, up to and with `until`; at most `limit`.
    pub async fn sweep_orders(
        &self,
        after: OrderId,
        until: OrderId,
        limit: usize,
    ) -> Result<OrderSweep> {
        let sql = "SELECT order_id, status FROM orders WHERE order_id > ? AND order_id <= ? ORDER BY order_id LIMIT ?";
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let args = [Arg::from(after), until.into(), most.into()];
        let rows: Vec<(OrderId, i64)> = self.database.rows(sql, args).await?;
        let last = rows.last().map(|(order, _)| *order);
        let unpaid = rows.iter().filter(|(_, state)| *state == status::TO_PAY);
        Ok(OrderSweep {
            unpaid: unpaid.map(|(order, _)| *order).collect(),
            last: last.filter(|_| rows.len() == limit),
        })
    }

    /// Moves the place from where it was read to be over orders that were looked at.
    pub async fn move_expiry_place(&self, from: OrderId, to: OrderId) -> Result<PlaceMove> {
        if self.is_written_between(from, to).await? {
            return Ok(PlaceMove::Held);
        }
        let mut tx = self.database.begin().await?;
        let mut connection = tx.connection();
        let sql = "UPDATE sweeps SET order_id = ? WHERE name = 'expiry' AND order_id = ?";
        let moved = connection.run(sql, [to, from]).await? == 1;
        // Read with the place locked: a row that is not seen here has yet to be committed, and whoever
        // writes it will find the place beyond it.
        let unpaid = "SELECT order_id FROM orders WHERE order_id > ? AND order_id <= ? AND status = 0 LIMIT 1";
        let unpaid: Option<OrderId> = connection.row(unpaid, [from, to]).await?;
        if !moved || unpaid.is_some() {
            tx.rollback().await?;
            return Ok(PlaceMove::TakenBack);
        }
        tx.commit().await.map(|()| PlaceMove::Moved)
    }

    /// Whether somebody is writing a row of these orders. A row of MySQL that is not committed is seen
    /// by its lock alone; a writing transaction of SQLite has the whole file, and nobody's place
    /// moves beside it.
    async fn is_written_between(&self, from: OrderId, to: OrderId) -> Result<bool> {
        if self.database.kind() == DatabaseKind::Sqlite {
            return Ok(false);
        }
        // The status makes it read the rows themselves. Locks are gone with the end of the statement.
        let sql = "SELECT COUNT(*) FROM orders WHERE order_id > ? AND order_id <= ? AND status >= 0 FOR UPDATE NOWAIT";
        let counted: Result<Option<i64>> = self.database.row(sql, [from, to]).await;
        match counted {
            Ok(_) => Ok(false),
            Err(error) if fault::is_locked(&error) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// Belongs into every transaction that writes rows of orders that are to be paid: `oldest` is the
/// first of them. While it is under way the place does not move, and if it is beyond `oldest`, it is
/// taken back behind the order before.
pub(super) async fn look_again(connection: &mut Connection<'_>, oldest: OrderId) -> Result<()> {
    if minted_at_ms(oldest) > unix_ms() - YOUNG_MS {
        return Ok(());
    }
    // Whoever reads it shared and then changes it waits for all others who do the same, and they for
    // them: so it is first seen, without a lock, which of the two this is likely to be.
    let place = "SELECT order_id FROM sweeps WHERE name = 'expiry'";
    let seen: Option<OrderId> = connection.row(place, database::NO_ARGS).await?;
    if seen.is_some_and(|place| place < oldest) {
        // Shared: consumers that are late need not wait for each other.
        let shared = format!("{place}{}", connection.kind().for_share());
        let place: Option<OrderId> = connection.row(&shared, database::NO_ARGS).await?;
        if place.is_none_or(|place| place < oldest) {
            return Ok(());
        }
    }
    // Without a condition on the place: a row that does not match it is not locked, and could then
    // move before the commit.
    let before = OrderId(oldest.0 - 1);
    let sql = "UPDATE sweeps SET order_id = CASE WHEN order_id > ? THEN ? ELSE order_id END WHERE name = 'expiry'";
    connection.run(sql, [before, before]).await.map(drop)
}

/// The same for orders that are surely older than what the expiry may have seen, as those of a replay.
/// It stores how far it has come on the condition that nobody has changed that, so it is changed in any
/// case: it may be about to pass them by.
pub(super) async fn take_back(connection: &mut Connection<'_>, oldest: OrderId) -> Result<()> {
    let before = OrderId(oldest.0 - 1);
    let sql = "UPDATE sweeps SET order_id = CASE WHEN order_id > ? THEN ? ELSE order_id - 1 END WHERE name = 'expiry'";
    connection.run(sql, [before, before]).await.map(drop)
}
