//! What an engine needs besides requests: a check of its server, background work, and an orderly
//! end. What an engine does not need it leaves to the default, which does nothing; one that keeps
//! stock has at least something to forget in [`Upkeep::retire`].

use crate::{Epoch, IncarnationId, Result, SaleId, Term};

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

    /// The sale is over: the engine forgets it, up to and with `epoch`, and keeps a note of at most
    /// 200 bytes that names this epoch. Nothing is sold any more after this call, so it may come
    /// while orders are still on their way to their rows. An engine whose state is in the publishing
    /// processes is called in each of them, before or after it is fenced.
    ///
    /// # Contract
    /// - Afterwards every term of the sale up to `epoch` is not open, and its keys, rows and memory
    ///   are gone but for the note; the memory of other processes once they have tended the sale
    ///   again.
    /// - An opening of `epoch` or an older one is `Stale`, however late it comes.
    /// - Other sales are untouched, and so is a later epoch of this one.
    /// - Retiring again, or a sale that never was, changes nothing else.
    /// - A later epoch of the sale opens as if it were the first.
    async fn retire(&self, sale: SaleId, epoch: Epoch) -> Result<()> {
        let _ = (sale, epoch);
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
