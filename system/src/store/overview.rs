//! What there is, for people: sales with their allocations, publishing processes, consumers, and
//! what is left to be done. Every statement is bounded, but for the count of orders, which is made
//! only when it is asked for.

use super::handle::Store;
use super::types::OrderState;
use database::fixed_rows::{BATCH, Statement};
use database::{FromColumn, FromRow, NO_ARGS, Result, RowRef};
use engines::{Epoch, IncarnationId, Nonce, SaleId, Term};
use serde::Serialize;
use std::collections::HashMap;

/// Rows of a kind that are listed.
const LISTED_MAX: i64 = 1_000;

/// A sale as its row and that of its product have it.
#[derive(Clone, Debug, Serialize)]
pub struct SaleState {
    pub product_id: SaleId,
    pub name: String,
    /// Unix s.
    pub starts_at: i64,
    /// Unix s.
    pub ends_at: i64,
    pub total: i64,
    /// What the total is to become with the next epoch; `null`: it stays.
    pub wanted_total: Option<i64>,
    pub paused: bool,
    /// Whether it has ended: the engine has forgotten it, and nobody looks after it.
    pub ended: bool,
    pub newest_epoch: Epoch,
    pub open_epoch: Option<Epoch>,
    /// The term that is open, if the newest epoch is.
    #[serde(skip)]
    pub term: Option<Term>,
}

impl FromRow for SaleState {
    fn from_row(row: RowRef<'_>) -> Result<Self> {
        let product_id = SaleId::from_column(row, 0)?;
        let newest_epoch = Epoch::from_column(row, 8)?;
        let open_epoch = Option::<Epoch>::from_column(row, 9)?;
        let nonce = Option::<Nonce>::from_column(row, 10)?;
        let term = open_epoch.zip(nonce).map(|(epoch, nonce)| Term {
            sale: product_id,
            epoch,
            nonce,
        });
        Ok(Self {
            product_id,
            name: FromColumn::from_column(row, 1)?,
            starts_at: FromColumn::from_column(row, 2)?,
            ends_at: FromColumn::from_column(row, 3)?,
            total: FromColumn::from_column(row, 4)?,
            wanted_total: FromColumn::from_column(row, 5)?,
            paused: FromColumn::from_column(row, 6)?,
            ended: FromColumn::from_column(row, 7)?,
            newest_epoch,
            open_epoch,
            term: term.filter(|term| term.epoch == newest_epoch),
        })
    }
}

/// The rights to sell units of one sale, as `allocations` has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Allocated {
    /// Granted in the allocations that are open.
    pub granted: i64,
    /// Sold of that.
    pub sold: i64,
    /// Units of live orders, whatever their epoch.
    pub live_units: i64,
}

/// Units leased to a publishing process.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LeaseState {
    #[serde(skip)]
    pub sale: SaleId,
    pub incarnation: IncarnationId,
    pub epoch: Epoch,
    pub granted: i64,
    pub sold: i64,
    /// What it may still sell without asking, at most.
    pub idle: i64,
}

/// Orders of a sale by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OrderCounts {
    pub to_pay: u64,
    pub paid: u64,
    /// By their buyers.
    pub cancelled: u64,
    /// Cancelled because they were not paid in time.
    pub expired: u64,
    pub completed: u64,
    /// Order ids that never became orders.
    pub void: u64,
}

/// A publishing process that is not gone, or whose queue is still there.
#[derive(Clone, Debug, Serialize)]
pub struct IncarnationState {
    pub id: IncarnationId,
    pub worker_id: i64,
    /// Where it serves.
    pub address: String,
    pub label: String,
    /// `live`, `fenced` or `gone`.
    pub state: String,
    pub generation: i64,
    /// The newest generation that it is known not to say yes before.
    pub acknowledged_generation: i64,
    /// Empty before it has one, and after it was deleted.
    pub queue: String,
    /// By the database's clock, unix ms.
    #[serde(skip)]
    pub beaten_at_ms: i64,
}

impl FromRow for IncarnationState {
    fn from_row(row: RowRef<'_>) -> Result<Self> {
        Ok(Self {
            id: FromColumn::from_column(row, 0)?,
            worker_id: FromColumn::from_column(row, 1)?,
            address: FromColumn::from_column(row, 2)?,
            label: FromColumn::from_column(row, 3)?,
            state: FromColumn::from_column(row, 4)?,
            generation: FromColumn::from_column(row, 5)?,
            acknowledged_generation: FromColumn::from_column(row, 6)?,
            queue: FromColumn::from_column(row, 7)?,
            beaten_at_ms: FromColumn::from_column(row, 8)?,
        })
    }
}

/// A consumer that runs.
#[derive(Clone, Debug, Serialize)]
pub struct ConsumerState {
    pub id: i64,
    /// Its role.
    pub kind: String,
    pub queue: String,
    /// By the database's clock, unix ms.
    #[serde(skip)]
    pub beaten_at_ms: i64,
}

/// What is left to be done about orders.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeftOver {
    /// Releases that no engine is known to have done.
    pub releases: u64,
    /// When the order of the oldest of them was changed last, unix ms.
    pub oldest_release_ms: Option<i64>,
    /// Copies that the broker has not got.
    pub copies: u64,
}

impl Store {
    /// The first `limit` sales, those that have not ended before those that have, and how many there
    /// are in all.
    pub async fn sale_states(&self, limit: u32) -> Result<(Vec<SaleState>, u64)> {
        let sql = "SELECT s.product_id, p.name, p.sale_starts_at, p.sale_ends_at, s.total, s.wanted_total, s.paused,
             s.ended, s.newest_epoch, s.open_epoch, s.nonce FROM sales s JOIN products p ON p.id = s.product_id
             ORDER BY s.ended, s.product_id LIMIT ?";
        let sales = self.database.rows(sql, [limit]).await?;
        let count = "SELECT COUNT(*) FROM sales";
        let count: Option<u64> = self.database.row(count, NO_ARGS).await?;
        Ok((sales, count.unwrap_or_default()))
    }

    /// One sale; `None`: there is none of this id.
    pub async fn sale_state(&self, sale: SaleId) -> Result<Option<SaleState>> {
        let sql = "SELECT s.product_id, p.name, p.sale_starts_at, p.sale_ends_at, s.total, s.wanted_total, s.paused,
             s.ended, s.newest_epoch, s.open_epoch, s.nonce FROM sales s JOIN products p ON p.id = s.product_id
             WHERE s.product_id = ?";
        self.database.row(sql, [sale]).await
    }

    /// What is granted and sold in each of these sales.
    pub async fn allocated(&self, sales: &[SaleId]) -> Result<HashMap<SaleId, Allocated>> {
        static SELECT: Statement = Statement::new(
            BATCH,
            "SELECT product_id, CAST(SUM(CASE WHEN state = 'open' THEN granted ELSE 0 END) AS SIGNED),
             CAST(SUM(CASE WHEN state = 'open' THEN sold ELSE 0 END) AS SIGNED), CAST(SUM(sold) AS SIGNED)
             FROM allocations WHERE product_id IN (",
            "?",
            ") GROUP BY product_id",
        );
        let rows: Vec<(SaleId, i64, i64, i64)> = self.of_sales(&SELECT, sales).await?;
        let allocated = rows.into_iter();
        Ok(allocated
            .map(|(sale, granted, sold, live_units)| {
                let allocated = Allocated {
                    granted,
                    sold,
                    live_units,
                };
                (sale, allocated)
            })
            .collect())
    }

    /// The open leases of units in these sales.
    pub async fn lease_states(&self, sales: &[SaleId]) -> Result<Vec<LeaseState>> {
        static SELECT: Statement = Statement::new(
            BATCH,
            "SELECT product_id, owner, epoch, granted, sold, idle FROM allocations
             WHERE state = 'open' AND owner IS NOT NULL AND product_id IN (",
            "?",
            ") ORDER BY product_id, id",
        );
        type Row = (SaleId, IncarnationId, Epoch, i64, i64, i64);
        let rows: Vec<Row> = self.of_sales(&SELECT, sales).await?;
        let leases = rows.into_iter();
        Ok(leases
            .map(
                |(sale, incarnation, epoch, granted, sold, idle)| LeaseState {
                    sale,
                    incarnation,
                    epoch,
                    granted,
                    sold,
                    idle,
                },
            )
            .collect())
    }

    /// How many releases are left in each of these sales.
    pub async fn releases_left(&self, sales: &[SaleId]) -> Result<HashMap<SaleId, u64>> {
        static SELECT: Statement = Statement::new(
            BATCH,
            "SELECT product_id, CAST(SUM(order_count) AS SIGNED) FROM releases WHERE released_at_ms IS NULL AND product_id IN (",
            "?",
            ") GROUP BY product_id",
        );
        let rows: Vec<(SaleId, u64)> = self.of_sales(&SELECT, sales).await?;
        Ok(rows.into_iter().collect())
    }

    /// Counts the orders of these sales. Reads every order there is.
    pub async fn count_orders(&self, sales: &[SaleId]) -> Result<HashMap<SaleId, OrderCounts>> {
        let sql = "SELECT product_id, status, expired, COUNT(*) FROM orders GROUP BY product_id, status, expired";
        let rows: Vec<(SaleId, i64, bool, u64)> = self.long.rows(sql, NO_ARGS).await?;
        let none = sales.iter().map(|sale| (*sale, OrderCounts::default()));
        let mut counts: HashMap<_, _> = none.collect();
        for (sale, state, has_expired, count) in rows {
            let Some(of_sale) = counts.get_mut(&sale) else {
                continue;
            };
            *match OrderState::of(state, has_expired) {
                Some(OrderState::ToPay) => &mut of_sale.to_pay,
                Some(OrderState::Paid) => &mut of_sale.paid,
                Some(OrderState::Cancelled) => &mut of_sale.cancelled,
                Some(OrderState::Expired) => &mut of_sale.expired,
                Some(OrderState::Completed) => &mut of_sale.completed,
                None => &mut of_sale.void,
            } += count;
        }
        Ok(counts)
    }

    /// Publishing processes that are not gone, or whose queue is still there.
    pub async fn incarnation_states(&self) -> Result<Vec<IncarnationState>> {
        let sql = "SELECT id, worker_id, address, label, state, generation, acknowledged_generation, queue, heartbeat_at_ms
             FROM incarnations WHERE state <> 'gone' OR queue <> '' ORDER BY id LIMIT ?";
        self.database.rows(sql, [LISTED_MAX]).await
    }

    /// The consumers that run, or died a moment ago.
    pub async fn consumer_states(&self) -> Result<Vec<ConsumerState>> {
        let sql = "SELECT id, kind, queue, heartbeat_at_ms FROM consumers ORDER BY id LIMIT ?";
        let rows: Vec<(i64, String, String, i64)> = self.database.rows(sql, [LISTED_MAX]).await?;
        let consumers = rows.into_iter();
        Ok(consumers
            .map(|(id, kind, queue, beaten_at_ms)| ConsumerState {
                id,
                kind,
                queue,
                beaten_at_ms,
            })
            .collect())
    }

    /// What is left in the outbox: releases and copies.
    pub async fn left_over(&self) -> Result<LeftOver> {
        let releases = "SELECT CAST(COALESCE(SUM(order_count), 0) AS SIGNED), MIN(written_at_ms) FROM releases WHERE released_at_ms IS NULL";
        let copies = "SELECT COUNT(*) FROM outbox WHERE kind = 'copy' AND published_at_ms IS NULL";
        let found: Option<(u64, Option<i64>)> = self.database.row(releases, NO_ARGS).await?;
        let (releases, oldest_release_ms) = found.unwrap_or_default();
        let copies: Option<u64> = self.database.row(copies, NO_ARGS).await?;
        Ok(LeftOver {
            releases,
            oldest_release_ms,
            copies: copies.unwrap_or_default(),
        })
    }

    /// The rows that `select` has of these sales.
    pub(super) async fn of_sales<R: FromRow>(
        &self,
        select: &'static Statement,
        sales: &[SaleId],
    ) -> Result<Vec<R>> {
        let ids: Vec<i64> = sales.iter().map(|sale| sale.0).collect();
        let mut found = Vec::new();
        for slice in BATCH.padded(&ids) {
            let sql = select.for_rows(slice.len());
            found.extend(self.database.rows::<R>(sql, slice.iter().copied()).await?);
        }
        Ok(found)
    }
}
