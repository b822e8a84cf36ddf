//! Writes a batch in one transaction: rows, allocation guard, markers and parked poison, all or nothing.
//!
//! The fast way inserts everything in multi-row statements. If a key says that some rows are there already (a
//! redelivery), those are looked up and the rest inserted. If the guard or a key refuses what is left, each order is
//! tried alone, and one that is refused is parked together with a VOID row (R10), so that the refusal is final.

mod careful;

use super::poison::Poison;
use crate::clock::unix_ms;
use crate::envelope::OrderEvent;
use crate::failpoint;
use crate::store;
use engines::fixed_rows::{self, Statement};
use sqlx::{MySqlConnection, MySqlPool};
use std::collections::{BTreeMap, HashSet};

/// What is written together.
#[derive(Debug, Default)]
pub struct WriteBatch {
    /// Orders in the order they were published; repeats are allowed.
    pub orders: Vec<OrderEvent>,
    /// What can never become a row.
    pub poison: Vec<Poison>,
    /// Nonces of markers that came after these orders.
    pub markers: Vec<u64>,
}

impl WriteBatch {
    /// Number of things to write.
    pub fn len(&self) -> usize {
        self.orders.len() + self.poison.len() + self.markers.len()
    }
}

/// Eight values per row; status and live are constants of a new order.
static INSERT_ORDERS: Statement = Statement::new(
    "INSERT INTO orders (order_id, user_id, product_id, quantity, total_price_cents, allocation_id, status, live,
     created_at_ms, updated_at_ms) VALUES ",
    "(?, ?, ?, ?, ?, ?, 0, 1, ?, ?)",
    "",
);

/// Longest stored reason, characters, and longest stored body, bytes.
const MAX_REASON: usize = 500;
const MAX_BODY: usize = 1024 * 1024;

/// Writes for one session with one queue.
#[derive(Debug)]
pub struct Writer {
    pool: MySqlPool,
    incarnation: i64,
    /// R5: counts who consumes; a new number with the first commit on a new channel.
    session: Option<i64>,
}

/// How a transaction ended that did not fail.
enum Ended {
    Committed,
    /// Rolled back: a unique key or the guard refused something; try the next more careful way.
    Refused,
}

impl Writer {
    /// A writer whose session has not begun.
    pub fn new(pool: MySqlPool, incarnation: i64) -> Self {
        Self { pool, incarnation, session: None }
    }

    /// Commits `batch` and returns the orders whose rows are live now. An error means that nothing is known to be
    /// committed; writing the same batch again is safe.
    pub async fn write(&mut self, batch: &WriteBatch) -> sqlx::Result<Vec<OrderEvent>> {
        let orders = without_repeats(&batch.orders);
        if matches!(self.transaction(batch, &orders, Way::Bulk).await?, Ended::Committed) {
            return Ok(orders);
        }
        let ids: Vec<i64> = orders.iter().map(|order| order.order_id).collect();
        let known = store::live_by_order(&self.pool, &ids).await?;
        let (existing, fresh): (Vec<_>, Vec<_>) =
            orders.into_iter().partition(|order| known.contains_key(&order.order_id));
        // R9: only what is live is settled; a void or cancelled order is not.
        let mut live: Vec<_> = existing.into_iter().filter(|order| known.get(&order.order_id) == Some(&true)).collect();
        if matches!(self.transaction(batch, &fresh, Way::Bulk).await?, Ended::Committed) {
            live.extend(fresh);
            return Ok(live);
        }
        let mut refused = HashSet::new();
        self.transaction(batch, &fresh, Way::Careful(&mut refused)).await?;
        live.extend(fresh.into_iter().filter(|order| !refused.contains(&order.order_id)));
        Ok(live)
    }

    async fn transaction(&mut self, batch: &WriteBatch, orders: &[OrderEvent], way: Way<'_>) -> sqlx::Result<Ended> {
        let mut transaction = self.pool.begin().await?;
        let session = match self.session {
            Some(session) => session,
            None => begin_session(&mut transaction, self.incarnation).await?,
        };
        match way {
            Way::Bulk => match bulk(&mut transaction, orders).await {
                Ok(true) => {}
                Ok(false) => {
                    transaction.rollback().await?;
                    return Ok(Ended::Refused);
                }
                Err(error) if is_refusal(&error) => {
                    transaction.rollback().await?;
                    return Ok(Ended::Refused);
                }
                Err(error) => return Err(error),
            },
            Way::Careful(refused) => careful::write(&mut transaction, self.incarnation, orders, refused).await?,
        }
        for poison in &batch.poison {
            park(&mut transaction, self.incarnation, poison).await?;
        }
        for nonce in &batch.markers {
            commit_marker(&mut transaction, *nonce, self.incarnation, session).await?;
        }
        failpoint::hit("consumer.before_commit");
        transaction.commit().await?;
        self.session = Some(session);
        Ok(Ended::Committed)
    }
}

enum Way<'a> {
    /// Multi-row statements; refused as a whole if anything is.
    Bulk,
    /// One by one; collects the ids that were refused for good.
    Careful(&'a mut HashSet<i64>),
}

/// Inserts rows, then counts them against their allocations. `false` if a guard refused.
async fn bulk(connection: &mut MySqlConnection, orders: &[OrderEvent]) -> sqlx::Result<bool> {
    for slice in fixed_rows::cut(orders) {
        let mut query = sqlx::query(INSERT_ORDERS.for_rows(slice.len()));
        for order in slice {
            query = query
                .bind(order.order_id)
                .bind(order.user_id)
                .bind(order.product_id)
                .bind(order.quantity)
                .bind(order.total_price_cents)
                .bind(order.allocation_id)
                .bind(order.created_at_ms)
                .bind(order.created_at_ms);
        }
        query.execute(&mut *connection).await?;
    }
    // In ascending order of allocations, so that two consumers cannot wait for each other.
    let mut sold: BTreeMap<i64, i64> = BTreeMap::new();
    for order in orders {
        *sold.entry(order.allocation_id).or_default() += i64::from(order.quantity);
    }
    for (allocation_id, units) in sold {
        if !guard(connection, allocation_id, units).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The allocation guard: whatever an engine says, no more is sold than was granted, and nothing from a closed epoch.
async fn guard(connection: &mut MySqlConnection, allocation_id: i64, units: i64) -> sqlx::Result<bool> {
    let updated =
        sqlx::query("UPDATE allocations SET sold = sold + ? WHERE id = ? AND state = 'open' AND sold + ? <= granted")
            .bind(units)
            .bind(allocation_id)
            .bind(units)
            .execute(connection)
            .await?;
    Ok(updated.rows_affected() == 1)
}

async fn begin_session(connection: &mut MySqlConnection, incarnation: i64) -> sqlx::Result<i64> {
    let updated =
        sqlx::query("UPDATE incarnations SET consumer_session = LAST_INSERT_ID(consumer_session + 1) WHERE id = ?")
            .bind(incarnation)
            .execute(connection)
            .await?;
    Ok(i64::try_from(updated.last_insert_id()).unwrap_or(i64::MAX))
}

async fn commit_marker(
    connection: &mut MySqlConnection,
    nonce: u64,
    incarnation: i64,
    session: i64,
) -> sqlx::Result<()> {
    // A redelivered marker keeps its first record: what it proved then it proves still.
    sqlx::query(
        "INSERT INTO markers (nonce, incarnation, consumer_session, committed_at_ms) VALUES (?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE nonce = nonce",
    )
    .bind(nonce)
    .bind(incarnation)
    .bind(session)
    .bind(unix_ms())
    .execute(connection)
    .await?;
    Ok(())
}

async fn park(connection: &mut MySqlConnection, incarnation: i64, poison: &Poison) -> sqlx::Result<()> {
    tracing::error!(incarnation, message_id = %poison.message_id, order_id = poison.order_id, reason = %poison.reason, "parked");
    sqlx::query(
        "INSERT INTO parked (incarnation, message_id, order_id, reason, body, created_at_ms) VALUES (?, ?, ?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE id = id",
    )
    .bind(incarnation)
    .bind(&poison.message_id)
    .bind(poison.order_id)
    .bind(poison.reason.chars().take(MAX_REASON).collect::<String>())
    .bind(&poison.body[..poison.body.len().min(MAX_BODY)])
    .bind(unix_ms())
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether the database refuses these values for good, as opposed to being out of reach, busy or full.
///
/// MySQL and MariaDB error numbers: duplicate key, out of range, too long, null, check constraint (both products).
fn is_refusal(error: &sqlx::Error) -> bool {
    const REFUSALS: [u16; 7] = [1062, 1264, 1366, 1406, 1048, 3819, 4025];
    let sqlx::Error::Database(error) = error else {
        return false;
    };
    let number =
        error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(sqlx::mysql::MySqlDatabaseError::number);
    number.is_some_and(|number| REFUSALS.contains(&number))
}

/// The first of each order id; a retry publishes the same order again.
fn without_repeats(orders: &[OrderEvent]) -> Vec<OrderEvent> {
    let mut seen = HashSet::with_capacity(orders.len());
    orders.iter().filter(|order| seen.insert(order.order_id)).copied().collect()
}
