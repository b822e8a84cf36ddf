//! What guards the gateway: who asks, how often, from how many connections, and what of their bytes is
//! read. The parts know nothing of the routes.

pub mod addresses;
pub mod breaker;
mod buckets;
pub mod connections;
pub mod cors;
pub mod json;
pub mod limit;
pub mod rates;
mod retry_after;
