//! The sections about what happens to an order after it was accepted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The order service.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OrderConfig {
    /// Address of the gRPC listener.
    pub listen: String,
    /// Time from the making of an order after which it is cancelled if it is not paid, s; 0: never.
    pub time_to_pay_s: u64,
    /// Longest wait of a cancel or a payment for the row of its order, ms.
    pub row_wait_ms: u64,
    /// Cancels and payments under way at the same time, those included that wait for their rows;
    /// more are turned away, and of one user more than a hundredth of it.
    pub max_pending: usize,
    /// Most cancels and payments that are written together.
    pub max_batch: usize,
    /// Whether other services get a copy of every order and of every cancel on `seckill.exchange`.
    pub copies: bool,
    /// `http://host:port` or `https://host:port` of a seckill service, through which administrators make orders for others.
    pub seckill_url: String,
}

impl Default for OrderConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:50054".to_owned(),
            time_to_pay_s: 900,
            row_wait_ms: 1_000,
            max_pending: 20_000,
            max_batch: 256,
            copies: false,
            seckill_url: "http://127.0.0.1:50053".to_owned(),
        }
    }
}

/// The product service.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProductConfig {
    /// Address of the gRPC listener.
    pub listen: String,
    /// Longest wait for a change of stock to be in effect, ms; it stays wanted beyond it.
    pub stock_timeout_ms: u64,
    /// How old the number of units left may be that is shown, ms; its age is shown with it.
    pub stock_age_ms: u64,
    /// How often an instance reads which products others have changed, ms.
    pub changes_interval_ms: u64,
}

impl Default for ProductConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:50052".to_owned(),
            stock_timeout_ms: 15_000,
            stock_age_ms: 250,
            changes_interval_ms: 250,
        }
    }
}

/// The outbox: what is still to be done about cancelled orders, and copies for other services; and
/// how long is kept what is done.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutboxConfig {
    /// Pause between two looks of the cancel-consumer, ms; for copies at least 1,000 where
    /// `order.copies` is off.
    pub interval_ms: u64,
    /// What is done is kept this long, s: in the outbox, dead letters that are resolved, and keys of
    /// administrators. Copies that nobody took are dropped after it, too.
    pub retention_s: u64,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self {
            interval_ms: 100,
            retention_s: 86_400,
        }
    }
}
