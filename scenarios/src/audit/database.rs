//! Reads the system's tables over one connection and in one consistent snapshot, row by row. Knows the columns,
//! judges nothing.

use super::ExpectedSale;
use anyhow::{Context, bail};
use futures_util::TryStreamExt;
use sqlx::{
    ConnectOptions, Connection, Row,
    mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow},
};
use std::{collections::BTreeMap, str::FromStr, time::Duration};

/// A database that does not take a connection within this time is down.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

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
    pub(super) holder: String,
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
    connection: MySqlConnection,
}

impl Snapshot {
    pub(super) async fn open(url: &str) -> anyhow::Result<Self> {
        let options = MySqlConnectOptions::from_str(url)
            .context("the database URL is not of the form mysql://user[:password]@host:port/database")?
            .disable_statement_logging();
        let mut connection = tokio::time::timeout(CONNECT_LIMIT, options.connect())
            .await
            .with_context(|| format!("the database took no connection within {} s", CONNECT_LIMIT.as_secs()))?
            .context("cannot connect to the database")?;
        // Rows, allocations and parked records of different moments would disagree without any fault.
        for statement in
            ["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"]
        {
            sqlx::raw_sql(statement).execute(&mut connection).await.context(statement)?;
        }
        Ok(Self { connection })
    }

    /// The audited sales with their allocations, by product id.
    pub(super) async fn sales(&mut self, expected: &[ExpectedSale]) -> anyhow::Result<BTreeMap<i64, Sale>> {
        let rows = sqlx::query("SELECT product_id, total FROM sales").fetch_all(&mut self.connection).await;
        let mut totals = BTreeMap::new();
        for row in rows.context("table sales")? {
            totals.insert(row.try_get::<i64, _>(0)?, row.try_get::<i64, _>(1)?);
        }
        let mut sales = BTreeMap::new();
        for sale in expected {
            let Some(total) = totals.get(&sale.product_id) else {
                let known: Vec<String> = totals.keys().map(i64::to_string).collect();
                bail!("sale {} is not in the database; it has: {}", sale.product_id, known.join(", "));
            };
            sales.insert(sale.product_id, Sale { expected: *sale, total: *total, allocations: Vec::new() });
        }
        self.each(
            "SELECT id, product_id, epoch, holder, granted, sold, state FROM allocations ORDER BY id",
            "allocations",
            |row| {
                if let Some(sale) = sales.get_mut(&row.try_get::<i64, _>(1)?) {
                    sale.allocations.push(allocation(row)?);
                }
                Ok(())
            },
        )
        .await?;
        Ok(sales)
    }

    pub(super) async fn each_parked(&mut self, mut visit: impl FnMut(&Parked)) -> anyhow::Result<()> {
        self.each("SELECT id, order_id, reason, resolved FROM parked", "parked", |row| {
            visit(&Parked {
                id: row.try_get(0)?,
                order_id: row.try_get(1)?,
                reason: row.try_get(2)?,
                resolved: row.try_get::<i64, _>(3)? != 0,
            });
            Ok(())
        })
        .await
    }

    pub(super) async fn each_order(&mut self, mut visit: impl FnMut(&Order)) -> anyhow::Result<()> {
        let statement = "SELECT order_id, user_id, product_id, quantity, total_price_cents, allocation_id, \
                         status, live, created_at_ms, updated_at_ms FROM orders";
        self.each(statement, "orders", |row| {
            visit(&order(row)?);
            Ok(())
        })
        .await
    }

    /// Ends the snapshot. What was read stays valid when this fails, so nobody needs to know.
    pub(super) async fn close(self) {
        let _ = self.connection.close().await;
    }

    async fn each(
        &mut self,
        statement: &str,
        table: &str,
        mut visit: impl FnMut(&MySqlRow) -> Result<(), sqlx::Error>,
    ) -> anyhow::Result<()> {
        let mut rows = sqlx::query(statement).fetch(&mut self.connection);
        while let Some(row) = rows.try_next().await.with_context(|| format!("table {table}"))? {
            visit(&row).with_context(|| format!("table {table} holds a row that cannot be read"))?;
        }
        Ok(())
    }
}

fn allocation(row: &MySqlRow) -> Result<Allocation, sqlx::Error> {
    Ok(Allocation {
        id: row.try_get(0)?,
        epoch: row.try_get(2)?,
        holder: row.try_get(3)?,
        granted: row.try_get(4)?,
        sold: row.try_get(5)?,
        open: row.try_get::<String, _>(6)? == "open",
    })
}

fn order(row: &MySqlRow) -> Result<Order, sqlx::Error> {
    Ok(Order {
        order_id: row.try_get(0)?,
        user_id: row.try_get(1)?,
        product_id: row.try_get(2)?,
        quantity: row.try_get(3)?,
        total_price_cents: row.try_get(4)?,
        allocation_id: row.try_get(5)?,
        status: row.try_get(6)?,
        live: row.try_get(7)?,
        created_at_ms: row.try_get(8)?,
        updated_at_ms: row.try_get(9)?,
    })
}
