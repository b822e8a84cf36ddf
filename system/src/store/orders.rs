//! Order rows as the reconciler looks at them, and the VOID row that makes "there is no such order"
//! final.

use super::handle::Store;
use super::types::{ParkedOf, Poison, status};
use crate::clock::unix_ms;
use crate::envelope::OrderEvent;
use database::fixed_rows::{BULK, Statement};
use database::{Arg, Connection, NO_ARGS, Result};
use engines::{AllocationId, IncarnationId, OpenHold, OrderId, SaleId};
use std::collections::{HashMap, HashSet};

impl Store {
    /// Which of these orders have rows, and whether those are live (not void, not cancelled).
    pub async fn live_by_order(&self, orders: &[OrderId]) -> Result<HashMap<OrderId, bool>> {
        static SELECT: Statement = Statement::new(
            BULK,
            "SELECT order_id, live IS NOT NULL FROM orders WHERE order_id IN (",
            "?",
            ")",
        );
        let mut found = HashMap::with_capacity(orders.len());
        for slice in BULK.cut(orders) {
            let rows = self.database.rows(SELECT.for_rows(slice.len()), slice);
            found.extend(rows.await?.into_iter().map(|row: (OrderId, bool)| row));
        }
        Ok(found)
    }

    /// void-before-release (R9): makes it final that these orders never were; returns those for
    /// which it is final now. For the others a row appeared meanwhile: look again.
    pub async fn insert_voids(
        &self,
        sale: SaleId,
        allocation: AllocationId,
        holds: &[OpenHold],
    ) -> Result<HashSet<OrderId>> {
        let now_ms = unix_ms();
        let mut tx = self.database.begin().await?;
        for hold in holds {
            let order = OrderEvent {
                order: hold.order,
                user: hold.user,
                sale,
                quantity: hold.quantity,
                total_price_cents: 0,
                allocation,
                created_at_ms: now_ms,
            };
            insert_void(&mut tx.connection(), &order).await?;
        }
        tx.commit().await?;
        // How many rows were affected proves nothing either way: look what is there.
        let ids: Vec<OrderId> = holds.iter().map(|hold| hold.order).collect();
        let rows = self.live_by_order(&ids).await?;
        Ok(ids
            .into_iter()
            .filter(|order| rows.get(order) == Some(&false))
            .collect())
    }

    /// What was ever parked of this incarnation, resolved or not. The orders are read only if there
    /// are others than `before` has, which was read of the same incarnation; it is asked often.
    pub async fn parked_of(
        &self,
        incarnation: IncarnationId,
        before: ParkedOf,
    ) -> Result<ParkedOf> {
        // In one statement, so that it is of one moment.
        let sql = "SELECT CAST(COALESCE(SUM(CASE WHEN order_id <> 0 OR kind = ? THEN 0 ELSE count END), 0) AS SIGNED),
             COALESCE(MAX(order_id = 0 AND kind = ?), 0), COUNT(CASE WHEN order_id <> 0 THEN 1 END),
             COALESCE(MAX(CASE WHEN order_id <> 0 THEN id END), 0)
             FROM parked WHERE incarnation = ?";
        let suspected = Arg::from(Poison::QUEUE_SUSPECTED);
        let args = [suspected, suspected, incarnation.into()];
        let (messages, queue_is_in_doubt, records, newest) =
            self.database.row(sql, args).await?.unwrap_or_default();
        let of_orders = (records, newest);
        let orders = match of_orders == before.of_orders {
            true => before.orders,
            false => {
                // What comes in between is found now, and once more by the next look.
                let sql =
                    "SELECT DISTINCT order_id FROM parked WHERE incarnation = ? AND order_id <> 0";
                let orders: Vec<OrderId> = self.database.rows(sql, [incarnation]).await?;
                orders.into_iter().collect()
            }
        };
        Ok(ParkedOf {
            orders,
            of_orders,
            messages,
            queue_is_in_doubt,
        })
    }

    /// parked-is-final (R10): those of `holds` that an unresolved parked record may be; they are
    /// not voided until it is resolved.
    pub async fn maybe_parked(&self, holds: &[OpenHold]) -> Result<HashSet<OrderId>> {
        let sql = "SELECT DISTINCT order_id, incarnation FROM parked WHERE resolved = 0";
        let parked: Vec<(OrderId, IncarnationId)> = self.database.rows(sql, NO_ARGS).await?;
        let (mut orders, mut incarnations) = (HashSet::new(), HashSet::new());
        for (order, incarnation) in parked {
            match order {
                // It may hold any order that this incarnation has touched.
                Poison::WHOLE_MESSAGE => incarnations.insert(incarnation),
                order => orders.insert(order),
            };
        }
        let may_be = |hold: &&OpenHold| {
            let in_message = |id| incarnations.contains(id);
            orders.contains(&hold.order) || hold.touched_by.iter().any(in_message)
        };
        Ok(holds.iter().filter(may_be).map(|hold| hold.order).collect())
    }
}

/// The status of those of these orders that have rows.
pub(super) async fn status_by_order(
    connection: &mut Connection<'_>,
    orders: &[OrderId],
) -> Result<HashMap<OrderId, i64>> {
    static SELECT: Statement = Statement::new(
        BULK,
        "SELECT order_id, status FROM orders WHERE order_id IN (",
        "?",
        ")",
    );
    let mut found = HashMap::with_capacity(orders.len());
    for slice in BULK.cut(orders) {
        let rows = connection.rows(SELECT.for_rows(slice.len()), slice).await?;
        found.extend(rows.into_iter().map(|row: (OrderId, i64)| row));
    }
    Ok(found)
}

/// Makes it final that `order` never was, unless it has a row already, which stays as it is.
pub(super) async fn insert_void(connection: &mut Connection<'_>, order: &OrderEvent) -> Result<()> {
    let sql = format!(
        "INSERT INTO orders (order_id, user_id, product_id, quantity, total_price_cents, allocation_id,
         created_at_ms, updated_at_ms, status, live) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL){}",
        connection.kind().or_nothing("order_id")
    );
    let values = values(order).into_iter().chain([status::VOID.into()]);
    connection.run(&sql, values).await.map(drop)
}

/// Values of an order's row; status and live are constants of the statements.
pub(super) const ORDER_VALUES: usize = 8;

/// Those values, in the order of the statements.
pub(super) fn values(order: &OrderEvent) -> [Arg<'static>; ORDER_VALUES] {
    [
        order.order.into(),
        order.user.into(),
        order.sale.into(),
        order.quantity.into(),
        order.total_price_cents.into(),
        order.allocation.into(),
        order.created_at_ms.into(),
        order.created_at_ms.into(),
    ]
}
