//! One pass over the rows: finds the faults that a single row shows, and adds up what the checks
//! compare afterwards. Keeps 24 bytes per live row, 64 per other row and one byte per request. Ids
//! and buyers are compared here, whatever indexes the tables have.

use super::{
    CLOCK_MARGIN_MS,
    bounded_list::BoundedList,
    changes::{Asked, Changes},
    database::{Order, Parked, Release, Sale, status},
    lives::Lives,
    outcome_index::OutcomeIndex,
    releases::Releases,
};
use reports::outcome_log::{Outcome, Record};
use std::collections::{BTreeMap, HashMap};

/// Faults by the check that names them.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) void: BoundedList,
    pub(super) another_buyers: BoundedList,
    pub(super) quantity: BoundedList,
    pub(super) price: BoundedList,
    pub(super) parked_accepted: BoundedList,
    pub(super) parked_unresolved: BoundedList,
    pub(super) status: BoundedList,
    pub(super) gone: BoundedList,
    pub(super) allocation: BoundedList,
    pub(super) not_on_sale: BoundedList,
    pub(super) refused_buyer: BoundedList,
    pub(super) error_buyer: BoundedList,
    pub(super) nowhere: BoundedList,
}

/// What the rows of one allocation add up to.
#[derive(Debug)]
pub(super) struct AllocationTally {
    pub(super) product_id: i64,
    epoch: i64,
    pub(super) live_units: i64,
    /// Unix ms of its first order, at which its epoch must have been open.
    pub(super) first_order_ms: Option<i64>,
}

/// What the rows of one sale add up to.
#[derive(Debug, Default)]
pub(super) struct SaleTally {
    pub(super) live_units: i64,
    pub(super) cancelled: Vec<Returned>,
    pub(super) voided: Vec<Returned>,
}

/// The units of a row that is no longer live, and their way back to the engine.
#[derive(Debug)]
pub(super) struct Returned {
    pub(super) user_id: i64,
    pub(super) units: i64,
    pub(super) allocation_id: i64,
    /// Unix µs before which the order cannot have held them.
    pub(super) held_since_us: i64,
    /// Unix ms when the row was last changed, before which nothing came back.
    pub(super) changed_at_ms: i64,
    /// Unix ms when the engine had them, if that is known.
    pub(super) released_at_ms: Option<i64>,
}

#[derive(Debug)]
pub(super) struct Tally<'a> {
    outcomes: &'a OutcomeIndex,
    sales: &'a BTreeMap<i64, Sale>,
    pub(super) faults: Faults,
    pub(super) changes: Changes,
    pub(super) releases: Releases,
    pub(super) lives: Lives,
    pub(super) by_allocation: HashMap<i64, AllocationTally>,
    pub(super) by_sale: BTreeMap<i64, SaleTally>,
    pub(super) order_ids: Vec<i64>,
    /// (product, user) of every live row.
    pub(super) live_buyers: Vec<(i64, i64)>,
    /// By position in the log: whether this request accounts for a row that was found.
    has_row: Vec<bool>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(
        outcomes: &'a OutcomeIndex,
        sales: &'a BTreeMap<i64, Sale>,
        releases: Vec<Release>,
    ) -> Self {
        let mut by_allocation = HashMap::new();
        for (product_id, sale) in sales {
            for allocation in &sale.allocations {
                let booked = AllocationTally {
                    product_id: *product_id,
                    epoch: allocation.epoch,
                    live_units: 0,
                    first_order_ms: None,
                };
                by_allocation.insert(allocation.id, booked);
            }
        }
        Self {
            outcomes,
            sales,
            faults: Faults::default(),
            changes: Changes::default(),
            releases: Releases::new(releases),
            lives: Lives::default(),
            by_allocation,
            by_sale: sales.keys().map(|id| (*id, SaleTally::default())).collect(),
            order_ids: Vec::with_capacity(outcomes.accepted().len()),
            live_buyers: Vec::with_capacity(outcomes.accepted().len()),
            has_row: vec![false; outcomes.len()],
        }
    }

    pub(super) fn has_row(&self, at: u32) -> bool {
        self.has_row[at as usize]
    }

    pub(super) fn parked(&mut self, parked: &Parked) {
        // Order id 0 stands for a whole message that could not be read; its orders are found as
        // lost ones.
        if !self.outcomes.told(parked.order_id).is_empty() {
            self.faults
                .parked_accepted
                .add(|| format!("order {} ({})", parked.order_id, parked.reason));
        }
        if !parked.resolved {
            self.faults
                .parked_unresolved
                .add(|| format!("record {} ({})", parked.id, parked.reason));
        }
    }

    pub(super) fn order(&mut self, order: &Order) {
        self.order_ids.push(order.order_id);
        let outcomes = self.outcomes;
        let told = outcomes.told(order.order_id);
        for at in told {
            self.compare_with_told(*at, order);
        }
        let sales = self.sales;
        let sale = sales.get(&order.product_id);
        self.follow(order, sale);
        let Some(sale) = sale else {
            self.faults
                .not_on_sale
                .add(|| format!("{} of product {}", order.name(), order.product_id));
            return;
        };
        self.add_up(order);
        self.check_status(order);
        // A void row stands for an order that never came about, so its price and its buyer do not
        // matter.
        if order.status == status::VOID {
            return;
        }
        if order.quantity.checked_mul(sale.expected.price_cents) != Some(order.total_price_cents) {
            let (units, price) = (order.quantity, order.total_price_cents);
            self.faults
                .price
                .add(|| format!("{}: {units} units for {price} cents", order.name()));
        }
        if told.is_empty() {
            self.account_for_untold(order);
        }
    }

    /// After the last row.
    pub(super) fn end(&mut self) {
        let has_row = &self.has_row;
        self.changes
            .without_rows(self.outcomes, |at| has_row[at as usize]);
        self.releases.without_rows();
    }

    /// What became of the order after it was made.
    fn follow(&mut self, order: &Order, sale: Option<&Sale>) {
        let outcomes = self.outcomes;
        for at in outcomes.asked_about(order.order_id) {
            self.has_row[*at as usize] = true;
        }
        let asked = Asked::about(outcomes, order);
        let time_to_pay_ms = sale.and_then(|sale| sale.expected.time_to_pay_ms);
        self.changes.row(outcomes, order, asked, time_to_pay_ms);
        self.lives.row(outcomes, order, asked);
        let made_in = self.by_allocation.get(&order.allocation_id);
        let newest = sale.and_then(|sale| sale.allocations.iter().map(|one| one.epoch).max());
        let epochs = made_in.map_or(0, |made_in| made_in.epoch)..=newest.unwrap_or(i64::MAX);
        self.releases.row(order, &epochs);
        if order.status == status::CANCELLED {
            self.check_gone(order);
        }
    }

    /// Once the engine has the units of a cancelled order back, its buyer has no order to be told
    /// about, for the first time or again. Before, a retry may still be answered with it.
    fn check_gone(&mut self, order: &Order) {
        let Some(released_at_ms) = self.releases.released_at_ms(order.order_id) else {
            return;
        };
        let gone_us = (released_at_ms + CLOCK_MARGIN_MS).saturating_mul(1_000);
        let duplicates = self.outcomes.duplicates(order.order_id).iter();
        for at in duplicates.chain(self.outcomes.told(order.order_id)) {
            let after_us = self.outcomes.record(*at).began_at_unix_us() - gone_us;
            if after_us > 0 {
                let after_ms = after_us / 1_000 + CLOCK_MARGIN_MS;
                self.faults
                    .gone
                    .add(|| format!("{}, {after_ms} ms after its release", order.name()));
            }
        }
    }

    fn check_status(&mut self, order: &Order) {
        let is_known = (0..=status::VOID).contains(&order.status);
        let may_expire = order.expired == 0 || order.status == status::CANCELLED;
        let is_expired_legal = (0..=1).contains(&order.expired) && may_expire;
        if !is_known || !is_expired_legal || order.live != is_live(order).then_some(1) {
            let live = order.live.map_or("NULL".into(), |live| live.to_string());
            let expired = match order.expired {
                0 => String::new(),
                expired => format!(" and expired {expired}"),
            };
            self.faults.status.add(|| {
                format!(
                    "{} with status {} and live {live}{expired}",
                    order.name(),
                    order.status
                )
            });
        }
    }

    fn compare_with_told(&mut self, at: u32, order: &Order) {
        let outcomes = self.outcomes;
        let told = outcomes.record(at);
        self.has_row[at as usize] = true;
        if (told.user_id, told.product_id) != (order.user_id, order.product_id) {
            self.faults.another_buyers.add(|| {
                format!(
                    "{} of product {}, told to user {}",
                    order.name(),
                    order.product_id,
                    told.user_id
                )
            });
            return;
        }
        if order.status == status::VOID {
            self.faults.void.add(|| order.name());
        } else {
            self.compare_quantity(told, order);
        }
    }

    fn compare_quantity(&mut self, told: &Record, order: &Order) {
        if !self.outcomes.quantity_was_asked(told, order.quantity) {
            let (units, wanted) = (order.quantity, told.quantity);
            self.faults
                .quantity
                .add(|| format!("{}: {units} units instead of {wanted}", order.name()));
        }
    }

    fn add_up(&mut self, order: &Order) {
        let live_units = if is_live(order) { order.quantity } else { 0 };
        let sold = self.by_sale.entry(order.product_id).or_default();
        sold.live_units += live_units;
        if is_live(order) {
            self.live_buyers.push((order.product_id, order.user_id));
        } else {
            let returned = Returned {
                user_id: order.user_id,
                units: order.quantity,
                allocation_id: order.allocation_id,
                held_since_us: self.outcomes.held_since_us(
                    order.order_id,
                    order.product_id,
                    order.user_id,
                ),
                changed_at_ms: order.updated_at_ms,
                released_at_ms: self.releases.released_at_ms(order.order_id),
            };
            match order.status {
                status::CANCELLED => sold.cancelled.push(returned),
                _ => sold.voided.push(returned),
            }
        }
        match self.by_allocation.get_mut(&order.allocation_id) {
            Some(booked) if booked.product_id == order.product_id => {
                booked.live_units += live_units;
                let first = booked.first_order_ms.unwrap_or(i64::MAX);
                booked.first_order_ms = Some(first.min(order.created_at_ms));
            }
            _ => self
                .faults
                .allocation
                .add(|| format!("{} names allocation {}", order.name(), order.allocation_id)),
        }
    }

    /// An order whose id was told to no buyer is right only if its own buyer has a request with an
    /// unknown outcome. One such request accounts for one order.
    fn account_for_untold(&mut self, order: &Order) {
        let outcomes = self.outcomes;
        let requests = outcomes.requests_of(order.product_id, order.user_id);
        let may_account = |at: &&u32| {
            outcomes.record(**at).outcome == Outcome::Unknown && !self.has_row[**at as usize]
        };
        let wanted_this = |at: &&u32| i64::from(outcomes.record(**at).quantity) == order.quantity;
        let exact = requests.iter().filter(may_account).find(wanted_this);
        if let Some(at) = exact.or_else(|| requests.iter().find(may_account)) {
            self.has_row[*at as usize] = true;
            self.compare_quantity(outcomes.record(*at), order);
            return;
        }
        let was_told = |outcome| {
            requests
                .iter()
                .any(|at| outcomes.record(*at).outcome == outcome)
        };
        let fault = if outcomes.may_have_an_order(order.product_id, order.user_id) {
            &mut self.faults.nowhere
        } else if was_told(Outcome::Refused) {
            &mut self.faults.refused_buyer
        } else if was_told(Outcome::Error) {
            &mut self.faults.error_buyer
        } else {
            &mut self.faults.nowhere
        };
        fault.add(|| order.name());
    }
}

/// Judged by the status; the column `live` is checked, not trusted.
fn is_live(order: &Order) -> bool {
    !matches!(order.status, status::CANCELLED | status::VOID)
}
