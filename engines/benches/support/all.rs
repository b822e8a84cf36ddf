//! The bodies of the benches, of the `memory` example, and of the test that runs them all tiny.

#[path = "../../tests/support/mariadb.rs"]
pub mod mariadb;
#[path = "../../tests/support/places.rs"]
pub mod places;
#[path = "../../tests/support/redis_server.rs"]
pub mod redis_server;
#[path = "../../tests/support/rest_of_system.rs"]
pub mod rest_of_system;

pub mod cases;
pub mod client;
pub mod memory;
pub mod pure;
pub mod stand;
