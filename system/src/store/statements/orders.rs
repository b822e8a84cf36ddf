//! Order rows as the reconciler looks at them, and the VOID row that makes "there is no such order"
//! final.

use super::super::{Database, or_nothing};
use crate::clock::unix_ms;
use crate::store::status;
use database::fixed_rows::{BULK, Statement};
use engines::{OpenHold, OrderId, SaleId};
use sqlx::Row;
use std::collections::{HashMap, HashSet};

impl Database {
    pub async fn live_by_order(&self, orders: &[i64]) -> sqlx::Result<HashMap<i64, bool>> {
        static SELECT: Statement = Statement::new(
            BULK,
            "SELECT order_id, live IS NOT NULL FROM orders WHERE order_id IN (",
            "?",
            ")",
        );
        let mut found = HashMap::with_capacity(orders.len());
        for slice in BULK.cut(orders) {
            let query = sqlx::query(SELECT.for_rows(slice.len()));
            for row in slice
                .iter()
                .fold(query, |query, id| query.bind(id))
                .fetch_all(self.readers())
                .await?
            {
                found.insert(row.try_get(0)?, row.try_get::<i64, _>(1)? != 0);
            }
        }
        Ok(found)
    }

    pub async fn insert_voids(
        &self,
        sale: SaleId,
        allocation_id: i64,
        holds: &[OpenHold],
    ) -> sqlx::Result<HashSet<OrderId>> {
        let now_ms = unix_ms();
        let mut transaction = self.begin().await?;
        let sql = format!(
            "INSERT INTO orders (order_id, user_id, product_id, quantity, total_price_cents, allocation_id, status, live,
             created_at_ms, updated_at_ms) VALUES (?, ?, ?, ?, 0, ?, ?, NULL, ?, ?){}",
            or_nothing("order_id")
        );
        for hold in holds {
            sqlx::query(&sql)
                .bind(hold.order.0)
                .bind(hold.user.0)
                .bind(sale.0)
                .bind(hold.quantity)
                .bind(allocation_id)
                .bind(status::VOID)
                .bind(now_ms)
                .bind(now_ms)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        // How many rows were affected proves nothing either way: look what is there.
        let ids: Vec<i64> = holds.iter().map(|hold| hold.order.0).collect();
        let rows = self.live_by_order(&ids).await?;
        Ok(holds
            .iter()
            .map(|hold| hold.order)
            .filter(|order| rows.get(&order.0) == Some(&false))
            .collect())
    }

    pub async fn parked_of(&self, incarnation: i64) -> sqlx::Result<Vec<i64>> {
        let sql = "SELECT order_id FROM parked WHERE incarnation = ?";
        let rows = sqlx::query(sql)
            .bind(incarnation)
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    pub async fn maybe_parked(&self, holds: &[OpenHold]) -> sqlx::Result<HashSet<OrderId>> {
        let rows = sqlx::query("SELECT order_id, incarnation FROM parked WHERE resolved = 0")
            .fetch_all(self.readers())
            .await?;
        let (mut orders, mut incarnations) = (HashSet::new(), HashSet::new());
        for row in &rows {
            match row.try_get::<i64, _>(0)? {
                // A whole message: it may hold any order that this incarnation has touched.
                0 => incarnations.insert(row.try_get::<i64, _>(1)?),
                order => orders.insert(order),
            };
        }
        let may_be = |hold: &&OpenHold| {
            orders.contains(&hold.order.0)
                || hold
                    .touched_by
                    .iter()
                    .any(|id| incarnations.contains(&id.0))
        };
        Ok(holds.iter().filter(may_be).map(|hold| hold.order).collect())
    }
}
