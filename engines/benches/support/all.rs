//! The bodies of the benches, of the `memory` example, and of the test that runs them all tiny.

#[path = "../../../servers/src/database_server.rs"]
pub mod mariadb;
#[path = "../../../engines/src/testing/test_database.rs"]
pub mod places;
#[path = "../../../servers/src/redis_server.rs"]
pub mod redis_server;
#[path = "../../../engines/src/testing/system_around.rs"]
pub mod rest_of_system;

pub mod cases;
pub mod client;
pub mod memory;
pub mod pure;
pub mod stand;
