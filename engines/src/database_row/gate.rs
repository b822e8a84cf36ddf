//! The gate rows of engines with a stock row: who may not buy again, and which of their holds are open.

use super::failures::not_done;
use super::guard::Reader;
use crate::helpers::clock::millis;
use crate::{
    HoldKey, HoldPage, HoldPageQuery, IncarnationId, OpenHold, OpeningBuyer, OrderId, PAGE_MAX,
    Reserve, Result, SaleId, UserId,
};
use database::fixed_rows::{BATCH, Statement};
use database::{Arg, Connection};
use std::collections::{HashMap, HashSet};

/// Incarnations remembered per hold; beyond that the buyer is told "busy", so that none is ever
/// forgotten: mark-with-age (R8).
const INCARNATIONS_MAX: usize = 64;
/// Rows deleted in one transaction, so that those who wait for it do not wait long.
const DELETED_AT_ONCE: i64 = 5_000;

/// The rows of one batch by buyer; a buyer without one may buy.
pub type Gates = HashMap<UserId, GateRow>;

/// One buyer's row, and what has to be done with it at the end of the batch.
#[derive(Debug)]
pub struct GateRow {
    pub user: UserId,
    pub order: OrderId,
    pub quantity: u32,
    pub is_open: bool,
    pub is_marked: bool,
    touched_at_ms: i64,
    touched_by: Vec<u8>,
    change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    None,
    Write,
    Settle,
    Delete,
}

impl GateRow {
    pub fn granted(item: &Reserve, now_ms: i64) -> Self {
        Self {
            user: item.user,
            order: item.order,
            quantity: item.quantity,
            is_open: true,
            is_marked: false,
            touched_at_ms: now_ms,
            touched_by: item.incarnation.0.to_le_bytes().to_vec(),
            change: Change::Write,
        }
    }

    /// The row of a buyer whose order is in the database already.
    fn loaded(buyer: &OpeningBuyer) -> Self {
        Self {
            user: buyer.user,
            order: buyer.order,
            quantity: buyer.quantity,
            is_open: false,
            is_marked: false,
            touched_at_ms: 0,
            touched_by: Vec::new(),
            change: Change::Write,
        }
    }

    /// Touches an open hold; `false` if no further incarnation fits.
    pub fn touch(&mut self, now_ms: i64, incarnation: IncarnationId) -> bool {
        let id = incarnation.0.to_le_bytes();
        let is_known = self
            .touched_by
            .chunks_exact(id.len())
            .any(|known| known == id);
        if !is_known {
            if self.touched_by.len() / id.len() >= INCARNATIONS_MAX {
                return false;
            }
            self.touched_by.extend_from_slice(&id);
        }
        self.touched_at_ms = now_ms;
        self.change = Change::Write;
        true
    }

    pub fn settle(&mut self) {
        self.is_open = false;
        self.change = Change::Settle;
    }

    pub fn clear(&mut self) {
        self.change = Change::Delete;
    }

    pub fn is_cleared(&self) -> bool {
        self.change == Change::Delete
    }

    pub fn mark(&mut self) {
        self.is_marked = true;
        self.change = Change::Write;
    }

    pub fn age_ms(&self, now_ms: i64) -> u64 {
        u64::try_from(now_ms - self.touched_at_ms).unwrap_or(0)
    }

    fn key(&self) -> HoldKey {
        HoldKey {
            user: self.user,
            order: self.order,
        }
    }

    pub fn to_hold(&self, now_ms: i64) -> OpenHold {
        let touched_by = self
            .touched_by
            .as_chunks::<8>()
            .0
            .iter()
            .map(|id| IncarnationId(i64::from_le_bytes(*id)));
        OpenHold {
            order: self.order,
            user: self.user,
            quantity: self.quantity,
            touched_at_ms: self.touched_at_ms,
            age_ms: self.age_ms(now_ms),
            touched_by: touched_by.collect(),
            marked: self.is_marked,
        }
    }
}

/// Whether `gates` must be written back.
pub fn is_changed(gates: &Gates) -> bool {
    gates.values().any(|gate| gate.change != Change::None)
}

/// The rows of these users.
pub async fn of_users(
    reader: &mut Reader<'_>,
    sale: SaleId,
    users: impl Iterator<Item = UserId>,
) -> Result<Gates> {
    static SELECT: Statement = Statement::new(
        BATCH,
        "SELECT user_id, order_id, quantity, is_open, is_marked, touched_at_ms, touched_by FROM engine_gate
         WHERE sale_id = ? AND user_id IN (",
        "?",
        ")",
    );
    let users: Vec<i64> = users.map(|user| user.0).collect();
    select(reader, &SELECT, sale, &users).await
}

/// The rows of those of these holds that are open.
pub async fn of_open_holds(
    reader: &mut Reader<'_>,
    sale: SaleId,
    holds: &[HoldKey],
) -> Result<Gates> {
    let mut gates = of_users(reader, sale, holds.iter().map(|hold| hold.user)).await?;
    let asked: HashSet<HoldKey> = holds.iter().copied().collect();
    gates.retain(|_, gate| gate.is_open && asked.contains(&gate.key()));
    Ok(gates)
}

async fn select(
    reader: &mut Reader<'_>,
    select: &Statement,
    sale: SaleId,
    ids: &[i64],
) -> Result<Gates> {
    let mut gates = Gates::with_capacity(ids.len());
    for ids in BATCH.padded(ids) {
        let args: Vec<i64> = [sale.0].into_iter().chain(ids.iter().copied()).collect();
        gates.extend(
            read(reader, select.for_rows(ids.len()), &args)
                .await?
                .map(|gate| (gate.user, gate)),
        );
    }
    Ok(gates)
}

async fn read(
    reader: &mut Reader<'_>,
    sql: &str,
    args: &[i64],
) -> Result<impl Iterator<Item = GateRow>> {
    let rows = reader
        .rows::<(i64, i64, i64, bool, bool, i64, Vec<u8>)>(sql, args)
        .await?;
    Ok(rows.into_iter().map(
        |(user, order, quantity, is_open, is_marked, touched_at_ms, touched_by)| GateRow {
            user: UserId(user),
            order: OrderId(order),
            quantity: u32::try_from(quantity).unwrap_or(u32::MAX),
            is_open,
            is_marked,
            touched_at_ms,
            touched_by,
            change: Change::None,
        },
    ))
}

/// Writes what the batch has changed.
pub async fn write(connection: &mut Connection<'_>, sale: SaleId, gates: &Gates) -> Result<()> {
    static SETTLE: Statement = Statement::new(
        BATCH,
        "UPDATE engine_gate SET is_open = 0, is_marked = 0, touched_by = X'' WHERE sale_id = ? AND user_id IN (",
        "?",
        ")",
    );
    static DELETE: Statement = Statement::new(
        BATCH,
        "DELETE FROM engine_gate WHERE sale_id = ? AND user_id IN (",
        "?",
        ")",
    );
    let changed = |change| {
        let mut changed: Vec<&GateRow> = gates
            .values()
            .filter(|gate| gate.change == change)
            .collect();
        changed.sort_unstable_by_key(|gate| gate.user);
        changed
    };
    replace(connection, sale, &changed(Change::Write)).await?;
    for (statement, change) in [(&SETTLE, Change::Settle), (&DELETE, Change::Delete)] {
        let users: Vec<i64> = changed(change).iter().map(|gate| gate.user.0).collect();
        for users in BATCH.padded(&users) {
            let args: Vec<i64> = [sale.0].into_iter().chain(users.iter().copied()).collect();
            connection
                .run(statement.for_rows(users.len()), &args)
                .await
                .map_err(not_done)?;
        }
    }
    Ok(())
}

async fn replace(connection: &mut Connection<'_>, sale: SaleId, gates: &[&GateRow]) -> Result<()> {
    static REPLACE: Statement = Statement::new(
        BATCH,
        "REPLACE INTO engine_gate
         (sale_id, user_id, order_id, quantity, is_open, is_marked, touched_at_ms, touched_by) VALUES ",
        "(?, ?, ?, ?, ?, ?, ?, ?)",
        "",
    );
    for slice in BATCH.cut(gates) {
        let mut args = Vec::with_capacity(8 * slice.len());
        for gate in slice {
            let numbers = [sale.0, gate.user.0, gate.order.0, i64::from(gate.quantity)];
            args.extend(numbers.map(Arg::Number));
            args.extend([gate.is_open, gate.is_marked].map(|is_so| Arg::Number(i64::from(is_so))));
            args.extend([
                Arg::Number(gate.touched_at_ms),
                Arg::Bytes(&gate.touched_by),
            ]);
        }
        connection
            .run(REPLACE.for_rows(slice.len()), &args)
            .await
            .map_err(not_done)?;
    }
    Ok(())
}

/// Throws away what an older epoch left and loads the settled buyers of the new one.
pub async fn replace_all(
    connection: &mut Connection<'_>,
    sale: SaleId,
    buyers: &[OpeningBuyer],
) -> Result<()> {
    connection
        .run("DELETE FROM engine_gate WHERE sale_id = ?", &[sale.0])
        .await
        .map_err(not_done)?;
    for buyers in buyers.chunks(BATCH.most()) {
        let gates: Vec<GateRow> = buyers.iter().map(GateRow::loaded).collect();
        replace(connection, sale, &gates.iter().collect::<Vec<_>>()).await?;
    }
    Ok(())
}

/// One page of open holds, in ascending order of their ids; the cursor is the last id of the page
/// before.
pub async fn list(
    reader: &mut Reader<'_>,
    (sale, now_ms): (SaleId, i64),
    page: &HoldPageQuery,
) -> Result<HoldPage> {
    let sql = "SELECT user_id, order_id, quantity, is_open, is_marked, touched_at_ms, touched_by FROM engine_gate
               WHERE sale_id = ? AND is_open = 1 AND order_id > ? ORDER BY order_id LIMIT ?";
    let limit = page.limit.clamp(1, PAGE_MAX);
    let args = [
        sale.0,
        i64::try_from(page.cursor).unwrap_or(i64::MAX),
        i64::from(limit),
    ];
    let gates: Vec<GateRow> = read(reader, sql, &args).await?.collect();
    let is_full = gates.len() == limit as usize;
    let next = gates
        .last()
        .filter(|_| is_full)
        .and_then(|gate| u64::try_from(gate.order.0).ok());
    let old = gates
        .iter()
        .filter(|gate| gate.age_ms(now_ms) >= millis(page.age));
    Ok(HoldPage {
        holds: old.map(|gate| gate.to_hold(now_ms)).collect(),
        next,
    })
}

/// Units of the open holds.
pub async fn open_units(reader: &mut Reader<'_>, sale: SaleId) -> Result<i64> {
    let sql = "SELECT quantity FROM engine_gate WHERE sale_id = ? AND is_open = 1";
    Ok(reader.rows::<i64>(sql, [sale.0]).await?.iter().sum())
}

/// Deletes up to [`DELETED_AT_ONCE`] rows of a sale; whether none is left.
pub async fn delete_some(connection: &mut Connection<'_>, sale: SaleId) -> Result<bool> {
    let first_left =
        "SELECT user_id FROM engine_gate WHERE sale_id = ? ORDER BY user_id LIMIT 1 OFFSET ?";
    let args = [sale.0, DELETED_AT_ONCE];
    let left = connection.rows::<[i64; 1]>(first_left, &args).await;
    let left = left.map_err(not_done)?;
    let (sql, args) = match left.first() {
        Some([user]) => (
            "DELETE FROM engine_gate WHERE sale_id = ? AND user_id < ?",
            vec![sale.0, *user],
        ),
        None => ("DELETE FROM engine_gate WHERE sale_id = ?", vec![sale.0]),
    };
    connection.run(sql, &args).await.map_err(not_done)?;
    Ok(left.is_empty())
}
