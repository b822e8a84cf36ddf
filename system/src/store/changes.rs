//! What becomes of an order after it is a row: it is cancelled, paid, completed, or expires. Each
//! happens once, whoever asks for it, how often and at the same time as whom.
//!
//! Everything that is asked at the same time is written together, in one transaction per sale, under
//! locks that are always taken in the same order: the open pool of the sale, the other allocations by
//! id, the orders. An order is read before that without a lock, and changed only if it is still in the
//! state that it was in. The opening of an epoch locks allocations before it reads orders, too
//! (grant-under-lock, R11), so the two never wait for each other.
//!
//! cancel-moves-the-right (R15): the right to the units of a cancelled order moves in the same
//! transaction. release-by-epoch (R12): the release that is left to be done names the epoch of the
//! pool that is locked here; `sales.open_epoch` is still the old one while the next is being opened.

mod plan;

pub use plan::{OrderChange, OrderChanged, OrderWish};

use super::handle::Store;
use super::types::OrderState;
use crate::clock::unix_ms;
use crate::failpoint;
use crate::order_id::{minted_at_ms, worker_of};
use database::fixed_rows::{BATCH, Statement};
use database::{Connection, Error, Result, Tx, fault};
use engines::{AllocationId, Epoch, OrderId, SaleId, UserId};
use futures_util::{FutureExt, StreamExt, stream};
use plan::{Pool, Row};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

/// A transaction that lost against another one is tried again so often, after a pause that grows,
/// and not after [`ATTEMPTS_MAX`]: other sales wait behind it.
const ATTEMPTS: u32 = 20;
const ATTEMPTS_MAX: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);
/// Sales changed at the same time, of those of one batch.
const SALES_AT_ONCE: usize = 3;
/// By how much a publisher's clock may be behind the database's, or step back: a day.
const CLOCKS_APART_MS: i64 = 86_400_000;

/// What became of a batch of changes.
#[derive(Debug)]
pub struct Changes {
    /// In the order in which they were asked for.
    pub answers: Vec<OrderChanged>,
    /// Sales whose orders could not be changed, or perhaps were, and why.
    pub failed: Vec<(SaleId, Error)>,
}

type Columns = (OrderId, UserId, SaleId, u32, AllocationId, i64, bool);

impl Store {
    /// Does what is asked, each order by itself, each sale by itself: what one sale meets with is
    /// nothing to the others. With `copies`, listeners are told of what was cancelled.
    ///
    /// # Errors
    /// When the database cannot be asked for the orders. Nothing is done then.
    pub async fn change_orders(&self, changes: &[OrderChange], copies: bool) -> Result<Changes> {
        let rows = self.rows_of(changes).await?;
        let mut failed = Vec::new();
        let mut answers = vec![OrderChanged::NoRow; changes.len()];
        let mut by_sale: BTreeMap<SaleId, Vec<usize>> = BTreeMap::new();
        for (at, change) in changes.iter().enumerate() {
            let Some(row) = rows.get(&change.order) else {
                continue;
            };
            match plan::refused(change, row) {
                // States only go forward, so what is refused now is refused under the lock, too.
                Some(answer) => answers[at] = answer,
                None => by_sale.entry(row.sale).or_default().push(at),
            }
        }
        let changing = by_sale.into_iter().map(|(sale, positions)| {
            let asked: Vec<OrderChange> = positions.iter().map(|at| changes[*at]).collect();
            let changing = self.change_in_sale(sale, asked, &rows, copies);
            changing.map(move |changed| (sale, positions, changed))
        });
        let changing: Vec<_> = changing.collect();
        let mut changing = stream::iter(changing).buffer_unordered(SALES_AT_ONCE);
        while let Some((sale, positions, changed)) = changing.next().await {
            let changed = changed.unwrap_or_else(|error| {
                failed.push((sale, error));
                vec![OrderChanged::Unknown; positions.len()]
            });
            for (at, answer) in positions.into_iter().zip(changed) {
                answers[at] = answer;
            }
        }
        Ok(Changes { answers, failed })
    }

    /// The rows that are there, without a lock.
    async fn rows_of(&self, changes: &[OrderChange]) -> Result<HashMap<OrderId, Row>> {
        let ids = ids(changes);
        let mut rows = HashMap::with_capacity(ids.len());
        for slice in BATCH.padded(&ids) {
            let sql = SELECT.for_rows(slice.len());
            let found: Vec<Columns> = self.database.rows(sql, slice.iter().copied()).await?;
            rows.extend(found.into_iter().map(read));
        }
        Ok(rows)
    }

    /// `changes` are of orders of this sale, whose rows are there, as they were a moment ago.
    async fn change_in_sale(
        &self,
        sale: SaleId,
        changes: Vec<OrderChange>,
        rows: &HashMap<OrderId, Row>,
        copies: bool,
    ) -> Result<Vec<OrderChanged>> {
        let (mut attempt, started) = (1, Instant::now());
        let mut rows = Cow::Borrowed(rows);
        loop {
            let lost = match self.try_in_sale(sale, &changes, &rows, copies).await {
                Ok(Some(changed)) => return Ok(changed),
                Ok(None) => Error::Protocol(format!("sale {sale}: it was changed every time")),
                Err(error) if fault::may_be_repeated(&error) || fault::is_busy(&error) => error,
                Err(error) => return Err(error),
            };
            if attempt == ATTEMPTS || started.elapsed() > ATTEMPTS_MAX {
                return Err(lost);
            }
            tokio::time::sleep(PAUSE * attempt).await;
            attempt += 1;
            rows = Cow::Owned(self.rows_of(&changes).await?);
        }
    }

    /// Decides by `rows`, and changes an order only if it is still as it was there. `None`: one is not,
    /// or a new epoch began meanwhile, and nothing is done.
    async fn try_in_sale(
        &self,
        sale: SaleId,
        changes: &[OrderChange],
        rows: &HashMap<OrderId, Row>,
        copies: bool,
    ) -> Result<Option<Vec<OrderChanged>>> {
        let giving_back = changes.iter().filter(|change| change.wish.gives_back());
        let allocations: BTreeSet<AllocationId> = giving_back
            .filter_map(|change| Some(rows.get(&change.order)?.allocation))
            .collect();
        let pool = match allocations.is_empty() {
            true => None,
            false => Some(self.open_pool(sale).await?),
        };
        let mut tx = self.database.begin().await?;
        let mut connection = tx.connection();
        let pool = match pool {
            None => None,
            Some(pool) => match lock_allocations(&mut connection, pool, allocations).await? {
                Some(epoch) => Some(Pool {
                    allocation: pool,
                    epoch,
                }),
                None => {
                    self.pools.forget(sale);
                    tx.rollback().await?;
                    return Ok(None);
                }
            },
        };
        failpoint::hit("order.after_pool_lock");
        let (mut changed, plan) = plan::decide(changes, rows, pool);
        let now_ms = unix_ms();
        if !plan.step(&mut connection, now_ms).await? {
            tx.rollback().await?;
            return Ok(None);
        }
        let row = plan.write_rest(&mut connection, copies, now_ms).await?;
        failpoint::hit("order.before_commit");
        commit(tx).await?;
        failpoint::hit("order.after_commit");
        if let Some(row) = row {
            changed = changed.into_iter().map(|one| one.written_in(row)).collect();
        }
        Ok(Some(changed))
    }

    /// The pool of the newest epoch that was granted, as it was a while ago. It may be closed until it
    /// is locked.
    async fn open_pool(&self, sale: SaleId) -> Result<AllocationId> {
        if let Some(known) = self.pools.of(sale) {
            return Ok(known);
        }
        let sql =
            "SELECT id FROM allocations WHERE product_id = ? AND holder = 'pool' AND state = 'open'
             ORDER BY id DESC LIMIT 1";
        let pool: Option<AllocationId> = self.database.row(sql, [sale]).await?;
        let nowhere = || Error::Protocol(format!("sale {sale} has orders and no open allocation"));
        let pool = pool.ok_or_else(nowhere)?;
        self.pools.remember(sale, pool);
        Ok(pool)
    }

    /// Those of these orders whose rows are not there and may still come: somebody who may have
    /// minted their ids, after they had registered, is not drained yet, or something of theirs is
    /// parked. One statement, however many are asked for: few incarnations are left.
    pub async fn may_come(&self, orders: &[OrderId]) -> Result<HashSet<OrderId>> {
        let Some(first_ms) = orders.iter().copied().map(minted_at_ms).min() else {
            return Ok(HashSet::new());
        };
        let sql = "SELECT i.worker_id, i.registered_at_ms, i.minted_until_ms FROM incarnations i WHERE i.minted_until_ms >= ?
             AND (i.state <> 'gone' OR EXISTS (SELECT 1 FROM parked p WHERE p.incarnation = i.id AND p.resolved = 0))";
        let minters: Vec<(i64, i64, i64)> = self.database.rows(sql, [first_ms]).await?;
        let may_come = |order: &OrderId| {
            let (worker, minted_ms) = (worker_of(*order).0, minted_at_ms(*order));
            let registered_by_ms = minted_ms.saturating_add(CLOCKS_APART_MS);
            minters.iter().any(|(of, registered_ms, until_ms)| {
                *of == worker && *until_ms >= minted_ms && *registered_ms <= registered_by_ms
            })
        };
        Ok(orders.iter().copied().filter(may_come).collect())
    }
}

/// A commit that got no answer is not tried again: it may have been made.
async fn commit(tx: Tx<'_>) -> Result<()> {
    tx.commit().await.map_err(|error| match error {
        Error::Io(why) => Error::Protocol(format!("the commit got no answer: {why}")),
        error => error,
    })
}

static SELECT: Statement = Statement::new(
    BATCH,
    "SELECT order_id, user_id, product_id, quantity, allocation_id, status, expired FROM orders WHERE order_id IN (",
    "?",
    ")",
);
fn read(columns: Columns) -> (OrderId, Row) {
    let (order, user, sale, quantity, allocation, status, expired) = columns;
    let row = Row {
        order,
        user,
        sale,
        quantity,
        allocation,
        state: OrderState::of(status, expired),
    };
    (order, row)
}

/// Ascending, each once.
fn ids(changes: &[OrderChange]) -> Vec<i64> {
    let ids: BTreeSet<i64> = changes.iter().map(|change| change.order.0).collect();
    ids.into_iter().collect()
}

/// The epoch of the pool; `None`: it has been closed meanwhile.
async fn lock_allocations(
    connection: &mut Connection<'_>,
    pool: AllocationId,
    others: BTreeSet<AllocationId>,
) -> Result<Option<Epoch>> {
    let for_update = connection.for_update();
    let sql = format!("SELECT state = 'open', epoch FROM allocations WHERE id = ?{for_update}");
    let Some((true, epoch)) = connection.row::<(bool, Epoch)>(&sql, [pool]).await? else {
        return Ok(None);
    };
    for other in others {
        if other != pool {
            connection.row::<(bool, Epoch)>(&sql, [other]).await?;
        }
    }
    Ok(Some(epoch))
}
