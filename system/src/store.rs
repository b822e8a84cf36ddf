//! The database: one set of operations on two databases, MySQL (or MariaDB) and SQLite.
//!
//! The statements are written once, in `statements/`, and compiled for either database; what their
//! dialects say differently is in `mysql.rs` and `sqlite.rs`. Whatever role needs SQL asks for it
//! here, by what it is for.

mod mysql;
mod sqlite;
mod turn_lock;
mod types;

pub use turn_lock::TurnLock;
pub use types::{Fenced, OpenSale, Poison, SaleRow, SeedSale, Snapshot, WriteBatch, Written};

use crate::config::{DatabaseConfig, DatabaseKind};
use crate::envelope::OrderEvent;
use engines::{Epoch, OpenHold, OrderId, SaleId, Term};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Longest wait for connections to close.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Order states as stored in `orders.status`.
pub mod status {
    /// Never became an order; blocks its order id for ever.
    pub const VOID: i64 = 4;
}

/// Most sales that one process serves.
pub const MAX_SALES: i64 = 10_000;

/// A connected database; cheap to clone.
#[derive(Clone, Debug)]
pub enum Store {
    /// MySQL or MariaDB.
    MySql(mysql::Database),
    /// The embedded stack's file.
    Sqlite(sqlite::Database),
}

impl Store {
    /// Connects, or says why not.
    pub async fn connect(config: &DatabaseConfig) -> anyhow::Result<Self> {
        match config.kind()? {
            DatabaseKind::MySql => Ok(Self::MySql(mysql::Database::connect(config).await?)),
            DatabaseKind::Sqlite => Ok(Self::Sqlite(sqlite::Database::connect(config).await?)),
        }
    }

    /// Creates the database if it is missing, brings its schema up to date, and connects.
    pub async fn migrate(config: &DatabaseConfig) -> anyhow::Result<Self> {
        match config.kind()? {
            DatabaseKind::MySql => Ok(Self::MySql(mysql::Database::migrate(config).await?)),
            DatabaseKind::Sqlite => Ok(Self::Sqlite(sqlite::Database::migrate(config).await?)),
        }
    }

    /// Closes all connections, but does not wait for a database that hangs.
    pub async fn close(self) {
        let closing = async {
            match self {
                Self::MySql(database) => database.close().await,
                Self::Sqlite(database) => database.close().await,
            }
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, closing).await.is_err() {
            tracing::warn!(
                ?CLOSE_TIMEOUT,
                "the database did not let go of its connections"
            );
        }
    }

    /// Takes the turn to open epochs, or learns that another reconciler has it. The number grows
    /// with every claim.
    pub async fn take_turn(&self) -> sqlx::Result<(Option<TurnLock>, i64)> {
        match self {
            Self::MySql(database) => database.take_turn().await,
            // One process uses the file, with one reconciler in it.
            Self::Sqlite(_) => Ok((Some(TurnLock::alone()), 0)),
        }
    }
}

/// Declares operations that both databases have, with the same statements.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $result:ty;)+) => {
        impl Store {
            $($(#[$doc])*
            pub async fn $name(&self, $($arg: $type),*) -> sqlx::Result<$result> {
                match self {
                    Self::MySql(database) => database.$name($($arg),*).await,
                    Self::Sqlite(database) => database.$name($($arg),*).await,
                }
            })+
        }
    };
}

// Sales and epochs.
operations! {
    /// The database's clock, unix ms. One clock for all heartbeats.
    now_ms() -> i64;
    /// All sales with their terms, by id; at most [`MAX_SALES`].
    sales() -> Vec<SaleRow>;
    /// Creates a sale and its product; one that exists is left as it is.
    create_sale(sale: &SeedSale, now_s: i64) -> ();
    /// Takes the next epoch number; from here on nobody learns the old term any more. `None`:
    /// another was faster.
    claim_epoch(sale: SaleId) -> Option<Epoch>;
    /// R11, R19: closes every allocation of the sale and grants what no live row has taken, in one
    /// transaction with the snapshot of live buyers. `None`: a newer epoch was claimed meanwhile.
    grant(sale: SaleId, epoch: Epoch) -> Option<Snapshot>;
    /// R14: opens the term if its epoch is still the newest; `false` if it is not.
    open_term(term: &Term, allocation_id: i64) -> bool;
}

// Incarnations, their queues and what proves that a queue is drained.
operations! {
    /// Every worker id that was ever used: until when ids may have been minted under it (unix ms),
    /// and whether it is held.
    worker_ids() -> Vec<(i64, i64, bool)>;
    /// Registers an incarnation under a worker id; `None` if somebody else holds it.
    register(worker: i64, lease_ms: u64, minted_until_ms: i64) -> Option<i64>;
    /// Stores the queue's name and confirms that the generation is still the present one (R2).
    confirm_binding(id: i64, generation: i64, queue: &str) -> bool;
    /// Extends the lease; `false` means that this generation has been fenced.
    heartbeat(id: i64, generation: i64, minted_until_ms: i64) -> bool;
    /// Takes up a generation, and acknowledges it; `false` means that it has been fenced again.
    adopt(id: i64, generation: i64) -> bool;
    /// Acknowledges whatever fence there is; returns the present generation, and whether the
    /// incarnation is live.
    acknowledge(id: i64) -> (i64, bool);
    /// Fences an incarnation by its own wish, acknowledged at once.
    hand_back(id: i64, minted_until_ms: i64) -> ();
    /// R1: fences incarnations whose lease has run out for sure; returns how many.
    fence_expired(margin_ms: u64) -> u64;
    /// Incarnations that are fenced for good and can no longer say yes, with their generation.
    fenced_for_sure(margin_ms: u64, limit: i64) -> Vec<Fenced>;
    /// Incarnations that are fenced and not gone yet.
    count_fenced() -> u64;
    /// Publishers that count as live and have not been heard since `since_ms`: each will either
    /// speak or be fenced.
    silent_since(since_ms: i64) -> u64;
    /// R6: stores that this incarnation is drained for ever, frees its worker id, and gives back to
    /// the sale's pool what its leases have not sold. One transaction.
    retire(id: i64) -> ();
    /// Queues of incarnations that are gone and whose deletion is not known to have been done.
    queues_to_delete(limit: i64) -> Vec<i64>;
    /// Remembers that there is no such queue any more.
    queue_deleted(id: i64) -> ();
    /// Queues that may hold messages. Also those of incarnations that are gone and not deleted yet:
    /// a consumer that died before it could acknowledge left rows' messages in there, and a queue
    /// is deleted only when it is empty.
    queues(limit: i64) -> Vec<i64>;
    /// Every incarnation whose queue may still hold messages, with its generation.
    generations() -> Vec<(i64, i64)>;
    /// Publishing processes whose lease runs, ascending.
    live_publishers() -> Vec<i64>;
    /// R1: bumps the generation of every live publisher.
    fence_live() -> ();
    /// Whether nobody can say yes any more under a generation before this one.
    is_fenced(id: i64, generation: i64, margin_ms: u64) -> bool;
    /// The session that consumes the queue now; `None` when the queue counts as drained for ever
    /// (R6) or never was.
    consumer_session(id: i64) -> Option<i64>;
    /// The session that committed this marker, if it is committed.
    marker_session(nonce: u64) -> Option<i64>;
    /// Deletes a bounded number of markers that were committed before.
    forget_markers(before_ms: i64) -> ();
}

// Orders.
operations! {
    /// Which of these orders have rows, and whether those are live (not void, not cancelled).
    live_by_order(orders: &[i64]) -> HashMap<i64, bool>;
    /// R9: makes it final that these orders never were; returns those for which it is final now.
    /// For the others a row appeared meanwhile: look again.
    insert_voids(sale: SaleId, allocation_id: i64, holds: &[OpenHold]) -> HashSet<OrderId>;
    /// R10: those of `holds` that an unresolved parked record may be; they are not voided until it
    /// is resolved.
    maybe_parked(holds: &[OpenHold]) -> HashSet<OrderId>;
    /// Orders of this incarnation that were ever parked; 0 stands for a whole message.
    parked_of(incarnation: i64) -> Vec<i64>;
    /// Writes a batch in one transaction; see [`Written`].
    write(batch: &WriteBatch, orders: &[OrderEvent], careful: bool) -> Written;
}
