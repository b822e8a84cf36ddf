//! Stock engines: fast gates in front of the database that decide who gets a unit.
//!
//! This crate owns the [`StockEngine`] contract, every engine (one file each), the registry that
//! makes them selectable by name, and the conformance suite that holds any engine to the contract.
//! It knows nothing of brokers, consumers or the network in front of it.

#[cfg(test)]
extern crate self as engines;

mod contract;
mod registry;

mod database_row;
mod lua_single_key;
mod null;
mod optimistic_row;
mod preallocated;
mod sharded_slots;
mod unsafe_counter;

mod standard;

pub mod conformance;
pub mod helpers;
pub mod testing;

pub use contract::{
    AllocationId, BATCH_MAX, EngineError, EngineInfo, Epoch, Finish, FinishKind, Finished,
    Guarantees, Hold, HoldKey, HoldPage, HoldPageQuery, IncarnationId, Nonce, OpenHold, Opened,
    Opening, OpeningBuyer, OrderId, PAGE_MAX, Reserve, Result, SaleId, StockEngine, StockView,
    Tending, Term, Upkeep, UserId, Verdict,
};
pub use database::id;
pub use helpers::allocations::{ALLOCATIONS, close_leases};
pub use helpers::database_server;
pub use registry::{
    BuildFuture, EngineEnv, EngineFactory, EngineSpec, ParamKind, ParamSpec, Params, Registry,
    SettingSpec,
};
