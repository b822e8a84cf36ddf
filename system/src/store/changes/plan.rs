//! What may become of an order in which state, decided for a whole batch under its locks, and what
//! has to be written for it.

use crate::store::outbox;
use crate::store::releases::{self, Release};
use crate::store::types::OrderState;
use database::fixed_rows::{BATCH, Statement};
use database::{Arg, Connection, Result};
use engines::{AllocationId, Epoch, OrderId, SaleId, UserId};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Of a release that is not written yet.
const NO_ROW: i64 = 0;

/// What is to become of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderChange {
    /// The order.
    pub order: OrderId,
    /// Who asks: its buyer, and nobody else. `None`: the system itself, or an administrator.
    pub by: Option<UserId>,
    /// What for.
    pub wish: OrderWish,
}

/// What somebody wants to become of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrderWish {
    /// Its buyer does not want it any more.
    Cancel,
    /// Its buyer pays.
    Pay,
    /// It was not paid in time.
    Expire,
    /// What was bought has been handed over.
    Complete,
}

impl OrderWish {
    /// Whether its units go back.
    pub fn gives_back(self) -> bool {
        matches!(self, Self::Cancel | Self::Expire)
    }

    /// In which state it can be granted, and in which the order is then.
    fn step(self) -> (OrderState, OrderState) {
        match self {
            Self::Cancel => (OrderState::ToPay, OrderState::Cancelled),
            Self::Pay => (OrderState::ToPay, OrderState::Paid),
            Self::Expire => (OrderState::ToPay, OrderState::Expired),
            Self::Complete => (OrderState::Paid, OrderState::Completed),
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderChanged {
    /// It is done, now; of what gives units back, their release is left to be done.
    Done(Option<Release>),
    /// The order is in a state in which this cannot be; nothing was written.
    Is(OrderState),
    /// There is no such order of theirs, and never will be.
    NotFound,
    /// There is no such row.
    NoRow,
    /// Nobody knows: asking again says what happened.
    Unknown,
}

impl OrderChanged {
    /// The release of it, if there is one, stands in this row.
    pub(super) fn written_in(self, row: i64) -> Self {
        match self {
            Self::Done(Some(release)) => Self::Done(Some(Release { row, ..release })),
            other => other,
        }
    }
}

/// An order as its row has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) order: OrderId,
    pub(super) user: UserId,
    pub(super) sale: SaleId,
    pub(super) quantity: u32,
    pub(super) allocation: AllocationId,
    /// `None`: it never was an order.
    pub(super) state: Option<OrderState>,
}

/// The allocation that units go back to, and its epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool {
    pub(super) allocation: AllocationId,
    pub(super) epoch: Epoch,
}

/// Why `change` cannot be made of an order in this state; `None` if it can.
pub(super) fn refused(change: &OrderChange, row: &Row) -> Option<OrderChanged> {
    let Some(state) = row.state else {
        return Some(OrderChanged::NotFound);
    };
    if change.by.is_some_and(|user| user != row.user) {
        return Some(OrderChanged::NotFound);
    }
    let (from, _) = change.wish.step();
    (state != from).then_some(OrderChanged::Is(state))
}

/// What a transaction writes.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Orders by what becomes of them.
    orders: BTreeMap<OrderWish, Vec<i64>>,
    /// By allocation: how `sold` and `granted` change.
    counts: BTreeMap<AllocationId, (i64, i64)>,
    releases: Vec<Release>,
}

/// Decides one after the other, as if they had come so, and says what is to be written.
pub(super) fn decide(
    changes: &[OrderChange],
    rows: &HashMap<OrderId, Row>,
    pool: Option<Pool>,
) -> (Vec<OrderChanged>, Plan) {
    let mut plan = Plan::default();
    let mut now: HashMap<OrderId, OrderState> = HashMap::new();
    let changed = changes.iter().map(|change| {
        let Some(mut row) = rows.get(&change.order).copied() else {
            return OrderChanged::NoRow;
        };
        row.state = now.get(&row.order).copied().or(row.state);
        if let Some(answer) = refused(change, &row) {
            return answer;
        }
        let (_, to) = change.wish.step();
        now.insert(row.order, to);
        plan.orders
            .entry(change.wish)
            .or_default()
            .push(row.order.0);
        let release = pool.filter(|_| change.wish.gives_back());
        OrderChanged::Done(release.map(|pool| plan.give_back(&row, pool)))
    });
    (changed.collect(), plan)
}

impl Plan {
    /// cancel-moves-the-right (R15): an order of the open pool was sold from it, and is not any more;
    /// the right to the units of any other leaves its allocation, and goes to the open pool.
    fn give_back(&mut self, row: &Row, pool: Pool) -> Release {
        let units = i64::from(row.quantity);
        let count = self.counts.entry(row.allocation).or_default();
        count.0 -= units;
        if row.allocation != pool.allocation {
            count.1 -= units;
            self.counts.entry(pool.allocation).or_default().1 += units;
        }
        let release = Release {
            row: NO_ROW,
            order: row.order,
            user: row.user,
            sale: row.sale,
            quantity: row.quantity,
            epoch: pool.epoch,
        };
        self.releases.push(release);
        release
    }

    /// Brings the orders into their states, each from the one that it was seen in. `false`: one is not
    /// in it any more, so nothing of this may be committed.
    pub(super) async fn step(&self, connection: &mut Connection<'_>, now_ms: i64) -> Result<bool> {
        for (wish, ids) in &self.orders {
            let mut found = 0;
            for slice in BATCH.padded(ids) {
                let args = std::iter::once(now_ms).chain(slice.iter().copied());
                let sql = update_to(*wish).for_rows(slice.len());
                found += connection.run(sql, args).await?;
            }
            if found != ids.len() as u64 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes what follows from that; returns the row of the releases, if there are any.
    pub(super) async fn write_rest(
        &self,
        connection: &mut Connection<'_>,
        copies: bool,
        now_ms: i64,
    ) -> Result<Option<i64>> {
        let sql = "UPDATE allocations SET sold = sold + ?, granted = granted + ? WHERE id = ?";
        for (allocation, (sold, granted)) in &self.counts {
            let args = [Arg::from(*sold), (*granted).into(), (*allocation).into()];
            connection.run(sql, args).await?;
        }
        let row = releases::insert_releases(connection, &self.releases, now_ms).await?;
        if copies {
            let expired = self.orders.get(&OrderWish::Expire);
            let expired: HashSet<i64> = expired.into_iter().flatten().copied().collect();
            outbox::insert_cancel_copies(connection, &self.releases, &expired, now_ms).await?;
        }
        Ok(row)
    }
}

/// Grants this wish to orders that are in the state in which it can be, in the order of
/// [`OrderWish::step`].
fn update_to(wish: OrderWish) -> &'static Statement {
    static CANCELLED: Statement = Statement::new(
        BATCH,
        "UPDATE orders SET status = 2, live = NULL, updated_at_ms = ? WHERE order_id IN (",
        "?",
        ") AND status = 0",
    );
    static PAID: Statement = Statement::new(
        BATCH,
        "UPDATE orders SET status = 1, updated_at_ms = ? WHERE order_id IN (",
        "?",
        ") AND status = 0",
    );
    static EXPIRED: Statement = Statement::new(
        BATCH,
        "UPDATE orders SET status = 2, live = NULL, expired = 1, updated_at_ms = ? WHERE order_id IN (",
        "?",
        ") AND status = 0",
    );
    static COMPLETED: Statement = Statement::new(
        BATCH,
        "UPDATE orders SET status = 3, updated_at_ms = ? WHERE order_id IN (",
        "?",
        ") AND status = 1",
    );
    match wish {
        OrderWish::Cancel => &CANCELLED,
        OrderWish::Pay => &PAID,
        OrderWish::Expire => &EXPIRED,
        OrderWish::Complete => &COMPLETED,
    }
}
