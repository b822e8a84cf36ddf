//! Those who change orders and release what was cancelled.

/// An instance of the order service, the expiry, or a relay. Each may die before its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hand {
    Idle,
    /// Has seen the order's row, and which pool row is open; its transaction comes next.
    Looked {
        order: usize,
        change: Change,
        pool: usize,
    },
    /// Has read that the release of an order is left; the engine's answer comes next.
    Called(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    Cancel,
    Pay,
    /// Cancels because nobody paid in time.
    Expire,
    Complete,
}
