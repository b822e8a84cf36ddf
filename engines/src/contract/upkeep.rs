//! The background tasks of an engine.

use crate::{IncarnationId, Term};

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
