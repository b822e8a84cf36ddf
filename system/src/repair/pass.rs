//! What a pass over everything that may need repair did, and what it left.

use serde::Serialize;

/// What one pass did, and what it found but could not finish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pass {
    /// Dead or stopped incarnations that were fenced and drained.
    pub incarnations_retired: u64,
    /// Epochs opened.
    pub epochs_opened: u64,
    /// Those of them that are the first of their sale.
    #[serde(skip)]
    pub first_epochs: u64,
    /// Sales that have ended: everything of them is rows, and the engine has forgotten them.
    pub sales_ended: u64,
    /// Holds settled because their row exists.
    pub holds_settled: u64,
    /// Holds whose order was voided and whose units went back.
    pub holds_released: u64,
    /// Interrupted transfers that were finished, and units that were moved.
    pub transfers: u64,
    /// Orders cancelled because they were not paid in time.
    pub orders_expired: u64,
    /// Releases in the outbox that are done now: by the engine, or because there is nothing left to
    /// do about them.
    pub releases_done: u64,
    /// Old rows that nobody needs any more and that were deleted. No repair: however many there are,
    /// nobody waits for them.
    pub forgotten: u64,
    /// Things still to be repaired.
    pub left: u64,
}

impl Pass {
    /// Counts another pass in.
    pub fn add(&mut self, other: Self) {
        self.incarnations_retired += other.incarnations_retired;
        self.epochs_opened += other.epochs_opened;
        self.first_epochs += other.first_epochs;
        self.sales_ended += other.sales_ended;
        self.holds_settled += other.holds_settled;
        self.holds_released += other.holds_released;
        self.transfers += other.transfers;
        self.orders_expired += other.orders_expired;
        self.releases_done += other.releases_done;
        self.forgotten += other.forgotten;
        self.left += other.left;
    }

    /// Whether anything was repaired.
    pub fn did_something(&self) -> bool {
        let repaired = Self {
            left: 0,
            forgotten: 0,
            ..*self
        };
        repaired != Self::default()
    }
}
