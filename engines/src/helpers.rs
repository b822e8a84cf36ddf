//! What more than one engine needs and no engine is: servers, allocation rows.

pub mod allocations;
pub mod database_server;
pub mod redis_server;
