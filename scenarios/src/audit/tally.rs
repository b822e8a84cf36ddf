//! One pass over the rows: finds the faults that a single row shows, and adds up what the checks
//! compare afterwards. Keeps 24 bytes per live row, 72 per other row and one byte per request. Ids and buyers are compared
//! here, whatever indexes the tables have.

use super::{
    CLOCK_MARGIN_MS,
    bounded_list::BoundedList,
    database::{Order, Parked, Sale},
    outcome_index::OutcomeIndex,
};
use reports::outcome_log::{Operation, Outcome, Record};
use std::collections::{BTreeMap, HashMap};

const STATUS_CANCELLED: i64 = 2;
const STATUS_VOID: i64 = 4;
const STATUS_MAX: i64 = 4;

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
    pub(super) cancelled: BoundedList,
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
    /// Unix ms when the row was last changed, before which nothing came back.
    pub(super) changed_at_ms: i64,
    /// Unix ms when the engine had them, if that is known.
    pub(super) released_at_ms: Option<i64>,
}

#[derive(Debug)]
pub(super) struct Tally<'a> {
    outcomes: &'a OutcomeIndex,
    sales: &'a BTreeMap<i64, Sale>,
    /// By order id.
    released_at_ms: HashMap<i64, i64>,
    pub(super) faults: Faults,
    pub(super) by_allocation: HashMap<i64, AllocationTally>,
    pub(super) by_sale: BTreeMap<i64, SaleTally>,
    pub(super) order_ids: Vec<i64>,
    /// (product, user) of every live row.
    pub(super) live_buyers: Vec<(i64, i64)>,
    /// By position in the log: whether this request accounts for a row that was found.
    has_row: Vec<bool>,
}

impl<'a> Tally<'a> {
    /// `released_at_ms`: when the engine had the units of cancelled orders, by order id.
    pub(super) fn new(
        outcomes: &'a OutcomeIndex,
        sales: &'a BTreeMap<i64, Sale>,
        released_at_ms: HashMap<i64, i64>,
    ) -> Self {
        let mut by_allocation = HashMap::new();
        for (product_id, sale) in sales {
            for allocation in &sale.allocations {
                let booked = AllocationTally {
                    product_id: *product_id,
                    live_units: 0,
                    first_order_ms: None,
                };
                by_allocation.insert(allocation.id, booked);
            }
        }
        Self {
            outcomes,
            sales,
            released_at_ms,
            faults: Faults::default(),
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
        let told = self.outcomes.told(order.order_id);
        for at in told {
            self.compare_with_told(*at, order);
        }
        let sales = self.sales;
        let Some(sale) = sales.get(&order.product_id) else {
            self.faults
                .not_on_sale
                .add(|| format!("{} of product {}", name(order), order.product_id));
            return;
        };
        self.add_up(order);
        if !(0..=STATUS_MAX).contains(&order.status) || order.live != is_live(order).then_some(1) {
            let live = order.live.map_or("NULL".into(), |live| live.to_string());
            self.faults.status.add(|| {
                format!(
                    "{} with status {} and live {live}",
                    name(order),
                    order.status
                )
            });
        }
        // A void row stands for an order that never came about, so its price and its buyer do not
        // matter.
        if order.status == STATUS_VOID {
            return;
        }
        if order.quantity.checked_mul(sale.expected.price_cents) != Some(order.total_price_cents) {
            let (units, price) = (order.quantity, order.total_price_cents);
            self.faults
                .price
                .add(|| format!("{}: {units} units for {price} cents", name(order)));
        }
        if order.status == STATUS_CANCELLED && !self.may_be_cancelled(order, sale) {
            self.faults.cancelled.add(|| name(order));
        }
        if told.is_empty() {
            self.account_for_untold(order);
        }
    }

    /// An order is cancelled because its buyer asked for it before, or because it was not paid in
    /// time; never once its buyer was told that it is paid.
    fn may_be_cancelled(&self, order: &Order, sale: &Sale) -> bool {
        let changed_at_us = (order.updated_at_ms + CLOCK_MARGIN_MS).saturating_mul(1_000);
        let mut cancelled = sale.expected.time_to_pay_ms.is_some_and(|limit_ms| {
            order.updated_at_ms - order.created_at_ms >= limit_ms - CLOCK_MARGIN_MS
        });
        for asked in self.outcomes.asked_about(order.order_id, order.user_id) {
            let told_yes = matches!(asked.outcome, Outcome::Accepted | Outcome::Duplicate);
            if asked.operation == Operation::Pay && told_yes {
                return false;
            }
            cancelled |= asked.operation == Operation::Cancel
                && (told_yes || asked.outcome == Outcome::Unknown)
                && asked.began_at_unix_us() <= changed_at_us;
        }
        cancelled
    }

    fn compare_with_told(&mut self, at: u32, order: &Order) {
        let outcomes = self.outcomes;
        let told = outcomes.record(at);
        self.has_row[at as usize] = true;
        if (told.user_id, told.product_id) != (order.user_id, order.product_id) {
            self.faults.another_buyers.add(|| {
                format!(
                    "{} of product {}, told to user {}",
                    name(order),
                    order.product_id,
                    told.user_id
                )
            });
            return;
        }
        if order.status == STATUS_VOID {
            self.faults.void.add(|| name(order));
        } else {
            self.compare_quantity(told, order);
        }
    }

    fn compare_quantity(&mut self, told: &Record, order: &Order) {
        if !self.outcomes.quantity_was_asked(told, order.quantity) {
            let (units, wanted) = (order.quantity, told.quantity);
            self.faults
                .quantity
                .add(|| format!("{}: {units} units instead of {wanted}", name(order)));
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
                changed_at_ms: order.updated_at_ms,
                released_at_ms: self.released_at_ms.get(&order.order_id).copied(),
            };
            match order.status {
                STATUS_CANCELLED => sold.cancelled.push(returned),
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
                .add(|| format!("{} names allocation {}", name(order), order.allocation_id)),
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
        fault.add(|| name(order));
    }
}

/// Judged by the status; the column `live` is checked, not trusted.
fn is_live(order: &Order) -> bool {
    !matches!(order.status, STATUS_CANCELLED | STATUS_VOID)
}

fn name(order: &Order) -> String {
    format!("order {} (user {})", order.order_id, order.user_id)
}
