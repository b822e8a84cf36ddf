//! What an engine says of itself: its name, its parameters, and what it promises.

use serde::Serialize;

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
    /// An opening deals the buyers among the publishing processes, and a buyer must always reach
    /// the process that owns them: [`StockView::owners`](crate::StockView::owners).
    pub needs_user_affinity: bool,
    /// State lives in the process: all threads of a process share one engine object, and each
    /// publishing process tends every open sale every few ms. The process that opens a sale need
    /// not be one that sells: those learn of the opening when they tend.
    pub needs_one_engine_per_process: bool,
    /// The publishing process settles, and voids, its own open holds: consumer and reconciler
    /// cannot reach them.
    pub settles_own_holds: bool,
}
