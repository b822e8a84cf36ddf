//! The one way in which this project talks to two databases, MySQL (or MariaDB) and SQLite:
//! connections, transactions, statements in fixed sizes.
//!
//! It knows no table: engines and system bring their own statements and schema.

mod connection;

pub mod fixed_rows;
pub mod sqlite;

pub use connection::{Arg, Connection, Database, Tx};
