//! Orders that are durable in the queue and not yet known to be rows, for an engine whose holds
//! only this process can settle.

use crate::envelope::OrderEvent;
use engines::IncarnationId;
use std::sync::{Mutex, PoisonError};

/// Most orders remembered, about 60 MB; the holds of any more are settled by looking for their
/// rows.
const REMEMBERED_MAX: usize = 1_000_000;

/// Filled by the serving threads, emptied by the caretaker.
#[derive(Debug, Default)]
pub struct Published {
    batches: Mutex<Batches>,
}

/// Orders that the broker has confirmed together.
#[derive(Debug)]
pub struct PublishedBatch {
    /// In whose queue they are.
    pub incarnation: IncarnationId,
    /// When they had not been sent yet, monotonic ms.
    pub before_ms: u64,
    pub orders: Vec<OrderEvent>,
}

#[derive(Debug, Default)]
struct Batches {
    /// What was published since the caretaker last looked.
    list: Vec<PublishedBatch>,
    /// Orders in the list, and those that the caretaker has taken and not dealt with.
    orders: usize,
}

impl Published {
    /// The broker has confirmed these.
    pub fn confirmed(&self, batch: PublishedBatch) {
        let mut batches = self.lock();
        if batches.orders < REMEMBERED_MAX {
            batches.orders += batch.orders.len();
            batches.list.push(batch);
        }
    }

    /// Everything so far; it counts as remembered until it is [`Self::forgotten`].
    pub fn take(&self) -> Vec<PublishedBatch> {
        std::mem::take(&mut self.lock().list)
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.lock().orders == 0
    }

    /// So many of the orders that were taken are dealt with.
    pub fn forgotten(&self, orders: usize) {
        self.lock().orders -= orders;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Batches> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engines::{AllocationId, OrderId, SaleId, UserId};

    #[test]
    fn what_nobody_settles_is_remembered_up_to_a_bound() {
        let published = Published::default();
        let order = OrderEvent {
            order: OrderId(1),
            user: UserId(1),
            sale: SaleId(1),
            quantity: 1,
            total_price_cents: 1,
            allocation: AllocationId(1),
            created_at_ms: 1,
        };
        let batch = |count| PublishedBatch {
            incarnation: IncarnationId(1),
            before_ms: 1,
            orders: vec![order; count],
        };
        published.confirmed(batch(REMEMBERED_MAX));
        let taken = published.take();
        published.confirmed(batch(1));
        assert!(published.take().is_empty(), "what was taken still counts");
        published.forgotten(taken[0].orders.len());
        published.confirmed(batch(1));
        assert_eq!(published.take().len(), 1);
    }
}
