//! The database as the roles need it: whatever role needs SQL asks for it here, by what it is for.
//!
//! One file per noun, each statement once for MySQL (or MariaDB) and SQLite; what the two say
//! differently comes from the `database` crate.

mod changes;
mod consumers;
mod dead_letters;
mod deleted_products;
mod endings;
mod epochs;
mod handle;
mod incarnations;
mod lost_queues;
mod made_orders;
mod markers;
mod order_views;
mod orders;
mod outbox;
mod overview;
mod parking;
mod pools;
mod product_views;
mod products;
mod releases;
mod retention;
mod sales;
mod schema;
mod stock_changes;
mod sweeps;
mod types;
mod users;
mod write;

pub use changes::{OrderChange, OrderChanged, OrderWish};
pub use dead_letters::{DeadLetter, Ending, Fate, Replayed, WholeDeadLetter};
pub use deleted_products::Deleted;
pub use handle::Store;
pub use made_orders::{BuyingTurn, KnownOrder, MadeOrder};
pub use order_views::{OrderPage, OrderView};
pub use outbox::{CopyLeft, DEAD_LETTER};
pub use overview::{
    Allocated, ConsumerState, IncarnationState, LeaseState, OrderCounts, SaleState,
};
pub use product_views::{ProductFilter, ProductPage, ProductView};
pub use products::{Changed, NewProduct, ProductChange};
pub use releases::{Release, ReleaseCursor, ReleasesLeft};
pub use stock_changes::{StockChange, TOTAL_MAX, Wish};
pub use sweeps::PlaceMove;
pub use types::{
    ConsumerLife, Fenced, Life, OpenSale, OrderState, ParkedOf, PastSale, Poison, Publisher,
    SaleRow, SeedSale, WorkerUse, WriteBatch, status,
};
pub use users::{Account, NewAccount, Revocation};

#[cfg(test)]
pub(crate) mod tests;
