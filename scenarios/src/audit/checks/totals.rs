//! What a sale's total must be: what was set up, with the changes that the log of stock changes
//! says were applied.

use super::super::database::{Sale, StockChange};

/// What a sale's total may be, in units.
pub(super) struct DueTotal {
    /// With every applied change in full.
    pub(super) least: i64,
    /// With every cut that was applied in part, because more was sold already, left out as far as
    /// it says so.
    pub(super) most: i64,
    pub(super) applied: usize,
}

impl DueTotal {
    pub(super) fn of(sale: &Sale) -> Self {
        let (mut delta, mut left_out, mut applied) = (0, 0, 0);
        for change in &sale.changes {
            let Some(applied_total) = change.applied_total else {
                continue;
            };
            applied += 1;
            delta += change.delta;
            left_out += not_cut(change, applied_total);
        }
        let least = sale.expected.total + delta;
        Self {
            least,
            most: least + left_out,
            applied,
        }
    }

    pub(super) fn allows(&self, total: i64) -> bool {
        (self.least..=self.most).contains(&total)
    }
}

/// The total that everything else is compared with: the database's, as far as it is explained.
pub(super) fn total(sale: &Sale) -> i64 {
    let due = DueTotal::of(sale);
    sale.total.clamp(due.least, due.most)
}

fn not_cut(change: &StockChange, applied_total: i64) -> i64 {
    let more = (applied_total - change.wanted_total).max(0);
    more.min((-change.delta).max(0))
}
