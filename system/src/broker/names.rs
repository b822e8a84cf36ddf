//! The names of everything that is declared, and the ids of messages.

use crate::config::MqConfig;
use crate::ids::Generation;
use engines::IncarnationId;
use std::sync::atomic::{AtomicU64, Ordering};

/// The names of everything this system declares, all behind one prefix.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// Names behind `mq.prefix`.
    pub fn new(config: &MqConfig) -> Self {
        Self {
            prefix: config.prefix.clone(),
        }
    }

    /// The direct exchange of order events, of nobody else's (exclusive-route, R6).
    pub fn orders(&self) -> String {
        format!("{}seckill.orders", self.prefix)
    }

    /// The topic exchange that listeners bind to. No order travels through it on its way to its
    /// row.
    pub fn listeners(&self) -> String {
        format!("{}seckill.exchange", self.prefix)
    }

    /// The exchange of dead letters.
    pub fn dead_letters(&self) -> String {
        format!("{}seckill.dlx", self.prefix)
    }

    /// The queue of one incarnation.
    pub fn order_queue(&self, incarnation: IncarnationId) -> String {
        format!("{}order.create.q.{incarnation}", self.prefix)
    }

    /// The routing key of one incarnation in one generation.
    pub fn order_key(&self, incarnation: IncarnationId, generation: Generation) -> String {
        format!("order.create.{incarnation}.{generation}")
    }
}

/// The id of a marker.
pub fn marker_id(nonce: u64) -> String {
    format!("marker-{nonce:016x}")
}

/// Ids of the messages of one publisher, different from those of every other.
#[derive(Debug)]
pub struct MessageIds {
    prefix: String,
    sequence: AtomicU64,
}

impl MessageIds {
    /// Ids of the publisher of this name.
    pub fn new(publisher: &str) -> Self {
        Self {
            prefix: format!("{publisher}-{:08x}", rand::random::<u32>()),
            sequence: AtomicU64::new(0),
        }
    }

    /// The next one.
    pub fn next(&self) -> String {
        format!(
            "{}-{}",
            self.prefix,
            self.sequence.fetch_add(1, Ordering::Relaxed)
        )
    }
}
