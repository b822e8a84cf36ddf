//! What an engine with tables is tested in: a database that has them, and the parts of the system
//! that work on the same rows; and a Redis that every engine on one must refuse. For engines of this
//! crate and of any other; the private servers come from the crate `servers`.
//!
//! ```no_run
//! # async fn example(engine: std::sync::Arc<dyn engines::StockEngine>) {
//! use engines::testing::{SystemAround, TestDatabase};
//!
//! let database = TestDatabase::sqlite().await;
//! let system = SystemAround::new(database);
//! // As a subject of `engines::conformance` returns it from `connect`.
//! let engine = system.around(engine);
//! # }
//! ```

pub mod old_server;
mod system_around;
mod test_database;

pub use system_around::SystemAround;
pub use test_database::{TestDatabase, let_database_forget};
