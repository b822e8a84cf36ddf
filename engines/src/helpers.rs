//! What more than one engine needs and no engine is: servers, allocation rows, time. Offered to
//! engines of other crates, too.

pub mod allocations;
pub mod clock;
pub mod database_server;
pub mod redis_server;
pub mod retire;
