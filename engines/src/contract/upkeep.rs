//! What an engine needs besides requests: a check of its server, background work, and an orderly
//! end. What an engine does not need it leaves to the default, which does nothing; one that keeps
//! stock has at least something to forget in [`Upkeep::retire`].

use crate::{IncarnationId, Result, SaleId, Term};

/// Background work of engines that need some, and the safety check of the server behind the engine.
///
/// Every task is idempotent, may be dropped at any point and repeated, and may run in several
/// processes at the same time.
#[async_trait::async_trait]
pub trait Upkeep: Send + Sync + std::fmt::Debug {
    /// Checks that the server behind the engine can keep the contract; answers its durability and
    /// version settings, as name and value, for the result file. With `allow_volatile` a server
    /// that may forget (no AOF, an eviction policy) is accepted.
    ///
    /// # Contract
    /// - A server that can forget or evict what it acknowledged is refused, with the reason.
    async fn check_server(&self, allow_volatile: bool) -> Result<Vec<(String, String)>> {
        let _ = allow_volatile;
        Ok(Vec::new())
    }

    /// Regular care of one open sale: finishes interrupted transfers, refills and reports leases,
    /// hands idle units back. The reconciler calls it on every pass; a publishing process calls it
    /// every few ms if the engine's state is in that process. Answers how many things were repaired
    /// or moved.
    ///
    /// # Contract
    /// - It finishes what a crash interrupted and moves units to where they are asked for; it sells
    ///   nothing itself.
    async fn tend(&self, tending: &Tending) -> Result<u64> {
        let _ = tending;
        Ok(0)
    }

    /// The publishing process `publisher` stops in order: what it has not sold goes back.
    ///
    /// # Contract
    /// - Afterwards the incarnation is granted nothing more, and what it had not sold can be sold
    ///   by others.
    async fn hand_back(&self, publisher: IncarnationId) -> Result<()> {
        let _ = publisher;
        Ok(())
    }

    /// The sale is over for good: the engine forgets it. Whoever calls this has fenced every
    /// publisher and drained every queue, so nothing of the sale is under way.
    ///
    /// # Contract
    /// - Afterwards every term of the sale is not open, and its keys, rows and memory are gone; the
    ///   memory of other processes once they have tended the sale again.
    /// - Other sales are untouched.
    /// - Retiring again, or a sale that never was, changes nothing.
    /// - A later epoch of the sale opens as if it were the first. The engine no longer knows which
    ///   epochs there were: that no older one is opened again is the caller's care,
    ///   open-by-condition (R14).
    async fn retire(&self, sale: SaleId) -> Result<()> {
        let _ = sale;
        Ok(())
    }
}

/// Whose care of which sale [`Upkeep::tend`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tending {
    /// The open term.
    pub term: Term,
    /// The publishing process that calls; `None`: the reconciler.
    pub publisher: Option<IncarnationId>,
}
