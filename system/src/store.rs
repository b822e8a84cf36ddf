//! The database: connection, migrations, and the few queries that several roles share.
//!
//! Roles that own a table's life keep their SQL beside their logic; here is only what is shared.

mod migrations;

pub use migrations::migrate;

use crate::config::{DatabaseConfig, mask_password};
use anyhow::Context;
use engines::fixed_rows::{self, Statement};
use engines::{Epoch, Nonce, SaleId, Term};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::{ConnectOptions, Connection, MySqlPool, Row};
use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

/// Longest wait for a connection out of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for connections to close.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Order states as stored in `orders.status`.
pub mod status {
    /// Never became an order; blocks its order id for ever.
    pub const VOID: i8 = 4;
}

/// SQL expression for the database's clock, unix ms. One clock for all heartbeats.
pub const NOW_MS: &str = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)";

/// The database's clock, unix ms.
pub async fn now_ms(pool: &MySqlPool) -> sqlx::Result<i64> {
    sqlx::query(&format!("SELECT {NOW_MS}")).fetch_one(pool).await?.try_get(0)
}

/// A pool that answers fast: statements are cached per connection and connections are not pinged before use.
pub async fn connect(config: &DatabaseConfig) -> anyhow::Result<MySqlPool> {
    let host = mask_password(&config.url);
    let options = MySqlConnectOptions::from_str(&config.url)
        .with_context(|| format!("database.url: {host} is not of the form mysql://user:password@host:port/database"))?
        .statement_cache_capacity(64);
    // The pool only says that it timed out; one plain connection first says why.
    let probe = tokio::time::timeout(ACQUIRE_TIMEOUT, options.connect()).await;
    let probe = probe.with_context(|| format!("the database at {host} did not answer within {ACQUIRE_TIMEOUT:?}"))?;
    let probe = probe.with_context(|| format!("cannot connect to the database at {host}"))?;
    probe.close().await.ok();
    MySqlPoolOptions::new()
        .max_connections(config.max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move {
                // No gap locks between the batches of several consumers.
                sqlx::query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").execute(connection).await?;
                Ok(())
            })
        })
        .connect_with(options)
        .await
        .with_context(|| format!("cannot connect to the database at {host}"))
}

/// Closes a pool, but does not wait for a database that hangs.
pub async fn close(pool: MySqlPool) {
    if tokio::time::timeout(CLOSE_TIMEOUT, pool.close()).await.is_err() {
        tracing::warn!(?CLOSE_TIMEOUT, "the database did not let go of its connections");
    }
}

/// A sale and its term, as the `sales` row has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaleRow {
    /// The sale.
    pub sale: SaleId,
    /// Price of one unit, cents.
    pub price_cents: i64,
    /// Opening of the window, unix s.
    pub starts_at: i64,
    /// End of the window, unix s.
    pub ends_at: i64,
    /// The term and allocation, if an epoch is open (R14).
    pub open: Option<OpenSale>,
}

/// What can be sold from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSale {
    /// Epoch and nonce.
    pub term: Term,
    /// The allocation that orders are counted against.
    pub allocation_id: i64,
}

/// All sales; most that one process serves is [`MAX_SALES`].
pub async fn sales(pool: &MySqlPool) -> sqlx::Result<Vec<SaleRow>> {
    let rows = sqlx::query(
        "SELECT s.product_id, p.price_cents, p.sale_starts_at, p.sale_ends_at, s.newest_epoch, s.open_epoch, s.nonce, s.allocation_id
         FROM sales s JOIN products p ON p.id = s.product_id ORDER BY s.product_id LIMIT ?",
    )
    .bind(MAX_SALES)
    .fetch_all(pool)
    .await?;
    rows.iter().map(read_sale).collect()
}

/// Most sales that one process serves.
pub const MAX_SALES: i64 = 10_000;

fn read_sale(row: &sqlx::mysql::MySqlRow) -> sqlx::Result<SaleRow> {
    let sale = SaleId(row.try_get(0)?);
    let newest_epoch: i32 = row.try_get(4)?;
    let open_epoch: Option<i32> = row.try_get(5)?;
    let nonce: Option<u64> = row.try_get(6)?;
    let allocation: Option<i64> = row.try_get(7)?;
    let open = match (open_epoch, nonce, allocation) {
        (Some(epoch), Some(nonce), Some(allocation_id)) if epoch == newest_epoch => {
            let epoch = Epoch(u32::try_from(epoch).unwrap_or_default());
            Some(OpenSale { term: Term { sale, epoch, nonce: Nonce(nonce) }, allocation_id })
        }
        _ => None,
    };
    Ok(SaleRow { sale, price_cents: row.try_get(1)?, starts_at: row.try_get(2)?, ends_at: row.try_get(3)?, open })
}

/// Which of `order_ids` have rows, and whether those are live (not void, not cancelled).
pub async fn live_by_order(pool: &MySqlPool, order_ids: &[i64]) -> sqlx::Result<HashMap<i64, bool>> {
    static SELECT: Statement =
        Statement::new("SELECT order_id, live IS NOT NULL FROM orders WHERE order_id IN (", "?", ")");
    let mut found = HashMap::with_capacity(order_ids.len());
    for slice in fixed_rows::cut(order_ids) {
        let query = sqlx::query(SELECT.for_rows(slice.len()));
        for row in slice.iter().fold(query, |query, id| query.bind(id)).fetch_all(pool).await? {
            found.insert(row.try_get(0)?, row.try_get::<i64, _>(1)? != 0);
        }
    }
    Ok(found)
}
