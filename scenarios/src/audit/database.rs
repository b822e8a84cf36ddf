//! Reads the system's tables row by row, over one connection and in one consistent snapshot. Knows
//! the columns, and judges nothing.

use super::ExpectedSale;
use crate::tables::{TableRow, Tables};
use anyhow::{Context, bail};
use std::collections::{BTreeMap, HashMap};

/// A sale as it was set up and as the database has it.
#[derive(Debug)]
pub(super) struct Sale {
    pub(super) expected: ExpectedSale,
    pub(super) total: i64,
    pub(super) allocations: Vec<Allocation>,
}

#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) id: i64,
    pub(super) epoch: i64,
    pub(super) granted: i64,
    pub(super) sold: i64,
    pub(super) open: bool,
}

#[derive(Debug)]
pub(super) struct Order {
    pub(super) order_id: i64,
    pub(super) user_id: i64,
    pub(super) product_id: i64,
    pub(super) quantity: i64,
    pub(super) total_price_cents: i64,
    pub(super) allocation_id: i64,
    pub(super) status: i64,
    pub(super) live: Option<i64>,
    pub(super) created_at_ms: i64,
    pub(super) updated_at_ms: i64,
}

#[derive(Debug)]
pub(super) struct Parked {
    pub(super) id: i64,
    pub(super) order_id: i64,
    pub(super) reason: String,
    pub(super) resolved: bool,
}

#[derive(Debug)]
pub(super) struct Snapshot {
    tables: Tables,
}

impl Snapshot {
    /// Opens one snapshot for everything: rows, allocations and parked records of different moments
    /// would disagree although nothing is wrong.
    pub(super) async fn open(url: &str) -> anyhow::Result<Self> {
        let mut tables = Tables::open(url).await?;
        tables.freeze().await?;
        Ok(Self { tables })
    }

    /// The audited sales with their allocations, by product id.
    pub(super) async fn sales(
        &mut self,
        expected: &[ExpectedSale],
    ) -> anyhow::Result<BTreeMap<i64, Sale>> {
        let mut totals = BTreeMap::new();
        self.each("SELECT product_id, total FROM sales", "sales", |row| {
            totals.insert(row.integer(0)?, row.integer(1)?);
            Ok(())
        })
        .await?;
        let mut sales = BTreeMap::new();
        for sale in expected {
            let Some(total) = totals.get(&sale.product_id) else {
                let known: Vec<String> = totals.keys().map(i64::to_string).collect();
                bail!(
                    "sale {} is not in the database; it has: {}",
                    sale.product_id,
                    known.join(", ")
                );
            };
            sales.insert(
                sale.product_id,
                Sale {
                    expected: *sale,
                    total: *total,
                    allocations: Vec::new(),
                },
            );
        }
        self.each(
            "SELECT id, product_id, epoch, granted, sold, state FROM allocations ORDER BY id",
            "allocations",
            |row| {
                if let Some(sale) = sales.get_mut(&row.integer(1)?) {
                    sale.allocations.push(allocation(&row)?);
                }
                Ok(())
            },
        )
        .await?;
        Ok(sales)
    }

    pub(super) async fn each_parked(
        &mut self,
        mut visit: impl FnMut(&Parked),
    ) -> anyhow::Result<()> {
        self.each(
            "SELECT id, order_id, reason, resolved FROM parked",
            "parked",
            |row| {
                visit(&Parked {
                    id: row.integer(0)?,
                    order_id: row.integer(1)?,
                    reason: row.text(2)?,
                    resolved: row.integer(3)? != 0,
                });
                Ok(())
            },
        )
        .await
    }

    /// When the engine had the units of each cancelled order, by order id.
    pub(super) async fn released_at_ms(&mut self) -> anyhow::Result<HashMap<i64, i64>> {
        let mut released = HashMap::new();
        let statement = "SELECT order_id, released_at_ms FROM outbox \
                         WHERE kind = 'release' AND released_at_ms IS NOT NULL";
        self.each(statement, "outbox", |row| {
            let at_ms = row.integer(1)?;
            let newest = released.entry(row.integer(0)?).or_insert(at_ms);
            *newest = at_ms.max(*newest);
            Ok(())
        })
        .await?;
        Ok(released)
    }

    pub(super) async fn each_order(&mut self, mut visit: impl FnMut(&Order)) -> anyhow::Result<()> {
        let statement = "SELECT order_id, user_id, product_id, quantity, total_price_cents, allocation_id, \
                         status, live, created_at_ms, updated_at_ms FROM orders";
        self.each(statement, "orders", |row| {
            visit(&order(&row)?);
            Ok(())
        })
        .await
    }

    /// Ends the snapshot.
    pub(super) async fn close(self) {
        self.tables.close().await;
    }

    async fn each(
        &mut self,
        statement: &str,
        table: &str,
        visit: impl FnMut(TableRow<'_>) -> sqlx::Result<()>,
    ) -> anyhow::Result<()> {
        self.tables
            .each(statement, visit)
            .await
            .with_context(|| format!("table {table} cannot be read"))
    }
}

fn allocation(row: &TableRow<'_>) -> sqlx::Result<Allocation> {
    Ok(Allocation {
        id: row.integer(0)?,
        epoch: row.integer(2)?,
        granted: row.integer(3)?,
        sold: row.integer(4)?,
        open: row.text(5)? == "open",
    })
}

fn order(row: &TableRow<'_>) -> sqlx::Result<Order> {
    Ok(Order {
        order_id: row.integer(0)?,
        user_id: row.integer(1)?,
        product_id: row.integer(2)?,
        quantity: row.integer(3)?,
        total_price_cents: row.integer(4)?,
        allocation_id: row.integer(5)?,
        status: row.integer(6)?,
        live: row.integer_or_null(7)?,
        created_at_ms: row.integer(8)?,
        updated_at_ms: row.integer(9)?,
    })
}
