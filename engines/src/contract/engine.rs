//! The seam every stock engine plugs into: one trait of seven methods and the values that cross it.
//!
//! Conventions that hold for every method: calls are made per sale and name the [`Term`] they act
//! under; batches are answered item by item in the order they were given; refusals are values,
//! errors mean infrastructure; a time-out after sending is
//! [`EngineError::Unknown`](crate::EngineError::Unknown), never "failed"; every method may be
//! called from any process, concurrently.

use crate::{AllocationId, Epoch, IncarnationId, Nonce, OrderId, Result, SaleId, UserId};
use serde::{Deserialize, Serialize};

/// A fast gate in front of the database that decides, for one sale, who gets units while they last.
#[async_trait::async_trait]
pub trait StockEngine: Send + Sync + std::fmt::Debug {
    /// What this engine is, with which parameters, and what it guarantees.
    fn info(&self) -> EngineInfo;

    /// Loads stock and gate for a new epoch and opens it.
    ///
    /// # Contract
    /// - Nothing is sold in a sale before it has been opened.
    /// - After `Opened`, exactly `granted` units can be sold and every buyer in `buyers` is a
    ///   settled duplicate.
    /// - Opening the same term again changes nothing and answers `AlreadyOpen`.
    /// - An epoch that is not newer than the engine's newest one, under another nonce, is `Stale`
    ///   and changes nothing.
    /// - A half-finished opening sells nothing; a newer epoch replaces it.
    async fn open(&self, opening: &Opening) -> Result<Opened>;

    /// Asks for units for every item of `batch`; all items belong to the sale of `term`.
    ///
    /// # Contract
    /// - The result has one entry per item, in order; a batch answers as the same requests one by
    ///   one would.
    /// - A grant takes its units, makes the order the user's hold, and records touch and
    ///   incarnation, in one atomic step.
    /// - Never are more units granted than are left; a smaller request may still be granted after a
    ///   larger was refused.
    /// - A user with a live order gets `Duplicate` with that order's id and quantity; while the
    ///   hold is open the call touches it.
    /// - A refusal leaves no trace.
    /// - An item whose `expires_at_ms` has passed is `Expired` and sells nothing.
    /// - A hold marked for voiding answers `Busy` and is not touched.
    /// - Under a term that is not the open one, everything is `NotOpen`, also after the server lost
    ///   its state.
    /// - An engine that needs user affinity answers `WrongInstance` for users whom another
    ///   incarnation owns.
    async fn reserve(&self, term: &Term, batch: &[Reserve]) -> Vec<Result<Verdict>>;

    /// Settles or releases holds.
    ///
    /// # Contract
    /// - Settling closes the hold, keeps the user's gate, moves no units; settling again is
    ///   `AlreadyDone`.
    /// - Releasing gives the units back exactly once and clears the gate only if it still belongs
    ///   to that order.
    /// - Settle and release may come in any order and concurrently; the final state is that of the
    ///   release.
    /// - Under a term that is not the open one nothing happens and the answer is `NotOpen`.
    async fn finish(&self, term: &Term, batch: &[Finish]) -> Vec<Result<Finished>>;

    /// Lists open holds, or marks some of them for voiding.
    ///
    /// # Contract
    /// - `List` pages through every hold that stays open during the listing, with its age since the
    ///   last touch.
    /// - `Mark` tests the age and sets the mark in one atomic step; a hold touched too recently is
    ///   not marked.
    /// - A marked hold stays marked and listed until it is settled or released.
    async fn holds(&self, term: &Term, query: &HoldQuery) -> Result<HoldPage>;

    /// The engine's own view of a sale; cross-checked against the database, never trusted over it.
    ///
    /// # Contract
    /// - When quiet, `remaining + open_units` plus what was settled and not released equals what
    ///   was granted.
    /// - `is_open` is true only if `term` could sell right now.
    async fn stock(&self, term: &Term) -> Result<StockView>;

    /// Background work of engines that need some, and the safety check of the server behind the
    /// engine.
    ///
    /// # Contract
    /// - `CheckServer` refuses a server that can forget or evict what it acknowledged, with the
    ///   reason.
    /// - `Tend` finishes what a crash interrupted and moves units to where they are asked for; it
    ///   sells nothing itself.
    /// - After `HandBack` the incarnation is granted nothing more, and what it had not sold can be
    ///   sold by others.
    /// - Every task is idempotent and may run in several processes at once.
    async fn maintain(&self, task: &Maintain) -> Result<Maintained>;
}

/// One opening of one sale, read once before a reserve and used for everything that follows from
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Term {
    /// The sale.
    pub sale: SaleId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The nonce of the opening.
    pub nonce: Nonce,
}

/// What [`StockEngine::open`] loads.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The term to open.
    pub term: Term,
    /// Units that may be sold in this epoch.
    pub granted: u64,
    /// Every buyer whose live order blocks another purchase.
    pub buyers: Vec<OpeningBuyer>,
    /// Every publishing process that lives at the time of the opening. An engine that needs user
    /// affinity deals the buyers among them; others ignore it.
    pub publishers: Vec<IncarnationId>,
}

/// A live order at the time of the opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpeningBuyer {
    /// The buyer.
    pub user: UserId,
    /// His live order.
    pub order: OrderId,
    /// Its units.
    pub quantity: u32,
}

/// Answer to [`StockEngine::open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The epoch was loaded and is open.
    Opened,
    /// This very term was open already; nothing changed.
    AlreadyOpen,
    /// The engine knows an epoch that is as new or newer; nothing changed.
    Stale {
        /// The newest epoch the engine knows.
        newest: Epoch,
    },
}

/// One request for units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// The buyer.
    pub user: UserId,
    /// The id the order will have if it is granted.
    pub order: OrderId,
    /// Units asked for, at least 1.
    pub quantity: u32,
    /// Unix time in ms after which this request must not sell any more.
    pub expires_at_ms: i64,
    /// Who will publish the order.
    pub incarnation: IncarnationId,
}

/// Answer to one [`Reserve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The units are held for this order.
    Granted {
        /// The lease's own allocation that the order counts against; `None`: that of the term.
        allocation: Option<AllocationId>,
    },
    /// The user already has a live order in this sale.
    Duplicate(Hold),
    /// Fewer units are left than were asked for.
    SoldOut {
        /// Units left when this was decided.
        remaining: u64,
    },
    /// The sale is not open under this term.
    NotOpen,
    /// Another instance owns this user.
    WrongInstance,
    /// Cannot be decided now: the user's hold is being voided, or units are on their way. Try again
    /// shortly.
    Busy,
    /// The request came after its deadline.
    Expired,
}

impl Verdict {
    /// A grant that counts against the term's own allocation.
    pub const GRANTED: Self = Self::Granted { allocation: None };

    /// Whether units were granted.
    pub const fn is_granted(&self) -> bool {
        matches!(self, Self::Granted { .. })
    }
}

/// The live order of a user who asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The order.
    pub order: OrderId,
    /// Its units.
    pub quantity: u32,
    /// Whether its row is known to be in the database.
    pub settled: bool,
    /// While it is open: the lease's own allocation that it counts against; `None`: that of the
    /// term.
    pub allocation: Option<AllocationId>,
}

/// One hold to settle or release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finish {
    /// The buyer.
    pub user: UserId,
    /// The order.
    pub order: OrderId,
    /// Its units.
    pub quantity: u32,
    /// What to do.
    pub kind: FinishKind,
}

/// What happens to a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishKind {
    /// Its row is in the database: the hold is no longer open.
    Settle,
    /// Its units go back, once.
    Release,
}

/// Answer to one [`Finish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// It was done now.
    Done,
    /// There was nothing to do.
    AlreadyDone,
    /// The term is not open; try again under the current one.
    NotOpen,
}

/// What [`StockEngine::holds`] is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldQuery {
    /// List open holds not touched for `untouched_for_ms`, one page at a time.
    List {
        /// Least age since the last touch, ms.
        untouched_for_ms: u64,
        /// 0, or `next` of the page before.
        cursor: u64,
        /// Rough size of a page, 1 to 10,000.
        limit: u32,
    },
    /// Mark these holds for voiding if they have not been touched for `untouched_for_ms`.
    Mark {
        /// Least age since the last touch, ms.
        untouched_for_ms: u64,
        /// The orders.
        orders: Vec<OrderId>,
    },
}

/// Answer to [`StockEngine::holds`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldPage {
    /// For `List` the holds of this page; for `Mark` those that are marked now.
    pub holds: Vec<OpenHold>,
    /// Cursor of the next page; `None` at the end.
    pub next: Option<u64>,
}

/// An open hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenHold {
    /// The order.
    pub order: OrderId,
    /// The buyer.
    pub user: UserId,
    /// Its units.
    pub quantity: u32,
    /// Engine time of the last touch, unix ms. Compared for equality only.
    pub touched_at_ms: i64,
    /// Age since the last touch by the engine's clock, ms.
    pub age_ms: u64,
    /// Every incarnation that touched it.
    pub touched_by: Vec<IncarnationId>,
    /// Whether it is marked for voiding.
    pub marked: bool,
}

/// The engine's view of a sale.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StockView {
    /// Units that can still be sold.
    pub remaining: i64,
    /// Units in open holds; of an engine with `needs_user_affinity`, in those of this process.
    pub open_units: u64,
    /// The epoch the engine holds data of, if any.
    pub epoch: Option<Epoch>,
    /// Whether the asked term could sell now.
    pub is_open: bool,
    /// Incarnations among whom the buyers of this epoch are dealt, ascending; empty unless the
    /// engine needs user affinity.
    pub owners: Vec<IncarnationId>,
    /// Identity of the server's present life; empty where there is no server.
    pub server: String,
    /// The engine's clock, unix ms.
    pub clock_ms: i64,
}

/// A background task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maintain {
    /// Check that the server behind the engine can keep the contract.
    CheckServer {
        /// Accept a server that may forget (no AOF, an eviction policy).
        allow_volatile: bool,
    },
    /// Regular care of one open sale: finish interrupted transfers, refill and report leases, hand
    /// idle units back. The reconciler calls it on every pass, a publishing process every few ms.
    Tend {
        /// The open term.
        term: Term,
        /// The publishing process that calls; `None`: the reconciler.
        publisher: Option<IncarnationId>,
    },
    /// This publishing process stops in order: what its leases have not sold goes back at once.
    HandBack {
        /// The process.
        publisher: IncarnationId,
    },
}

/// Answer to [`StockEngine::maintain`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// How many things were repaired or moved.
    pub actions: u64,
    /// Durability and version settings of the server, for the result file.
    pub settings: Vec<(String, String)>,
}

/// Name, parameters and guarantees of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EngineInfo {
    /// Registered name.
    pub name: String,
    /// Parameters in effect, as `key=value`.
    pub parameters: Vec<String>,
    /// What it promises; picks the conformance checks.
    pub guarantees: Guarantees,
}

/// What an engine promises beyond the contract that all keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Guarantees {
    /// Keeps stock at all. `false` for `null`: it grants everything, nothing is published, the
    /// audit does not apply.
    pub keeps_stock: bool,
    /// State survives `kill -9` of the process that uses it.
    pub survives_process_kill: bool,
    /// A lost server is noticed and never sold from.
    pub survives_server_loss: bool,
    /// State lives in the publishing process: a buyer must always reach the same instance, all
    /// threads of a process share one engine object, and that process sees to its own open holds.
    pub needs_user_affinity: bool,
}
