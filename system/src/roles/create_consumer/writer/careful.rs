//! The slow way: each order under its own savepoint, so that one refusal does not take the others along.

use super::{bulk, is_refusal, park};
use crate::envelope::OrderEvent;
use crate::roles::create_consumer::poison::Poison;
use crate::store::status;
use sqlx::{Acquire, MySqlConnection, Row};
use std::collections::HashSet;

/// Writes what can be written; the others get a VOID row, a `parked` record and a place in `refused`.
pub async fn write(
    connection: &mut MySqlConnection,
    incarnation: i64,
    orders: &[OrderEvent],
    refused: &mut HashSet<i64>,
) -> sqlx::Result<()> {
    for order in orders {
        let Some(reason) = try_alone(connection, order).await? else {
            continue;
        };
        match existing(connection, order).await? {
            // Another consumer was faster; its row counts.
            Some(Existing { live: true }) => {}
            // Voided or cancelled in the meantime: final already, nothing to settle and nothing to park.
            Some(Existing { live: false }) => {
                refused.insert(order.order_id);
            }
            None => {
                refused.insert(order.order_id);
                refuse(connection, incarnation, order, reason).await?;
            }
        }
    }
    Ok(())
}

/// `None` when the row is in, else why not.
async fn try_alone(connection: &mut MySqlConnection, order: &OrderEvent) -> sqlx::Result<Option<String>> {
    let mut savepoint = connection.begin().await?;
    let reason = match bulk(&mut savepoint, std::slice::from_ref(order)).await {
        Ok(true) => {
            savepoint.commit().await?;
            return Ok(None);
        }
        Ok(false) => {
            format!("allocation {} is closed or has fewer than {} units left", order.allocation_id, order.quantity)
        }
        Err(error) if is_refusal(&error) => format!("refused by the database: {error}"),
        Err(error) => return Err(error),
    };
    savepoint.rollback().await?;
    Ok(Some(reason))
}

struct Existing {
    live: bool,
}

async fn existing(connection: &mut MySqlConnection, order: &OrderEvent) -> sqlx::Result<Option<Existing>> {
    let row = sqlx::query("SELECT live IS NOT NULL FROM orders WHERE order_id = ?")
        .bind(order.order_id)
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok(Existing { live: row.try_get::<i64, _>(0)? != 0 })).transpose()
}

/// R10: the refusal becomes final and loud; it cannot happen to an accepted order, and if it does the audit fails.
async fn refuse(
    connection: &mut MySqlConnection,
    incarnation: i64,
    order: &OrderEvent,
    reason: String,
) -> sqlx::Result<()> {
    park(connection, incarnation, &Poison::refused(order, reason)).await?;
    sqlx::query(
        "INSERT INTO orders (order_id, user_id, product_id, quantity, total_price_cents, allocation_id, status, live,
         created_at_ms, updated_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?, ?) ON DUPLICATE KEY UPDATE order_id = order_id",
    )
    .bind(order.order_id)
    .bind(order.user_id)
    .bind(order.product_id)
    .bind(order.quantity)
    .bind(order.total_price_cents)
    .bind(order.allocation_id)
    .bind(status::VOID)
    .bind(order.created_at_ms)
    .bind(order.created_at_ms)
    .execute(connection)
    .await?;
    Ok(())
}
