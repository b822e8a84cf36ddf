//! What may become of an order in which state, decided for a whole batch under its locks, and what
//! has to be written for it.

use crate::clock::unix_ms;
use crate::store::outbox::{self, Release};
use crate::store::types::OrderState;
use database::fixed_rows::{BATCH, Statement};
use database::{Arg, Connection, Result};
use engines::{AllocationId, Epoch, OrderId, SaleId, UserId};
use std::collections::{BTreeMap, HashMap};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Orders by the state that they are in from now on.
    now: BTreeMap<OrderState, Vec<i64>>,
    /// By allocation: how `sold` and `granted` change.
    counts: BTreeMap<AllocationId, (i64, i64)>,
    releases: Vec<(Release, OrderState)>,
}

/// Decides one after the other, as if they had come so, and says what is to be written.
pub(super) fn decide(
    changes: &[OrderChange],
    mut rows: HashMap<OrderId, Row>,
    pool: Option<Pool>,
) -> (Vec<OrderChanged>, Plan) {
    let mut plan = Plan::default();
    let changed = changes.iter().map(|change| {
        let Some(row) = rows.get_mut(&change.order) else {
            return OrderChanged::NoRow;
        };
        if let Some(answer) = refused(change, row) {
            return answer;
        }
        let (_, to) = change.wish.step();
        row.state = Some(to);
        plan.now.entry(to).or_default().push(row.order.0);
        let release = pool.filter(|_| change.wish.gives_back());
        OrderChanged::Done(release.map(|pool| plan.give_back(row, pool, to)))
    });
    (changed.collect(), plan)
}

impl Plan {
    /// cancel-moves-the-right (R15): an order of the open pool was sold from it, and is not any more;
    /// the right to the units of any other leaves its allocation, and goes to the open pool.
    fn give_back(&mut self, row: &Row, pool: Pool, to: OrderState) -> Release {
        let units = i64::from(row.quantity);
        let count = self.counts.entry(row.allocation).or_default();
        count.0 -= units;
        if row.allocation != pool.allocation {
            count.1 -= units;
            self.counts.entry(pool.allocation).or_default().1 += units;
        }
        let release = Release {
            order: row.order,
            user: row.user,
            sale: row.sale,
            quantity: row.quantity,
            epoch: pool.epoch,
        };
        self.releases.push((release, to));
        release
    }

    pub(super) async fn write(&self, connection: &mut Connection<'_>, copies: bool) -> Result<()> {
        let now_ms = unix_ms();
        let sql = "UPDATE allocations SET sold = sold + ?, granted = granted + ? WHERE id = ?";
        for (allocation, (sold, granted)) in &self.counts {
            let args = [Arg::from(*sold), (*granted).into(), (*allocation).into()];
            connection.run(sql, args).await?;
        }
        for (state, ids) in &self.now {
            for slice in BATCH.padded(ids) {
                let args = std::iter::once(now_ms).chain(slice.iter().copied());
                let sql = update_to(*state).for_rows(slice.len());
                connection.run(sql, args).await?;
            }
        }
        outbox::insert_releases(connection, &self.releases).await?;
        if copies {
            outbox::insert_cancel_copies(connection, &self.releases, now_ms).await?;
        }
        Ok(())
    }
}

/// Brings orders into this state.
fn update_to(state: OrderState) -> &'static Statement {
    static TO_PAY: Statement = Statement::new(
        BATCH,
        "UPDATE orders SET status = 0, live = 1, updated_at_ms = ? WHERE order_id IN (",
        "?",
        ")",
    );
    static PAID: Statement = Statement::new(
        BATCH,
        "UPDATE orders SET status = 1, updated_at_ms = ? WHERE order_id IN (",
        "?",
        ")",
    );
    static CANCELLED: Statement = Statement::new(
        BATCH,
        "UPDATE orders SET status = 2, live = NULL, updated_at_ms = ? WHERE order_id IN (",
        "?",
        ")",
    );
    static EXPIRED: Statement = Statement::new(
        BATCH,
        "UPDATE orders SET status = 2, live = NULL, expired = 1, updated_at_ms = ? WHERE order_id IN (",
        "?",
        ")",
    );
    static COMPLETED: Statement = Statement::new(
        BATCH,
        "UPDATE orders SET status = 3, updated_at_ms = ? WHERE order_id IN (",
        "?",
        ")",
    );
    match state {
        OrderState::ToPay => &TO_PAY,
        OrderState::Paid => &PAID,
        OrderState::Cancelled => &CANCELLED,
        OrderState::Expired => &EXPIRED,
        OrderState::Completed => &COMPLETED,
    }
}
