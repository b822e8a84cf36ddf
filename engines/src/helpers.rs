//! What more than one engine needs and no engine is: servers, allocation rows, what the engines in
//! Redis keep of a sale, time. Offered to engines of other crates, too.

pub mod allocations;
#[cfg(test)]
pub mod broken_scripts;
pub mod clock;
pub mod database_server;
pub mod key_set;
pub mod known_terms;
#[cfg(test)]
pub mod lost_lives;
pub mod records;
pub mod redis_server;
