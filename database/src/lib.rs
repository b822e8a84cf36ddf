//! The one way in which this project talks to two databases, MySQL (or MariaDB) and SQLite:
//! connections, transactions, typed rows, statements in fixed sizes, and what the two say
//! differently.
//!
//! It knows no table: engines and system bring their own statements and schema.

mod arg;
mod connect;
mod connection;
mod id;
mod kind;
mod limits;
mod lock;
mod mysql;
mod row;
mod session;

pub mod fault;
pub mod fixed_rows;
pub mod schema;
pub mod sqlite;

pub use arg::{Arg, NO_ARGS};
pub use connect::SetupError;
pub use connection::{Connection, Database, Tx};
pub use kind::DatabaseKind;
pub use limits::PoolLimits;
pub use lock::NamedLock;
pub use masking::{has_password, masked, masked_lines};
pub use mysql::MySqlServer;
pub use row::{FromColumn, FromRow, RowRef};
pub use session::{Session, Transaction};
pub use sqlx::{Error, Result};
