//! What of a batch has to be durable before anyone is told yes about it.

use super::pending::Pending;
use crate::envelope::OrderEvent;
use crate::roles::seckill::counts::Told;
use crate::telemetry::Sending;
use engines::OrderId;

/// Orders that a batch has sold, or has to publish again.
pub struct Sold {
    /// Who waits for which order, and how a yes about it counts.
    pub waiting: Vec<(Pending, OrderId, Told)>,
    /// The events of those orders, in the same order.
    pub events: Vec<OrderEvent>,
}

impl Sold {
    pub fn with_capacity(orders: usize) -> Self {
        Self {
            waiting: Vec::with_capacity(orders),
            events: Vec::with_capacity(orders),
        }
    }

    /// The span of the message that carries them, of so many bytes, with a link to each request that
    /// is traced; begun now.
    pub fn trace(&self, system: &'static str, bytes: usize) -> Option<Sending> {
        let requests = self.waiting.iter().filter_map(|(pending, order, _)| {
            let request = pending.asked.trace.clone()?;
            Some((request, order.0))
        });
        Sending::begin(system, (self.events.len(), bytes), requests)
    }
}
