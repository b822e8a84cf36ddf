//! The outbox of copies: what listeners are still to be told of orders, written in the transaction that
//! makes it true. Releases, the other half of what is left to be done, are in `releases`.

use super::handle::Store;
use super::parking::Record;
use super::releases::Release;
use crate::clock::unix_ms;
use crate::envelope::OrderEvent;
use database::fixed_rows::{BATCH, BULK, Statement};
use database::{Arg, Connection, Result};
use engines::{IncarnationId, OrderId, SaleId, UserId};
use serde::Serialize;
use std::collections::HashSet;

/// Routing key of the copy of a cancel.
const CANCELED: &str = "order.canceled";
/// What the routing keys of dead letters begin with.
pub const DEAD_LETTER: &str = "dead-letter.";
/// How much of a kind and of a digest is in a routing key, which has room for 128 characters.
const KIND_MAX: usize = 48;
const DIGEST_MAX: usize = 32;

/// Bodies of copies read at once.
const PAGE_BYTES: i64 = 8 * 1024 * 1024;

/// A copy that the broker does not have yet.
#[derive(Clone, Debug)]
pub struct CopyLeft {
    /// Its row.
    pub id: i64,
    pub routing_key: String,
    pub body: Vec<u8>,
}

impl Store {
    /// Copies that are left, oldest first; no more than [`PAGE_BYTES`] of them, unless a single one is
    /// longer.
    pub async fn copies_left(&self, after: i64, limit: i64) -> Result<Vec<CopyLeft>> {
        let sql = "SELECT id, LENGTH(body) FROM outbox WHERE kind = 'copy' AND published_at_ms IS NULL AND id > ?
             ORDER BY id LIMIT ?";
        let lengths: Vec<(i64, i64)> = self.database.rows(sql, [after, limit]).await?;
        let mut bytes = 0;
        let fitting = lengths.iter().enumerate().take_while(|(at, (_, length))| {
            bytes += length;
            *at == 0 || bytes <= PAGE_BYTES
        });
        let Some((_, (last, _))) = fitting.last() else {
            return Ok(Vec::new());
        };
        let sql = "SELECT id, routing_key, body FROM outbox WHERE kind = 'copy' AND published_at_ms IS NULL AND id > ?
             AND id <= ? ORDER BY id LIMIT ?";
        let args = [after, *last, limit];
        let rows: Vec<(i64, String, Vec<u8>)> = self.database.rows(sql, args).await?;
        let left = rows.into_iter().map(|(id, routing_key, body)| CopyLeft {
            id,
            routing_key,
            body,
        });
        Ok(left.collect())
    }

    /// The broker has these copies.
    pub async fn mark_published(&self, ids: &[i64]) -> Result<()> {
        static UPDATE: Statement = Statement::new(
            BATCH,
            "UPDATE outbox SET published_at_ms = ? WHERE id IN (",
            "?",
            ")",
        );
        for slice in BATCH.padded(ids) {
            let args = std::iter::once(unix_ms()).chain(slice.iter().copied());
            self.database
                .run(UPDATE.for_rows(slice.len()), args)
                .await?;
        }
        Ok(())
    }
}

/// What listeners are told of a cancelled order, as JSON.
#[derive(Serialize)]
struct Canceled {
    order_id: i64,
    user_id: i64,
    product_id: i64,
    quantity: u32,
    /// `buyer`, or `expired`: it was not paid in time.
    reason: &'static str,
    canceled_at_ms: i64,
}

/// What listeners are told of a new order, as JSON.
#[derive(Serialize)]
struct Created {
    order_id: i64,
    user_id: i64,
    product_id: i64,
    quantity: u32,
    total_price_cents: i64,
    created_at_ms: i64,
}

/// A copy on its way into the outbox.
struct NewCopy {
    order: OrderId,
    user: UserId,
    sale: SaleId,
    quantity: u32,
    routing_key: String,
    body: Vec<u8>,
}

/// Of cancelled orders; `expired`: those that were not paid in time.
pub(super) async fn insert_cancel_copies(
    connection: &mut Connection<'_>,
    releases: &[Release],
    expired: &HashSet<i64>,
    canceled_at_ms: i64,
) -> Result<()> {
    let copies = releases.iter().map(|release| NewCopy {
        order: release.order,
        user: release.user,
        sale: release.sale,
        quantity: release.quantity,
        routing_key: CANCELED.to_owned(),
        body: json(&Canceled {
            order_id: release.order.0,
            user_id: release.user.0,
            product_id: release.sale.0,
            quantity: release.quantity,
            reason: match expired.contains(&release.order.0) {
                true => "expired",
                false => "buyer",
            },
            canceled_at_ms,
        }),
    });
    insert_copies(connection, &copies.collect::<Vec<_>>()).await
}

/// Of orders whose rows are new.
pub(super) async fn insert_order_copies(
    connection: &mut Connection<'_>,
    orders: &[OrderEvent],
) -> Result<()> {
    let copies = orders.iter().map(|order| NewCopy {
        order: order.order,
        user: order.user,
        sale: order.sale,
        quantity: order.quantity,
        routing_key: format!("order.create.{}", order.sale),
        body: json(&Created {
            order_id: order.order.0,
            user_id: order.user.0,
            product_id: order.sale.0,
            quantity: order.quantity,
            total_price_cents: order.total_price_cents,
            created_at_ms: order.created_at_ms,
        }),
    });
    insert_copies(connection, &copies.collect::<Vec<_>>()).await
}

/// Of what could not become a row and is kept among the dead letters, which are bounded. What comes
/// again is in the outbox, or was.
pub(super) async fn insert_dead_letters(
    connection: &mut Connection<'_>,
    incarnation: IncarnationId,
    kept: &[Record<'_>],
) -> Result<()> {
    let or_nothing = connection.kind().or_nothing("order_id");
    let sql = format!(
        "INSERT INTO outbox (order_id, user_id, product_id, quantity, routing_key, body, epoch, kind,
         written_at_ms) VALUES (?, 0, 0, 0, ?, ?, 0, 'copy', ?){or_nothing}"
    );
    for record in kept {
        let kind: String = record.kind.chars().take(KIND_MAX).collect();
        let key = format!(
            "{DEAD_LETTER}{kind}.{incarnation}.{}",
            &record.digest[..DIGEST_MAX]
        );
        let args = [
            Arg::from(record.order),
            key.as_str().into(),
            record.body.into(),
            unix_ms().into(),
        ];
        connection.run(&sql, args).await?;
    }
    Ok(())
}

async fn insert_copies(connection: &mut Connection<'_>, copies: &[NewCopy]) -> Result<()> {
    static INSERT: Statement = Statement::new(
        BULK,
        "INSERT INTO outbox (order_id, user_id, product_id, quantity, routing_key, body, written_at_ms, epoch, kind)
         VALUES ",
        "(?, ?, ?, ?, ?, ?, ?, 0, 'copy')",
        "",
    );
    let now_ms = unix_ms();
    for slice in BULK.cut(copies) {
        let args = slice.iter().flat_map(|copy| -> [Arg<'_>; 7] {
            [
                copy.order.into(),
                copy.user.into(),
                copy.sale.into(),
                copy.quantity.into(),
                copy.routing_key.as_str().into(),
                Arg::Bytes(&copy.body),
                now_ms.into(),
            ]
        });
        connection.run(INSERT.for_rows(slice.len()), args).await?;
    }
    Ok(())
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Numbers and texts only: it cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}
