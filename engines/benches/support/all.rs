//! The bodies of the benches, of the `memory` example, and of the test that runs them all tiny.

pub mod cases;
pub mod client;
pub mod memory;
pub mod pure;
pub mod stand;
