//! The gate rows of `database-row`: who may not buy again, and which of their holds are open.

use super::{Tx, not_done};
use crate::fixed_rows::{self, Statement};
use crate::{HoldPage, IncarnationId, OpenHold, OpeningBuyer, OrderId, Reserve, Result, Term, UserId};
use sqlx::Row;
use sqlx::mysql::MySqlRow;
use std::collections::HashMap;

const COLUMNS: &str = "user_id, order_id, quantity, is_open, is_marked, touched_at_ms, touched_by";

/// One buyer's row, and what has to be done with it at the end of the batch.
#[derive(Debug)]
pub struct GateRow {
    pub user: UserId,
    pub order: OrderId,
    pub quantity: u32,
    pub is_open: bool,
    pub is_marked: bool,
    pub touched_at_ms: i64,
    touched_by: Vec<u8>,
    change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    None,
    Insert,
    Update,
    Delete,
    /// Granted and released within one batch, or already gone: there is no row to touch.
    Gone,
}

impl GateRow {
    /// The row of a new grant; `known` is the released row of the same batch that it replaces.
    pub fn granted(item: &Reserve, now_ms: i64, known: Option<Self>) -> Self {
        let replaces_a_row = known.is_some_and(|known| known.change == Change::Delete);
        Self {
            user: item.user,
            order: item.order,
            quantity: item.quantity,
            is_open: true,
            is_marked: false,
            touched_at_ms: now_ms,
            touched_by: item.incarnation.0.to_le_bytes().to_vec(),
            change: if replaces_a_row { Change::Update } else { Change::Insert },
        }
    }

    pub fn is_cleared(&self) -> bool {
        matches!(self.change, Change::Delete | Change::Gone)
    }

    /// Touches an open hold; `false` if no further incarnation fits.
    pub fn touch(&mut self, now_ms: i64, incarnation: IncarnationId, incarnations_max: usize) -> bool {
        let id = incarnation.0.to_le_bytes();
        if !self.touched_by.chunks_exact(8).any(|known| known == id) {
            if self.touched_by.len() / 8 >= incarnations_max {
                return false;
            }
            self.touched_by.extend_from_slice(&id);
        }
        self.touched_at_ms = now_ms;
        self.changed();
        true
    }

    pub fn settle(&mut self) {
        self.is_open = false;
        self.is_marked = false;
        self.touched_by.clear();
        self.changed();
    }

    pub fn clear(&mut self) {
        self.change = if self.change == Change::Insert { Change::Gone } else { Change::Delete };
    }

    fn changed(&mut self) {
        if self.change == Change::None {
            self.change = Change::Update;
        }
    }

    fn read(row: &MySqlRow) -> sqlx::Result<Self> {
        Ok(Self {
            user: UserId(row.try_get(0)?),
            order: OrderId(row.try_get(1)?),
            quantity: row.try_get(2)?,
            is_open: row.try_get::<i8, _>(3)? != 0,
            is_marked: row.try_get::<i8, _>(4)? != 0,
            touched_at_ms: row.try_get(5)?,
            touched_by: row.try_get(6)?,
            change: Change::None,
        })
    }

    fn into_hold(self, now_ms: i64) -> OpenHold {
        let touched_by = self.touched_by.as_chunks::<8>().0.iter().map(|id| IncarnationId(i64::from_le_bytes(*id)));
        OpenHold {
            order: self.order,
            user: self.user,
            quantity: self.quantity,
            touched_at_ms: self.touched_at_ms,
            age_ms: u64::try_from(now_ms - self.touched_at_ms).unwrap_or(0),
            touched_by: touched_by.collect(),
            marked: self.is_marked,
        }
    }
}

/// The rows of `users` by user id.
pub async fn read_users(tx: &mut Tx<'_>, term: &Term, users: &[i64]) -> Result<HashMap<i64, GateRow>> {
    static SELECT: Statement = Statement::new(
        "SELECT user_id, order_id, quantity, is_open, is_marked, touched_at_ms, touched_by FROM engine_gate
         WHERE sale_id = ? AND user_id IN (",
        "?",
        ")",
    );
    let mut gates = HashMap::with_capacity(users.len());
    for slice in fixed_rows::cut(users) {
        let query = sqlx::query(SELECT.for_rows(slice.len())).bind(term.sale.0);
        let rows =
            slice.iter().fold(query, |query, user| query.bind(user)).fetch_all(&mut **tx).await.map_err(not_done)?;
        for row in &rows {
            let gate = GateRow::read(row).map_err(not_done)?;
            gates.insert(gate.user.0, gate);
        }
    }
    Ok(gates)
}

/// Writes what the batch has changed.
pub async fn write(tx: &mut Tx<'_>, term: &Term, gates: &HashMap<i64, GateRow>) -> Result<()> {
    static UPSERT: Statement = Statement::new(
        "INSERT INTO engine_gate (sale_id, user_id, order_id, quantity, is_open, is_marked, touched_at_ms, touched_by) VALUES ",
        "(?, ?, ?, ?, ?, ?, ?, ?)",
        " ON DUPLICATE KEY UPDATE order_id = VALUES(order_id), quantity = VALUES(quantity), is_open = VALUES(is_open),
         is_marked = VALUES(is_marked), touched_at_ms = VALUES(touched_at_ms), touched_by = VALUES(touched_by)",
    );
    static DELETE: Statement = Statement::new("DELETE FROM engine_gate WHERE sale_id = ? AND user_id IN (", "?", ")");
    let changed =
        |wanted: &[Change]| -> Vec<&GateRow> { gates.values().filter(|gate| wanted.contains(&gate.change)).collect() };
    for slice in fixed_rows::cut(&changed(&[Change::Insert, Change::Update])) {
        let mut query = sqlx::query(UPSERT.for_rows(slice.len()));
        for gate in slice {
            query = query
                .bind(term.sale.0)
                .bind(gate.user.0)
                .bind(gate.order.0)
                .bind(gate.quantity)
                .bind(gate.is_open)
                .bind(gate.is_marked)
                .bind(gate.touched_at_ms)
                .bind(&gate.touched_by);
        }
        query.execute(&mut **tx).await.map_err(not_done)?;
    }
    for slice in fixed_rows::cut(&changed(&[Change::Delete])) {
        let query = sqlx::query(DELETE.for_rows(slice.len())).bind(term.sale.0);
        slice.iter().fold(query, |query, gate| query.bind(gate.user.0)).execute(&mut **tx).await.map_err(not_done)?;
    }
    Ok(())
}

/// Throws away what an older epoch left and loads the settled buyers of the new one.
pub async fn replace_all(tx: &mut Tx<'_>, term: &Term, buyers: &[OpeningBuyer]) -> Result<()> {
    static INSERT: Statement = Statement::new(
        "INSERT INTO engine_gate (sale_id, user_id, order_id, quantity, is_open, touched_at_ms, touched_by) VALUES ",
        "(?, ?, ?, ?, 0, 0, '')",
        "",
    );
    sqlx::query("DELETE FROM engine_gate WHERE sale_id = ?")
        .bind(term.sale.0)
        .execute(&mut **tx)
        .await
        .map_err(not_done)?;
    for slice in fixed_rows::cut(buyers) {
        let mut query = sqlx::query(INSERT.for_rows(slice.len()));
        for buyer in slice {
            query = query.bind(term.sale.0).bind(buyer.user.0).bind(buyer.order.0).bind(buyer.quantity);
        }
        query.execute(&mut **tx).await.map_err(not_done)?;
    }
    Ok(())
}

/// One page of open holds, in ascending order of their ids; the cursor is the last id of the page before.
pub async fn list(
    tx: &mut Tx<'_>,
    term: &Term,
    now_ms: i64,
    untouched_for_ms: u64,
    cursor: u64,
    limit: u32,
) -> Result<HoldPage> {
    let sql = format!(
        "SELECT {COLUMNS} FROM engine_gate WHERE sale_id = ? AND is_open = 1 AND order_id > ? ORDER BY order_id LIMIT ?"
    );
    let rows =
        sqlx::query(&sql).bind(term.sale.0).bind(cursor).bind(limit).fetch_all(&mut **tx).await.map_err(not_done)?;
    let gates = rows.iter().map(GateRow::read).collect::<sqlx::Result<Vec<_>>>().map_err(not_done)?;
    let is_full = gates.len() == limit as usize;
    let next = gates.last().filter(|_| is_full).and_then(|gate| u64::try_from(gate.order.0).ok());
    let holds = gates.into_iter().map(|gate| gate.into_hold(now_ms)).filter(|hold| hold.age_ms >= untouched_for_ms);
    Ok(HoldPage { holds: holds.collect(), next })
}

/// Marks those of `orders` that are old enough; returns those that are marked now. Age test and mark happen under the
/// lock of the stock row, so no touch can come between (R8).
pub async fn mark(
    tx: &mut Tx<'_>,
    term: &Term,
    now_ms: i64,
    untouched_for_ms: u64,
    orders: &[OrderId],
) -> Result<HoldPage> {
    let mut page = HoldPage::default();
    let sql = format!("SELECT {COLUMNS} FROM engine_gate WHERE sale_id = ? AND is_open = 1 AND order_id = ?");
    for order in orders {
        let row =
            sqlx::query(&sql).bind(term.sale.0).bind(order.0).fetch_optional(&mut **tx).await.map_err(not_done)?;
        let Some(row) = row else { continue };
        let mut hold = GateRow::read(&row).map_err(not_done)?.into_hold(now_ms);
        if !hold.marked && hold.age_ms >= untouched_for_ms {
            sqlx::query("UPDATE engine_gate SET is_marked = 1 WHERE sale_id = ? AND user_id = ?")
                .bind(term.sale.0)
                .bind(hold.user.0)
                .execute(&mut **tx)
                .await
                .map_err(not_done)?;
            hold.marked = true;
        }
        if hold.marked {
            page.holds.push(hold);
        }
    }
    Ok(page)
}
