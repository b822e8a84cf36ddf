//! A consumer's transaction: rows, allocation guard, markers and parked poison, all or nothing; the
//! fast way first and then ever more carefully.
//!
//! 1. Everything is inserted in multi-row statements.
//! 2. If a key says that some rows are there already (a redelivery), those are looked up and the
//!    rest inserted.
//! 3. If the guard or a key refuses what is left, each order is tried alone, under a savepoint, and
//!    one that is refused is parked together with a VOID row (parked-is-final, R10).

use super::handle::Store;
use super::orders::{ORDER_VALUES, insert_void, values};
use super::outbox;
use super::parking::park;
use super::sweeps;
use super::types::{Poison, WriteBatch, Written};
use crate::clock::unix_ms;
use crate::envelope::OrderEvent;
use crate::failpoint;
use crate::ids::ConsumerSession;
use database::fixed_rows::{BULK, Statement};
use database::{Arg, Connection, Error, Result, Tx, fault};
use engines::{AllocationId, IncarnationId, OrderId};
use std::collections::{BTreeMap, HashSet};

static INSERT_ORDERS: Statement = Statement::new(
    BULK,
    "INSERT INTO orders (order_id, user_id, product_id, quantity, total_price_cents, allocation_id,
     created_at_ms, updated_at_ms, status, live) VALUES ",
    "(?, ?, ?, ?, ?, ?, ?, ?, 0, 1)",
    "",
);

impl Store {
    /// Commits `batch` and says which of its orders have live rows now. An error means that nothing
    /// is known to be committed; writing the same batch again is safe.
    pub async fn write(&self, batch: &WriteBatch) -> Result<Written> {
        let orders = without_repeats(&batch.orders);
        if let Some(session) = self.write_fast(batch, &orders).await? {
            return Ok(Written {
                session,
                fresh: orders.len(),
                live: orders,
            });
        }
        let ids: Vec<OrderId> = orders.iter().map(id).collect();
        let known = self.live_by_order(&ids).await?;
        let (existing, fresh): (Vec<_>, Vec<_>) = orders
            .into_iter()
            .partition(|order| known.contains_key(&id(order)));
        // void-before-release (R9): only what is live is settled; a void or cancelled order is not.
        let before = existing
            .into_iter()
            .filter(|order| known.get(&id(order)) == Some(&true));
        let mut written = match self.write_fast(batch, &fresh).await? {
            Some(session) => Written {
                session,
                fresh: fresh.len(),
                live: fresh,
            },
            None => self.write_one_by_one(batch, fresh).await?,
        };
        written.live.extend(before);
        Ok(written)
    }

    /// `None`: rolled back, because a key or the guard refused something.
    async fn write_fast(
        &self,
        batch: &WriteBatch,
        orders: &[OrderEvent],
    ) -> Result<Option<ConsumerSession>> {
        let mut tx = self.database.begin().await?;
        let mut connection = tx.connection();
        let session = session(&mut connection, batch).await?;
        match bulk(&mut connection, orders, batch.copies).await {
            Ok(true) => conclude(tx, batch, session).await.map(|()| Some(session)),
            Ok(false) => tx.rollback().await.map(|()| None),
            Err(error) if fault::is_refusal(&error) => tx.rollback().await.map(|()| None),
            Err(error) => Err(error),
        }
    }

    /// Writes what can be written and returns what has a live row now; the others get a VOID row
    /// and a `parked` record.
    async fn write_one_by_one(
        &self,
        batch: &WriteBatch,
        orders: Vec<OrderEvent>,
    ) -> Result<Written> {
        let mut tx = self.database.begin().await?;
        let mut connection = tx.connection();
        let session = session(&mut connection, batch).await?;
        let (mut live, mut before) = (Vec::with_capacity(orders.len()), Vec::new());
        let mut refused = Vec::new();
        for order in orders {
            let tried = try_alone(&mut connection, &order, batch.copies);
            let Some(reason) = tried.await? else {
                live.push(order);
                continue;
            };
            match is_live(&mut connection, &order).await? {
                // Another consumer was faster; its row counts.
                Some(true) => before.push(order),
                // Voided or cancelled in the meantime: final already, nothing to settle and nothing
                // to park.
                Some(false) => {}
                // parked-is-final (R10): the refusal becomes final and loud; it cannot happen to an
                // accepted order, and if it does the audit fails.
                None => {
                    insert_void(&mut connection, &order).await?;
                    refused.push(Poison::refused(&order, reason));
                }
            }
        }
        park_all(&mut connection, batch, &refused).await?;
        conclude(tx, batch, session).await?;
        tell("orders refused and parked", batch.incarnation, &refused);
        let fresh = live.len();
        live.extend(before);
        Ok(Written {
            session,
            live,
            fresh,
        })
    }
}

/// Parks, and, if they are to be told, tells listeners of what is kept.
async fn park_all(
    connection: &mut Connection<'_>,
    batch: &WriteBatch,
    poison: &[Poison],
) -> Result<()> {
    let kept = park(connection, batch.incarnation, poison).await?;
    if batch.copies {
        outbox::insert_dead_letters(connection, batch.incarnation, &kept).await?;
    }
    Ok(())
}

/// What goes with the orders, and the commit.
async fn conclude(mut tx: Tx<'_>, batch: &WriteBatch, session: ConsumerSession) -> Result<()> {
    let mut connection = tx.connection();
    park_all(&mut connection, batch, &batch.poison).await?;
    for nonce in &batch.markers {
        commit_marker(&mut connection, *nonce, batch.incarnation, session).await?;
    }
    if let Some(oldest) = batch.orders.iter().map(id).min() {
        sweeps::look_again(&mut connection, oldest).await?;
    }
    failpoint::hit("consumer.before_commit");
    tx.commit().await?;
    tell("messages parked", batch.incarnation, &batch.poison);
    Ok(())
}

/// In one line, however many they are: all are in the table.
fn tell(what: &str, incarnation: IncarnationId, parked: &[Poison]) {
    let Some(first) = parked.first() else { return };
    let (incarnation, count) = (incarnation.0, parked.len());
    let (message_id, order_id) = (&first.message_id, first.order.0);
    let reason = &first.reason;
    tracing::error!(incarnation, count, %message_id, order_id, %reason, "{what}; the first is told here");
}

/// The first of each order id; a retry publishes the same order again.
fn without_repeats(orders: &[OrderEvent]) -> Vec<OrderEvent> {
    let mut seen = HashSet::with_capacity(orders.len());
    orders
        .iter()
        .filter(|order| seen.insert(id(order)))
        .copied()
        .collect()
}

fn id(order: &OrderEvent) -> OrderId {
    order.order
}

/// Inserts rows, then counts them against their allocations. `false` if a guard refused.
pub(super) async fn bulk(
    connection: &mut Connection<'_>,
    orders: &[OrderEvent],
    copies: bool,
) -> Result<bool> {
    let mut args = Vec::with_capacity(ORDER_VALUES * orders.len().min(BULK.most()));
    for slice in BULK.cut(orders) {
        args.clear();
        args.extend(slice.iter().flat_map(values));
        connection
            .run(INSERT_ORDERS.for_rows(slice.len()), &args)
            .await?;
    }
    if copies {
        outbox::insert_order_copies(connection, orders).await?;
    }
    // In ascending order of allocations, so that two consumers cannot wait for each other.
    let mut sold: BTreeMap<AllocationId, i64> = BTreeMap::new();
    for order in orders {
        *sold.entry(order.allocation).or_default() += i64::from(order.quantity);
    }
    for (allocation, units) in sold {
        if !guard(connection, allocation, units).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The allocation guard: whatever an engine says, no more is sold than was granted, and nothing
/// from a closed epoch.
async fn guard(
    connection: &mut Connection<'_>,
    allocation: AllocationId,
    units: i64,
) -> Result<bool> {
    let sql = "UPDATE allocations SET sold = sold + ? WHERE id = ? AND state = 'open' AND sold + ? <= granted";
    let args = [Arg::from(units), allocation.into(), units.into()];
    Ok(connection.run(sql, args).await? == 1)
}

/// drain-in-one-session (R5): the batch's session, or a new one for a consumer's first batch. The
/// row stays locked until the commit.
async fn session(connection: &mut Connection<'_>, batch: &WriteBatch) -> Result<ConsumerSession> {
    if let Some(session) = batch.session {
        return Ok(session);
    }
    let next = "UPDATE incarnations SET consumer_session = consumer_session + 1 WHERE id = ?";
    connection.run(next, [batch.incarnation]).await?;
    let sql = "SELECT consumer_session FROM incarnations WHERE id = ?";
    let session = connection.row(sql, [batch.incarnation]).await?;
    session.ok_or(Error::RowNotFound)
}

async fn commit_marker(
    connection: &mut Connection<'_>,
    nonce: u64,
    incarnation: IncarnationId,
    session: ConsumerSession,
) -> Result<()> {
    // A redelivered marker keeps its first record: what it proved then it proves still.
    let sql = format!(
        "INSERT INTO markers (nonce, incarnation, consumer_session, committed_at_ms) VALUES (?, ?, ?, ?){}",
        connection.kind().or_nothing("nonce")
    );
    let values = [
        Arg::from(nonce),
        incarnation.into(),
        session.into(),
        unix_ms().into(),
    ];
    connection.run(&sql, values).await.map(drop)
}

/// `None` when the row is in, else why not.
pub(super) async fn try_alone(
    connection: &mut Connection<'_>,
    order: &OrderEvent,
    copies: bool,
) -> Result<Option<String>> {
    let mut savepoint = connection.savepoint().await?;
    let alone = std::slice::from_ref(order);
    let reason = match bulk(&mut savepoint.connection(), alone, copies).await {
        Ok(true) => return savepoint.commit().await.map(|()| None),
        Ok(false) => {
            format!(
                "allocation {} is closed or has fewer than {} units left",
                order.allocation, order.quantity
            )
        }
        Err(error) if fault::is_refusal(&error) => format!("refused by the database: {error}"),
        Err(error) => return Err(error),
    };
    savepoint.rollback().await?;
    Ok(Some(reason))
}

/// `None` if there is no row.
async fn is_live(connection: &mut Connection<'_>, order: &OrderEvent) -> Result<Option<bool>> {
    let sql = "SELECT live IS NOT NULL FROM orders WHERE order_id = ?";
    connection.row(sql, [id(order)]).await
}
