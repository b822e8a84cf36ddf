//! A consumer's transaction: rows, allocation guard, markers and parked poison, all or nothing.
//!
//! The fast way inserts everything in multi-row statements. The careful way tries each order alone,
//! under a savepoint, and parks one that is refused together with a VOID row (R10), so that the
//! refusal is final.

use super::super::{Database, DbConnection, is_refusal, or_nothing};
use crate::clock::unix_ms;
use crate::envelope::OrderEvent;
use crate::failpoint;
use crate::store::{Poison, WriteBatch, Written, status};
use database::fixed_rows::{BULK, Statement};
use sqlx::{Connection, Row};
use std::collections::{BTreeMap, HashSet};

/// Eight values per row; status and live are constants of a new order.
static INSERT_ORDERS: Statement = Statement::new(
    BULK,
    "INSERT INTO orders (order_id, user_id, product_id, quantity, total_price_cents, allocation_id, status, live,
     created_at_ms, updated_at_ms) VALUES ",
    "(?, ?, ?, ?, ?, ?, 0, 1, ?, ?)",
    "",
);

/// Longest stored reason, characters, and longest stored body, bytes.
const MAX_REASON: usize = 500;
const MAX_BODY: usize = 1024 * 1024;

impl Database {
    pub async fn write(
        &self,
        batch: &WriteBatch,
        orders: &[OrderEvent],
        careful: bool,
    ) -> sqlx::Result<Written> {
        let mut transaction = self.begin().await?;
        let session = match batch.session {
            Some(session) => session,
            None => begin_session(&mut transaction, batch.incarnation).await?,
        };
        let mut refused = HashSet::new();
        if careful {
            one_by_one(&mut transaction, batch.incarnation, orders, &mut refused).await?;
        } else {
            match bulk(&mut transaction, orders).await {
                Ok(true) => {}
                Ok(false) => return transaction.rollback().await.map(|()| Written::Refused),
                Err(error) if is_refusal(&error) => {
                    return transaction.rollback().await.map(|()| Written::Refused);
                }
                Err(error) => return Err(error),
            }
        }
        for poison in &batch.poison {
            park(&mut transaction, batch.incarnation, poison).await?;
        }
        for nonce in &batch.markers {
            commit_marker(&mut transaction, *nonce, batch.incarnation, session).await?;
        }
        failpoint::hit("consumer.before_commit");
        transaction.commit().await?;
        Ok(Written::Committed { session, refused })
    }
}

/// Inserts rows, then counts them against their allocations. `false` if a guard refused.
async fn bulk(connection: &mut DbConnection, orders: &[OrderEvent]) -> sqlx::Result<bool> {
    for slice in BULK.cut(orders) {
        let mut query = sqlx::query(INSERT_ORDERS.for_rows(slice.len()));
        for order in slice {
            query = query
                .bind(order.order.0)
                .bind(order.user.0)
                .bind(order.sale.0)
                .bind(order.quantity)
                .bind(order.total_price_cents)
                .bind(order.allocation.0)
                .bind(order.created_at_ms)
                .bind(order.created_at_ms);
        }
        query.execute(&mut *connection).await?;
    }
    // In ascending order of allocations, so that two consumers cannot wait for each other.
    let mut sold: BTreeMap<i64, i64> = BTreeMap::new();
    for order in orders {
        *sold.entry(order.allocation.0).or_default() += i64::from(order.quantity);
    }
    for (allocation_id, units) in sold {
        if !guard(connection, allocation_id, units).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The allocation guard: whatever an engine says, no more is sold than was granted, and nothing
/// from a closed epoch.
async fn guard(
    connection: &mut DbConnection,
    allocation_id: i64,
    units: i64,
) -> sqlx::Result<bool> {
    let updated =
        sqlx::query("UPDATE allocations SET sold = sold + ? WHERE id = ? AND state = 'open' AND sold + ? <= granted")
            .bind(units)
            .bind(allocation_id)
            .bind(units)
            .execute(connection)
            .await?;
    Ok(updated.rows_affected() == 1)
}

/// R5: counts who consumes. The row stays locked until the commit.
async fn begin_session(connection: &mut DbConnection, incarnation: i64) -> sqlx::Result<i64> {
    sqlx::query("UPDATE incarnations SET consumer_session = consumer_session + 1 WHERE id = ?")
        .bind(incarnation)
        .execute(&mut *connection)
        .await?;
    let row =
        sqlx::query("SELECT consumer_session FROM incarnations WHERE id = ?").bind(incarnation);
    row.fetch_one(connection).await?.try_get(0)
}

async fn commit_marker(
    connection: &mut DbConnection,
    nonce: u64,
    incarnation: i64,
    session: i64,
) -> sqlx::Result<()> {
    // A redelivered marker keeps its first record: what it proved then it proves still.
    let sql = format!(
        "INSERT INTO markers (nonce, incarnation, consumer_session, committed_at_ms) VALUES (?, ?, ?, ?){}",
        or_nothing("nonce")
    );
    sqlx::query(&sql)
        .bind(nonce.cast_signed())
        .bind(incarnation)
        .bind(session)
        .bind(unix_ms())
        .execute(connection)
        .await?;
    Ok(())
}

async fn park(
    connection: &mut DbConnection,
    incarnation: i64,
    poison: &Poison,
) -> sqlx::Result<()> {
    tracing::error!(incarnation, message_id = %poison.message_id, order_id = poison.order_id, reason = %poison.reason, "parked");
    let sql = format!(
        "INSERT INTO parked (incarnation, message_id, order_id, reason, body, created_at_ms) VALUES (?, ?, ?, ?, ?, ?){}",
        or_nothing("id")
    );
    sqlx::query(&sql)
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

/// Writes what can be written; the others get a VOID row, a `parked` record and a place in
/// `refused`.
async fn one_by_one(
    connection: &mut DbConnection,
    incarnation: i64,
    orders: &[OrderEvent],
    refused: &mut HashSet<i64>,
) -> sqlx::Result<()> {
    for order in orders {
        let Some(reason) = try_alone(connection, order).await? else {
            continue;
        };
        match is_live(connection, order).await? {
            // Another consumer was faster; its row counts.
            Some(true) => {}
            // Voided or cancelled in the meantime: final already, nothing to settle and nothing to
            // park.
            Some(false) => {
                refused.insert(order.order.0);
            }
            None => {
                refused.insert(order.order.0);
                refuse(connection, incarnation, order, reason).await?;
            }
        }
    }
    Ok(())
}

/// `None` when the row is in, else why not.
async fn try_alone(
    connection: &mut DbConnection,
    order: &OrderEvent,
) -> sqlx::Result<Option<String>> {
    let mut savepoint = connection.begin().await?;
    let reason = match bulk(&mut savepoint, std::slice::from_ref(order)).await {
        Ok(true) => {
            savepoint.commit().await?;
            return Ok(None);
        }
        Ok(false) => {
            format!(
                "allocation {} is closed or has fewer than {} units left",
                order.allocation.0, order.quantity
            )
        }
        Err(error) if is_refusal(&error) => format!("refused by the database: {error}"),
        Err(error) => return Err(error),
    };
    savepoint.rollback().await?;
    Ok(Some(reason))
}

/// `None` if there is no row.
async fn is_live(connection: &mut DbConnection, order: &OrderEvent) -> sqlx::Result<Option<bool>> {
    let row = sqlx::query("SELECT live IS NOT NULL FROM orders WHERE order_id = ?")
        .bind(order.order.0)
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok(row.try_get::<i64, _>(0)? != 0))
        .transpose()
}

/// R10: the refusal becomes final and loud; it cannot happen to an accepted order, and if it does
/// the audit fails.
async fn refuse(
    connection: &mut DbConnection,
    incarnation: i64,
    order: &OrderEvent,
    reason: String,
) -> sqlx::Result<()> {
    park(connection, incarnation, &Poison::refused(order, reason)).await?;
    let sql = format!(
        "INSERT INTO orders (order_id, user_id, product_id, quantity, total_price_cents, allocation_id, status, live,
         created_at_ms, updated_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?, ?){}",
        or_nothing("order_id")
    );
    sqlx::query(&sql)
        .bind(order.order.0)
        .bind(order.user.0)
        .bind(order.sale.0)
        .bind(order.quantity)
        .bind(order.total_price_cents)
        .bind(order.allocation.0)
        .bind(status::VOID)
        .bind(order.created_at_ms)
        .bind(order.created_at_ms)
        .execute(connection)
        .await?;
    Ok(())
}
