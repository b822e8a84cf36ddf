//! Orders that are durable in the queue and not yet known to be rows, for an engine whose holds only this process can
//! settle.

use crate::envelope::OrderEvent;
use std::sync::{Mutex, PoisonError};

/// Most orders remembered, about 60 MB; beyond it holds are settled by looking for their rows.
const REMEMBERED_MAX: usize = 1_000_000;

/// Filled by the serving threads, emptied by the caretaker.
#[derive(Debug, Default)]
pub struct Published {
    batches: Mutex<Batches>,
}

/// What was published since the caretaker last looked.
#[derive(Debug, Default)]
pub struct Batches {
    /// Each with the incarnation in whose queue it is.
    list: Vec<(i64, Vec<OrderEvent>)>,
    orders: usize,
}

impl Published {
    /// The broker has confirmed these.
    pub fn confirmed(&self, incarnation: i64, orders: Vec<OrderEvent>) {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        if batches.orders < REMEMBERED_MAX {
            batches.orders += orders.len();
            batches.list.push((incarnation, orders));
        }
    }

    /// Everything so far.
    pub fn take(&self) -> Vec<(i64, Vec<OrderEvent>)> {
        std::mem::take(&mut *self.batches.lock().unwrap_or_else(PoisonError::into_inner)).list
    }
}
