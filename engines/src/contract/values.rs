//! The values that cross the seam: terms, openings, requests and verdicts, holds, and the view of a
//! sale.

use crate::{AllocationId, Epoch, IncarnationId, Nonce, OrderId, SaleId, UserId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

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

/// What [`StockEngine::open`](crate::StockEngine::open) loads.
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
    /// The buyer's live order.
    pub order: OrderId,
    /// Its units.
    pub quantity: u32,
}

/// Answer to [`StockEngine::open`](crate::StockEngine::open).
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

/// Most items of one call of [`StockEngine::reserve`](crate::StockEngine::reserve),
/// [`finish`](crate::StockEngine::finish) and [`mark`](crate::StockEngine::mark) that every engine
/// takes; callers give no more.
pub const BATCH_MAX: usize = 2_500;

/// One request for units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// The buyer.
    pub user: UserId,
    /// The id the order will have if it is granted.
    pub order: OrderId,
    /// Units asked for, at least 1; also if it may not sell.
    pub quantity: u32,
    /// Unix time in ms, by the engine's clock, after which this request must not sell any more:
    /// deadline-before-reserve (R7).
    pub expires_at_ms: i64,
    /// Who will publish the order.
    pub incarnation: IncarnationId,
    /// Whether units may be granted. If not, only a buyer who has an order is told about it: who
    /// cannot publish looks without selling.
    pub may_sell: bool,
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
    /// The user has no order, and the request may not sell.
    NoOrder,
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

/// One hold to settle or release. How many units come back is the engine's own record, never the
/// caller's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finish {
    /// The buyer.
    pub user: UserId,
    /// The order.
    pub order: OrderId,
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
    /// Another instance owns this user: only that one can do it.
    WrongInstance,
}

/// Which open holds [`StockEngine::open_holds`](crate::StockEngine::open_holds) is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldPageQuery {
    /// Least age since the last touch, by the engine's clock.
    pub age: Duration,
    /// 0, or `next` of the page before.
    pub cursor: u64,
    /// Rough size of a page, 1 to [`PAGE_MAX`].
    pub limit: u32,
}

/// Largest [`HoldPageQuery::limit`]; an engine takes a larger one for this.
pub const PAGE_MAX: u32 = 10_000;

/// Answer to [`StockEngine::open_holds`](crate::StockEngine::open_holds).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldPage {
    /// The holds of this page.
    pub holds: Vec<OpenHold>,
    /// Cursor of the next page; `None` at the end.
    pub next: Option<u64>,
}

/// Names a hold: a buyer and their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HoldKey {
    /// The buyer.
    pub user: UserId,
    /// The order.
    pub order: OrderId,
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

impl OpenHold {
    /// What names it in [`StockEngine::mark`](crate::StockEngine::mark).
    pub const fn key(&self) -> HoldKey {
        HoldKey {
            user: self.user,
            order: self.order,
        }
    }
}

/// The engine's view of a sale.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StockView {
    /// Units that can still be sold.
    pub remaining: i64,
    /// Units in open holds; of an engine with `needs_one_engine_per_process`, in those of
    /// this process.
    pub open_units: u64,
    /// The epoch the engine holds data of, if any.
    pub epoch: Option<Epoch>,
    /// Whether the asked term could sell now. The reconciler asks, in a process that has nothing of
    /// the sale in memory, and opens the next epoch as soon as this is false.
    pub is_open: bool,
    /// Who owns the buyers of each partition of this epoch: buyer `u` is in partition
    /// `u modulo owners.len()`. `None`: nobody owns them. Empty where no process owns
    /// anybody; an engine whose state is in one process that deals no buyers names that one.
    pub owners: Vec<Option<IncarnationId>>,
    /// Identity of the server's present life; empty where there is no server.
    pub server: String,
    /// The engine's clock, unix ms.
    pub clock_ms: i64,
}

impl StockView {
    /// Who owns `user`; `None`: nobody, or anybody may sell to them because no buyers are dealt.
    pub fn owner_of(&self, user: UserId) -> Option<IncarnationId> {
        let partitions = i64::try_from(self.owners.len())
            .ok()
            .filter(|len| *len > 0)?;
        let partition = usize::try_from(user.0.rem_euclid(partitions)).ok()?;
        *self.owners.get(partition)?
    }

    /// Everybody who owns a partition, each once, ascending.
    pub fn instances(&self) -> Vec<IncarnationId> {
        let mut instances: Vec<_> = self.owners.iter().copied().flatten().collect();
        instances.sort_unstable();
        instances.dedup();
        instances
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_buyer_is_that_of_the_partition() {
        let (one, two) = (IncarnationId(1), IncarnationId(2));
        let view = StockView {
            owners: vec![Some(two), Some(one), None, Some(two)],
            ..StockView::default()
        };
        assert_eq!(view.owner_of(UserId(4)), Some(two));
        assert_eq!(view.owner_of(UserId(5)), Some(one));
        assert_eq!(view.owner_of(UserId(6)), None);
        assert_eq!(view.instances(), [one, two]);
        let undealt = StockView::default();
        assert_eq!(
            (undealt.owner_of(UserId(4)), undealt.instances()),
            (None, Vec::new())
        );
    }
}
