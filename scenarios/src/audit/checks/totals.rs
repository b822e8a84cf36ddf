//! What a sale's total must be: what was set up, with the changes that the log of stock changes
//! says were applied. A cut may be applied in part, because more was sold already; its row says how
//! far.

use super::super::database::{Sale, StockChange};

/// What a sale's total must be, in units.
#[derive(Default)]
pub(super) struct DueTotal {
    pub(super) total: i64,
    /// Changes that were applied, in full or in part.
    pub(super) applied: usize,
    /// What they came to.
    pub(super) change: i64,
    /// Units that could not be cut.
    pub(super) missed: i64,
    /// Changes that say that more, or less, was applied than can have been.
    pub(super) senseless: usize,
}

impl DueTotal {
    pub(super) fn of(sale: &Sale) -> Self {
        let mut due = Self::default();
        for change in &sale.changes {
            let Some(missed) = missed(change) else {
                continue;
            };
            due.applied += 1;
            let can_be = (0..=(-change.delta).max(0)).contains(&missed);
            if can_be {
                due.change += change.delta + missed;
                due.missed += missed;
            } else {
                due.senseless += 1;
                due.change += change.delta;
            }
        }
        due.total = sale.expected.total + due.change;
        due
    }
}

/// Units of a change that were not applied; None: the change was not applied at all.
fn missed(change: &StockChange) -> Option<i64> {
    Some(change.applied_total? - change.wanted_total)
}
