//! The way of cancelled units back to the engine: the releases, against the rows.
//! Keeps 57 bytes per release.

use super::{
    CLOCK_MARGIN_MS,
    bounded_list::BoundedList,
    database::{Order, Release, status},
};
use std::{collections::BTreeMap, ops::RangeInclusive};

/// Releases that the engine has not had yet, of one sale.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Left {
    pub(super) count: u64,
    pub(super) units: i64,
}

#[derive(Debug)]
pub(super) struct Releases {
    /// By order id.
    all: Vec<Release>,
    /// By position in `all`: whether it is of a cancelled row that was found.
    has_row: Vec<bool>,
    pub(super) left_of: BTreeMap<i64, Left>,
    pub(super) cancelled_rows: u64,
    /// Cancelled rows without exactly one release.
    pub(super) of_cancels: BoundedList,
    /// Releases of orders that are not cancelled.
    pub(super) stray: BoundedList,
    /// Releases that say something else than their order.
    pub(super) unlike_order: BoundedList,
    pub(super) left: BoundedList,
}

impl Releases {
    pub(super) fn new(mut all: Vec<Release>) -> Self {
        all.sort_unstable_by_key(|release| release.order_id);
        let mut left_of = BTreeMap::<i64, Left>::new();
        let mut left = BoundedList::default();
        for release in all
            .iter()
            .filter(|release| release.released_at_ms.is_none())
        {
            let of_sale = left_of.entry(release.product_id).or_default();
            of_sale.count += 1;
            of_sale.units += release.quantity;
            left.add(|| name(release));
        }
        Self {
            has_row: vec![false; all.len()],
            all,
            left_of,
            cancelled_rows: 0,
            of_cancels: BoundedList::default(),
            stray: BoundedList::default(),
            unlike_order: BoundedList::default(),
            left,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// `epochs`: from that of the order's allocation to the newest.
    pub(super) fn row(&mut self, order: &Order, epochs: &RangeInclusive<i64>) {
        let cancelled = order.status == status::CANCELLED;
        let start = self.start_of(order.order_id);
        let count = self.of(order.order_id).len();
        if cancelled {
            self.cancelled_rows += 1;
            if count != 1 {
                self.of_cancels
                    .add(|| format!("{} has {count}", order.name()));
            }
        }
        for at in start..start + count {
            self.has_row[at] = true;
            let release = self.all[at];
            if !cancelled {
                self.stray
                    .add(|| format!("{} is {}", order.name(), order.state()));
            } else if let Some(why) = unlike(&release, order, epochs) {
                self.unlike_order.add(|| format!("{}: {why}", order.name()));
            }
        }
    }

    /// Releases of which no row was found.
    pub(super) fn without_rows(&mut self) {
        for (release, _) in self.all.iter().zip(&self.has_row).filter(|(_, has)| !**has) {
            self.stray.add(|| format!("{} has no row", name(release)));
        }
    }

    /// Unix ms when the engine had the units of this order, if that is known.
    pub(super) fn released_at_ms(&self, order_id: i64) -> Option<i64> {
        let releases = self.of(order_id).iter();
        releases.filter_map(|release| release.released_at_ms).max()
    }

    /// Unix ms when the engine of this epoch of a sale first had units back, as far as is known. What
    /// stands in its name is done by no earlier one: release-by-epoch (R12).
    pub(super) fn first_done_ms(&self, product_id: i64, epoch: i64) -> Option<i64> {
        let of_epoch = |one: &&Release| (one.product_id, one.epoch) == (product_id, epoch);
        let releases = self.all.iter().filter(of_epoch);
        releases.filter_map(|release| release.released_at_ms).min()
    }

    fn of(&self, order_id: i64) -> &[Release] {
        let rest = &self.all[self.start_of(order_id)..];
        &rest[..rest.partition_point(|release| release.order_id == order_id)]
    }

    fn start_of(&self, order_id: i64) -> usize {
        self.all
            .partition_point(|release| release.order_id < order_id)
    }
}

fn unlike(release: &Release, order: &Order, epochs: &RangeInclusive<i64>) -> Option<String> {
    let Release {
        user_id,
        product_id,
        quantity,
        epoch,
        ..
    } = *release;
    if (user_id, product_id, quantity) != (order.user_id, order.product_id, order.quantity) {
        return Some(format!(
            "{quantity} units of product {product_id} for user {user_id}"
        ));
    }
    if !epochs.contains(&epoch) {
        return Some(format!(
            "epoch {epoch}, not {} to {}",
            epochs.start(),
            epochs.end()
        ));
    }
    let early_ms = order.updated_at_ms - release.released_at_ms.unwrap_or(i64::MAX);
    (early_ms > CLOCK_MARGIN_MS).then(|| format!("done {early_ms} ms before the cancel"))
}

fn name(release: &Release) -> String {
    format!("order {} (user {})", release.order_id, release.user_id)
}
