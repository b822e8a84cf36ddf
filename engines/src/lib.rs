//! Stock engines: fast gates in front of the database that decide who gets a unit.
//!
//! This crate owns the [`StockEngine`] contract, every engine (one file each), the registry that
//! makes them selectable by name, and the conformance suite that holds any engine to the contract.
//! It knows nothing of brokers, consumers or the network in front of it.

#[cfg(test)]
extern crate self as engines;

mod allocation;
mod database_server;
mod engine;
mod error;
mod ids;
mod registry;

mod database_row;
mod lua_single_key;
mod null;
mod preallocated;
mod redis_server;
mod sharded_slots;

pub mod conformance;
pub mod fixed_rows;
pub mod sqlite;

pub use allocation::{
    ALLOCATIONS_MYSQL, ALLOCATIONS_SQLITE, close_leases_mysql, close_leases_sqlite,
};
pub use database_row::{TABLES_MYSQL as DATABASE_ROW_MYSQL, TABLES_SQLITE as DATABASE_ROW_SQLITE};
pub use engine::{
    EngineInfo, Finish, FinishKind, Finished, Guarantees, Hold, HoldPage, HoldQuery, Maintain,
    Maintained, OpenHold, Opened, Opening, OpeningBuyer, Reserve, StockEngine, StockView, Term,
    Verdict,
};
pub use error::{EngineError, Result};
pub use ids::{AllocationId, Epoch, IncarnationId, Nonce, OrderId, SaleId, UserId};
pub use preallocated::{TABLES_MYSQL as PREALLOCATED_MYSQL, TABLES_SQLITE as PREALLOCATED_SQLITE};
pub use registry::{
    BuildFuture, EngineEnv, EngineFactory, EngineSpec, ParamKind, ParamSpec, Params, Registry,
};
