//! Units of cancelled orders on their way back to the engine: one row for all that one transaction
//! has cancelled of one sale, so that hardly anything is written for a single one of them.

mod older;

use super::handle::Store;
use crate::clock::unix_ms;
use database::fixed_rows::{BATCH, Statement};
use database::{Arg, Connection, Error, Result};
use engines::{Epoch, Nonce, OrderId, SaleId, Term, UserId};
use std::collections::{BTreeMap, HashSet};

/// The units of a cancelled order, on their way back to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// The row that it stands in, or stood in before others of it were done.
    pub row: i64,
    pub order: OrderId,
    pub user: UserId,
    pub sale: SaleId,
    pub quantity: u32,
    /// release-by-epoch (R12): that of the pool that was locked when it was cancelled.
    pub epoch: Epoch,
}

/// What is left to be done of one row.
#[derive(Clone, Debug)]
pub struct ReleasesLeft {
    /// The row; they only grow.
    pub row: i64,
    pub sale: SaleId,
    pub epoch: Epoch,
    pub releases: Vec<Release>,
    /// The term of its sale, if an epoch is open.
    pub term: Option<Term>,
    /// Whether its sale has ended: the engine has forgotten it.
    pub has_ended: bool,
}

impl ReleasesLeft {
    /// Where the next page begins if this is the last of one.
    pub fn place(&self) -> ReleaseCursor {
        ReleaseCursor {
            sale: self.sale,
            row: self.row,
        }
    }

    /// release-by-epoch (R12): whether there is nothing left to do about them, because their sale has
    /// ended, or a later epoch is open, whose gate and stock were made of the rows without the orders.
    pub fn is_over(&self) -> bool {
        let later = |term: Term| term.epoch > self.epoch;
        self.has_ended || self.term.is_some_and(later)
    }
}

/// Where a page of releases begins: behind this sale and row.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReleaseCursor {
    pub sale: SaleId,
    pub row: i64,
}

/// Order, buyer and quantity, as they stand in a row.
type Listed = (i64, i64, u32);

impl Store {
    /// Rows of releases that are left, by sale, oldest first; fewer than `limit` are the last.
    pub async fn release_page(
        &self,
        after: ReleaseCursor,
        limit: i64,
    ) -> Result<Vec<ReleasesLeft>> {
        let sql = "SELECT r.id, r.product_id, r.epoch, r.orders,
             CASE WHEN s.open_epoch = s.newest_epoch THEN s.open_epoch END, s.nonce, s.ended
             FROM releases r JOIN sales s ON s.product_id = r.product_id
             WHERE r.released_at_ms IS NULL
             AND (r.product_id > ? OR (r.product_id = ? AND r.id > ?)) ORDER BY r.product_id, r.id LIMIT ?";
        type Row = (
            i64,
            SaleId,
            Epoch,
            String,
            Option<Epoch>,
            Option<Nonce>,
            bool,
        );
        let args = [
            Arg::from(after.sale),
            after.sale.into(),
            after.row.into(),
            limit.into(),
        ];
        let rows: Vec<Row> = self.database.rows(sql, args).await?;
        let left = rows
            .into_iter()
            .map(|(row, sale, epoch, orders, open, nonce, has_ended)| {
                let releases = listed(&orders)?.into_iter();
                let release = |(order, user, quantity)| Release {
                    row,
                    order: OrderId(order),
                    user: UserId(user),
                    sale,
                    quantity,
                    epoch,
                };
                let open = open.zip(nonce);
                Ok(ReleasesLeft {
                    row,
                    sale,
                    epoch,
                    releases: releases.map(release).collect(),
                    term: open.map(|(epoch, nonce)| Term { sale, epoch, nonce }),
                    has_ended,
                })
            });
        left.collect()
    }

    /// These releases are done, perhaps not for the first time. Rows of which all are done are marked;
    /// of any other those that are done go into a row of their own.
    pub async fn mark_released(&self, done: &[Release]) -> Result<()> {
        let mut by_row: BTreeMap<i64, HashSet<i64>> = BTreeMap::new();
        for release in done {
            let of_row = by_row.entry(release.row).or_default();
            of_row.insert(release.order.0);
        }
        if by_row.is_empty() {
            return Ok(());
        }
        let mut tx = self.database.begin().await?;
        let mut connection = tx.connection();
        let mut whole = Vec::new();
        for row in lock(&mut connection, by_row.keys().copied().collect()).await? {
            let is_done = |listed: &Listed| by_row[&row.id].contains(&listed.0);
            let (done, left): (Vec<Listed>, Vec<Listed>) =
                row.orders.iter().copied().partition(is_done);
            match (done.is_empty(), left.is_empty()) {
                (_, true) => whole.push(row.id),
                (false, false) => row.split(&mut connection, &done, &left).await?,
                (true, false) => {}
            }
        }
        mark(&mut connection, &whole).await?;
        tx.commit().await
    }
}

/// A row that is not marked, and is locked.
struct Open {
    id: i64,
    sale: SaleId,
    epoch: Epoch,
    written_at_ms: i64,
    orders: Vec<Listed>,
}

/// Those of these rows, which come ascending, that are not marked yet.
async fn lock(connection: &mut Connection<'_>, rows: Vec<i64>) -> Result<Vec<Open>> {
    static SELECT: Statement = Statement::new(
        BATCH,
        "SELECT id, product_id, epoch, written_at_ms, orders, released_at_ms IS NULL FROM releases WHERE id IN (",
        "?",
        ")",
    );
    type Row = (i64, SaleId, Epoch, i64, String, bool);
    let for_update = connection.for_update();
    let mut open = Vec::with_capacity(rows.len());
    for slice in BATCH.padded(&rows) {
        let sql = format!("{}{for_update}", SELECT.for_rows(slice.len()));
        let found: Vec<Row> = connection.rows(&sql, slice.iter().copied()).await?;
        for (id, sale, epoch, written_at_ms, orders, is_open) in found {
            if is_open {
                open.push(Open {
                    id,
                    sale,
                    epoch,
                    written_at_ms,
                    orders: listed(&orders)?,
                });
            }
        }
    }
    Ok(open)
}

async fn mark(connection: &mut Connection<'_>, rows: &[i64]) -> Result<()> {
    static UPDATE: Statement = Statement::new(
        BATCH,
        "UPDATE releases SET released_at_ms = ? WHERE id IN (",
        "?",
        ")",
    );
    for slice in BATCH.padded(rows) {
        let args = std::iter::once(unix_ms()).chain(slice.iter().copied());
        connection.run(UPDATE.for_rows(slice.len()), args).await?;
    }
    Ok(())
}

impl Open {
    /// The row keeps those that are left.
    async fn split(
        &self,
        connection: &mut Connection<'_>,
        done: &[Listed],
        left: &[Listed],
    ) -> Result<()> {
        let sql = "UPDATE releases SET orders = ?, order_count = ?, units = ? WHERE id = ?";
        let orders = list(left);
        let args = [
            Arg::from(orders.as_str()),
            count(left).into(),
            units(left).into(),
            self.id.into(),
        ];
        connection.run(sql, args).await?;
        let written = self.written_at_ms;
        let row = insert(connection, (self.sale, self.epoch), done, written).await?;
        mark(connection, &[row]).await
    }
}

/// Writes those of one sale and epoch, of which there are some; returns their row.
pub(super) async fn insert_releases(
    connection: &mut Connection<'_>,
    releases: &[Release],
    now_ms: i64,
) -> Result<Option<i64>> {
    let Some(first) = releases.first() else {
        return Ok(None);
    };
    let orders: Vec<Listed> = releases
        .iter()
        .map(|release| (release.order.0, release.user.0, release.quantity))
        .collect();
    let row = insert(connection, (first.sale, first.epoch), &orders, now_ms).await?;
    Ok(Some(row))
}

async fn insert(
    connection: &mut Connection<'_>,
    (sale, epoch): (SaleId, Epoch),
    orders: &[Listed],
    written_at_ms: i64,
) -> Result<i64> {
    let sql = "INSERT INTO releases (product_id, epoch, orders, order_count, units, written_at_ms) VALUES (?, ?, ?, ?, ?, ?)";
    let text = list(orders);
    let args = [
        Arg::from(sale),
        epoch.into(),
        text.as_str().into(),
        count(orders).into(),
        units(orders).into(),
        written_at_ms.into(),
    ];
    connection.insert(sql, args).await
}

fn count(orders: &[Listed]) -> i64 {
    i64::try_from(orders.len()).unwrap_or(i64::MAX)
}

fn units(orders: &[Listed]) -> i64 {
    orders.iter().map(|order| i64::from(order.2)).sum()
}

fn list(orders: &[Listed]) -> String {
    // Numbers only: it cannot fail.
    serde_json::to_string(orders).unwrap_or_default()
}

fn listed(orders: &str) -> Result<Vec<Listed>> {
    serde_json::from_str(orders).map_err(|error| Error::Decode(error.into()))
}
