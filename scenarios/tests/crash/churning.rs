//! What buyers who churn do after the yes, and what has to go on while they do, on either stack.

use crate::load::Load;
use crate::wait::until_at_least;
use loadgen::plan::{Delay, Orders};
use std::net::SocketAddr;
use std::time::Duration;

pub const THINK: Duration = Duration::from_millis(150);
/// What has to go on after each kill, and how it is counted.
const GOES_ON: [(&str, &str); 4] = [
    ("rows are written", "SELECT COUNT(*) FROM orders"),
    (
        "orders are cancelled",
        "SELECT COUNT(*) FROM orders WHERE status = 2 AND expired = 0",
    ),
    (
        "orders are paid",
        "SELECT COUNT(*) FROM orders WHERE status = 1",
    ),
    (
        "orders expire",
        "SELECT COUNT(*) FROM orders WHERE status = 2 AND expired = 1",
    ),
];
/// So many more of each.
const MORE: i64 = 10;
pub const UNPAID: &str = "SELECT COUNT(*) FROM orders WHERE status = 0 AND live = 1";

/// What the scenario `cancel-churn` does, by buyers who leave a debug build the time to write orders
/// before they are cancelled.
pub fn after_the_yes(address: SocketAddr) -> Orders {
    Orders {
        address: address.to_string(),
        connections: 2,
        cancel: 0.4,
        pay: 0.3,
        cancel_and_pay: 0.1,
        again: 0.7,
        twice: 0.2,
        delay: Delay {
            min: Duration::from_millis(200),
            max: Duration::from_millis(800),
        },
    }
}

/// Waits until there is more of everything, `number` being what a statement counts.
pub async fn goes_on(load: &Load, number: impl AsyncFn(&'static str) -> i64) {
    let mut wanted = Vec::new();
    for (what, sql) in GOES_ON {
        wanted.push((what, sql, number(sql).await + MORE));
    }
    load.sells(MORE.unsigned_abs()).await;
    for (what, sql, wanted) in wanted {
        until_at_least(what, wanted, async || number(sql).await).await;
    }
}
