//! What guards the gateway: who asks, how often, from how many connections, and what of their bytes is
//! read. The parts know nothing of the routes.

pub mod json;
