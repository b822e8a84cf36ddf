//! Writes batches of one queue, the fast way first and then ever more carefully.
//!
//! The fast way inserts everything in multi-row statements. If a key says that some rows are there
//! already (a redelivery), those are looked up and the rest inserted. If the guard or a key refuses
//! what is left, each order is tried alone, and one that is refused is parked together with a VOID
//! row (R10), so that the refusal is final.

use crate::envelope::OrderEvent;
use crate::store::{Store, WriteBatch, Written};
use std::collections::HashSet;

/// Writes for one session with one queue.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    incarnation: i64,
    /// R5: counts who consumes; a new number with the first commit on a new channel.
    session: Option<i64>,
}

impl Writer {
    /// A writer whose session has not begun.
    pub fn new(store: Store, incarnation: i64) -> Self {
        Self {
            store,
            incarnation,
            session: None,
        }
    }

    /// Commits `batch` and returns the orders whose rows are live now. An error means that nothing
    /// is known to be committed; writing the same batch again is safe.
    pub async fn write(&mut self, batch: &mut WriteBatch) -> sqlx::Result<Vec<OrderEvent>> {
        batch.incarnation = self.incarnation;
        batch.session = self.session;
        let orders = without_repeats(&batch.orders);
        if self.commit(batch, &orders, false).await?.is_some() {
            return Ok(orders);
        }
        let ids: Vec<i64> = orders.iter().map(|order| order.order.0).collect();
        let known = self.store.live_by_order(&ids).await?;
        let (existing, fresh): (Vec<_>, Vec<_>) = orders
            .into_iter()
            .partition(|order| known.contains_key(&order.order.0));
        // R9: only what is live is settled; a void or cancelled order is not.
        let mut live: Vec<_> = existing
            .into_iter()
            .filter(|order| known.get(&order.order.0) == Some(&true))
            .collect();
        if self.commit(batch, &fresh, false).await?.is_some() {
            live.extend(fresh);
            return Ok(live);
        }
        let refused = self.commit(batch, &fresh, true).await?.unwrap_or_default();
        live.extend(
            fresh
                .into_iter()
                .filter(|order| !refused.contains(&order.order.0)),
        );
        Ok(live)
    }

    /// The orders refused for good, or `None` when nothing was committed because something was
    /// refused.
    async fn commit(
        &mut self,
        batch: &WriteBatch,
        orders: &[OrderEvent],
        careful: bool,
    ) -> sqlx::Result<Option<HashSet<i64>>> {
        match self.store.write(batch, orders, careful).await? {
            Written::Committed { session, refused } => {
                self.session = Some(session);
                Ok(Some(refused))
            }
            Written::Refused => Ok(None),
        }
    }
}

/// The first of each order id; a retry publishes the same order again.
fn without_repeats(orders: &[OrderEvent]) -> Vec<OrderEvent> {
    let mut seen = HashSet::with_capacity(orders.len());
    orders
        .iter()
        .filter(|order| seen.insert(order.order.0))
        .copied()
        .collect()
}
