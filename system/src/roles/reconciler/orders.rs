//! The VOID row that makes "there is no such order" final, and what forbids writing it.

use crate::clock::unix_ms;
use crate::store::status;
use engines::{OpenHold, SaleId};
use sqlx::{MySqlPool, Row};

/// R9: makes it final that this order never was. `false` if a row appeared in the meantime; look again.
pub async fn insert_void(pool: &MySqlPool, sale: SaleId, allocation_id: i64, hold: &OpenHold) -> sqlx::Result<bool> {
    let now_ms = unix_ms();
    let inserted = sqlx::query(
        "INSERT INTO orders (order_id, user_id, product_id, quantity, total_price_cents, allocation_id, status, live,
         created_at_ms, updated_at_ms) VALUES (?, ?, ?, ?, 0, ?, ?, NULL, ?, ?)",
    )
    .bind(hold.order.0)
    .bind(hold.user.0)
    .bind(sale.0)
    .bind(hold.quantity)
    .bind(allocation_id)
    .bind(status::VOID)
    .bind(now_ms)
    .bind(now_ms)
    .execute(pool)
    .await;
    match inserted {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(error),
    }
}

/// R10: whether a parked record may be this very order; then it is not voided until somebody has resolved it.
pub async fn may_be_parked(pool: &MySqlPool, hold: &OpenHold) -> sqlx::Result<bool> {
    let row = sqlx::query("SELECT COUNT(*) FROM parked WHERE resolved = 0 AND order_id = ?")
        .bind(hold.order.0)
        .fetch_one(pool)
        .await?;
    if row.try_get::<i64, _>(0)? > 0 {
        return Ok(true);
    }
    for incarnation in &hold.touched_by {
        let row = sqlx::query("SELECT COUNT(*) FROM parked WHERE resolved = 0 AND order_id = 0 AND incarnation = ?")
            .bind(incarnation.0)
            .fetch_one(pool)
            .await?;
        if row.try_get::<i64, _>(0)? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
