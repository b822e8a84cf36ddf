//! Reads the system's tables row by row, over one connection and in one consistent snapshot. Knows
//! the columns, and judges nothing.

use super::ExpectedSale;
use crate::tables::{TableRow, Tables};
use anyhow::{Context, bail};
use std::collections::BTreeMap;

const COLUMNS_OF_ORDERS_MYSQL: &str = "SELECT CAST(column_name AS CHAR) FROM information_schema.columns \
     WHERE table_schema = DATABASE() AND table_name = 'orders'";
const COLUMNS_OF_ORDERS_SQLITE: &str = "SELECT name FROM pragma_table_info('orders')";

/// Values of `orders.status`.
pub(super) mod status {
    pub(in super::super) const TO_PAY: i64 = 0;
    pub(in super::super) const PAID: i64 = 1;
    pub(in super::super) const CANCELLED: i64 = 2;
    pub(in super::super) const COMPLETED: i64 = 3;
    pub(in super::super) const VOID: i64 = 4;
}

/// A sale as it was set up and as the database has it.
#[derive(Debug)]
pub(super) struct Sale {
    pub(super) expected: ExpectedSale,
    pub(super) total: i64,
    /// What the total is to become with the next epoch.
    pub(super) wanted_total: Option<i64>,
    pub(super) allocations: Vec<Allocation>,
    pub(super) changes: Vec<StockChange>,
}

/// A change of a sale's total that was asked for while it ran.
#[derive(Clone, Copy, Debug)]
pub(super) struct StockChange {
    pub(super) delta: i64,
    pub(super) wanted_total: i64,
    /// What the total became; None: not yet.
    pub(super) applied_total: Option<i64>,
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
    /// 1: cancelled because it was not paid in time.
    pub(super) expired: i64,
    pub(super) created_at_ms: i64,
    pub(super) updated_at_ms: i64,
}

impl Order {
    pub(super) fn name(&self) -> String {
        format!("order {} (user {})", self.order_id, self.user_id)
    }

    pub(super) fn state(&self) -> String {
        let state = match self.status {
            status::TO_PAY => "to pay",
            status::PAID => "paid",
            status::CANCELLED if self.expired != 0 => "expired",
            status::CANCELLED => "cancelled",
            status::COMPLETED => "completed",
            status::VOID => "void",
            other => return format!("in status {other}"),
        };
        state.to_owned()
    }
}

/// The way of a cancelled order's units back to the engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Release {
    pub(super) order_id: i64,
    pub(super) user_id: i64,
    pub(super) product_id: i64,
    pub(super) quantity: i64,
    pub(super) epoch: i64,
    /// Unix ms when the engine had them; None: not yet.
    pub(super) released_at_ms: Option<i64>,
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
    /// Whether this database knows of expiry and of changes of stock. One that an older version of
    /// the system made is read as if there had been neither, so that two versions can be compared.
    is_after_sale: bool,
}

impl Snapshot {
    /// Opens one snapshot for everything: rows, allocations and parked records of different moments
    /// would disagree although nothing is wrong.
    pub(super) async fn open(url: &str) -> anyhow::Result<Self> {
        let mut tables = Tables::open(url).await?;
        tables.freeze().await?;
        let columns = tables
            .texts(match tables {
                Tables::MySql(_) => COLUMNS_OF_ORDERS_MYSQL,
                Tables::Sqlite(_) => COLUMNS_OF_ORDERS_SQLITE,
            })
            .await
            .context("the columns of table orders cannot be read")?;
        Ok(Self {
            is_after_sale: columns.iter().any(|column| column == "expired"),
            tables,
        })
    }

    /// The audited sales with their allocations, by product id.
    pub(super) async fn sales(
        &mut self,
        expected: &[ExpectedSale],
    ) -> anyhow::Result<BTreeMap<i64, Sale>> {
        let mut totals = BTreeMap::new();
        let statement = "SELECT product_id, total, wanted_total FROM sales";
        self.each(statement, "sales", |row| {
            totals.insert(row.integer(0)?, (row.integer(1)?, row.integer_or_null(2)?));
            Ok(())
        })
        .await?;
        let mut sales = BTreeMap::new();
        for sale in expected {
            let Some(&(total, wanted_total)) = totals.get(&sale.product_id) else {
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
                    total,
                    wanted_total,
                    allocations: Vec::new(),
                    changes: Vec::new(),
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
        if self.is_after_sale {
            let statement =
                "SELECT product_id, delta, wanted_total, applied_total FROM stock_changes";
            self.each(statement, "stock_changes", |row| {
                if let Some(sale) = sales.get_mut(&row.integer(0)?) {
                    sale.changes.push(StockChange {
                        delta: row.integer(1)?,
                        wanted_total: row.integer(2)?,
                        applied_total: row.integer_or_null(3)?,
                    });
                }
                Ok(())
            })
            .await?;
        }
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

    pub(super) async fn releases(&mut self) -> anyhow::Result<Vec<Release>> {
        let mut releases = Vec::new();
        if self.tables.has("releases").await? {
            let statement = "SELECT product_id, epoch, orders, released_at_ms FROM releases";
            self.each(statement, "releases", |row| {
                let listed: Vec<[i64; 3]> = serde_json::from_str(&row.text(2)?)
                    .map_err(|error| sqlx::Error::Decode(error.into()))?;
                for [order_id, user_id, quantity] in listed {
                    releases.push(Release {
                        order_id,
                        user_id,
                        product_id: row.integer(0)?,
                        quantity,
                        epoch: row.integer(1)?,
                        released_at_ms: row.integer_or_null(3)?,
                    });
                }
                Ok(())
            })
            .await?;
        }
        // Where an older version of the system wrote them, one row for each.
        let statement = "SELECT order_id, user_id, product_id, quantity, epoch, released_at_ms FROM outbox \
                         WHERE kind = 'release'";
        self.each(statement, "outbox", |row| {
            releases.push(Release {
                order_id: row.integer(0)?,
                user_id: row.integer(1)?,
                product_id: row.integer(2)?,
                quantity: row.integer(3)?,
                epoch: row.integer(4)?,
                released_at_ms: row.integer_or_null(5)?,
            });
            Ok(())
        })
        .await?;
        Ok(releases)
    }

    pub(super) async fn each_order(&mut self, mut visit: impl FnMut(&Order)) -> anyhow::Result<()> {
        let expired = if self.is_after_sale { "expired" } else { "0" };
        let statement = format!(
            "SELECT order_id, user_id, product_id, quantity, total_price_cents, allocation_id, \
             status, live, {expired}, created_at_ms, updated_at_ms FROM orders"
        );
        self.each(&statement, "orders", |row| {
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
        expired: row.integer(8)?,
        created_at_ms: row.integer(9)?,
        updated_at_ms: row.integer(10)?,
    })
}
