//! Cancels, payments and expiries: what the buyers were told about them, against the rows. An order
//! that is overdue and not yet expired is no fault, because a leg may end before the next look.

use super::{
    CLOCK_MARGIN_MS,
    bounded_list::BoundedList,
    database::{Order, status},
    outcome_index::OutcomeIndex,
};
use reports::outcome_log::{Operation, Outcome, Record};

const CLOCK_MARGIN_US: i64 = CLOCK_MARGIN_MS * 1_000;

/// What the buyer of one order asked about it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    /// Unix µs at which the first cancel was sent that may have been done.
    pub(super) cancel_us: Option<i64>,
    /// The same of payments.
    pay_us: Option<i64>,
    cancel_told_yes: bool,
    pay_told_yes: bool,
}

impl Asked {
    pub(super) fn about(outcomes: &OutcomeIndex, order: &Order) -> Self {
        let asked = outcomes.asked_about(order.order_id);
        let records = asked.iter().map(|at| outcomes.record(*at));
        Self::of(records.filter(|record| record.user_id == order.user_id))
    }

    fn of<'a>(records: impl Iterator<Item = &'a Record>) -> Self {
        let mut asked = Self::default();
        for record in records {
            let (first_us, told_yes) = match record.operation {
                Operation::Cancel => (&mut asked.cancel_us, &mut asked.cancel_told_yes),
                Operation::Pay => (&mut asked.pay_us, &mut asked.pay_told_yes),
                Operation::Buy => continue,
            };
            *told_yes |= is_yes(record);
            if is_yes(record) || record.outcome == Outcome::Unknown {
                let sent_us = record.began_at_unix_us();
                *first_us = Some(first_us.map_or(sent_us, |first| first.min(sent_us)));
            }
        }
        asked
    }
}

/// Faults by the check that names them, and how many were looked at.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) cancels_told_yes: u64,
    pub(super) cancel_told_yes: BoundedList,
    pub(super) pays_told_yes: u64,
    pub(super) pay_told_yes: BoundedList,
    pub(super) changed_orders: u64,
    pub(super) cancelled_and_paid: BoundedList,
    pub(super) refusals: u64,
    pub(super) refused: BoundedList,
    pub(super) another_buyers: BoundedList,
    pub(super) cancelled_rows: u64,
    pub(super) cancelled: BoundedList,
    pub(super) paid_rows: u64,
    pub(super) paid: BoundedList,
    pub(super) expired_rows: u64,
    pub(super) expired: BoundedList,
}

impl Changes {
    /// `time_to_pay_ms`: of the order's sale.
    pub(super) fn row(
        &mut self,
        outcomes: &OutcomeIndex,
        order: &Order,
        asked: Asked,
        time_to_pay_ms: Option<i64>,
    ) {
        let records = outcomes.asked_about(order.order_id).iter();
        for record in records.map(|at| outcomes.record(*at)) {
            if record.user_id == order.user_id {
                self.told(record, order, asked);
            } else if is_yes(record) || record.outcome == Outcome::Refused {
                let user_id = record.user_id;
                self.another_buyers
                    .add(|| format!("{}, told to user {user_id}", order.name()));
            }
        }
        self.told_both(asked, || order.name());
        let changed_us = (order.updated_at_ms + CLOCK_MARGIN_MS).saturating_mul(1_000);
        let before_change = |sent_us: Option<i64>| sent_us.is_some_and(|sent| sent <= changed_us);
        match order.status {
            status::CANCELLED if order.expired != 0 => {
                self.expired_row(outcomes, order, time_to_pay_ms);
            }
            status::CANCELLED => {
                self.cancelled_rows += 1;
                if !before_change(asked.cancel_us) {
                    self.cancelled.add(|| order.name());
                }
            }
            status::PAID | status::COMPLETED => {
                self.paid_rows += 1;
                if !before_change(asked.pay_us) {
                    self.paid.add(|| order.name());
                }
            }
            _ => {}
        }
    }

    /// What was told about orders of which no row was found; `has_row` says it of a record.
    pub(super) fn without_rows(&mut self, outcomes: &OutcomeIndex, has_row: impl Fn(u32) -> bool) {
        let groups = outcomes.asked_by_order();
        for group in groups.filter(|group| !has_row(group[0])) {
            let records = || group.iter().map(|at| outcomes.record(*at));
            let name = |record: &Record| {
                format!("order {} (user {})", record.asked_order_id, record.user_id)
            };
            for record in records() {
                if let Some(faults) = self.count(record) {
                    faults.add(|| format!("{} has no row", name(record)));
                }
            }
            self.told_both(Asked::of(records()), || name(outcomes.record(group[0])));
        }
    }

    fn told(&mut self, record: &Record, order: &Order, asked: Asked) {
        let by_us = record.ended_at_unix_us.saturating_add(CLOCK_MARGIN_US);
        let changed_ms = order.updated_at_ms;
        let was_changed = changed_ms.saturating_mul(1_000) <= by_us;
        let asked_before = |sent_us: Option<i64>| sent_us.is_some_and(|sent| sent <= by_us);
        let cancelled = order.status == status::CANCELLED;
        let (is_right, told_too_early) = match (record.outcome, record.operation) {
            (Outcome::Refused, _) => {
                let has_reason = match order.status {
                    status::CANCELLED => {
                        was_changed && (order.expired != 0 || asked_before(asked.cancel_us))
                    }
                    status::PAID => was_changed && asked_before(asked.pay_us),
                    // It was paid earlier than the row says.
                    status::COMPLETED => asked_before(asked.pay_us),
                    _ => false,
                };
                (has_reason, false)
            }
            (_, Operation::Cancel) => {
                let is_cancelled = cancelled && order.expired == 0;
                (is_cancelled && was_changed, is_cancelled)
            }
            _ => {
                let is_paid = order.status == status::PAID;
                let is_completed = order.status == status::COMPLETED;
                (is_completed || is_paid && was_changed, is_paid)
            }
        };
        let Some(faults) = self.count(record).filter(|_| !is_right) else {
            return;
        };
        if told_too_early {
            let after_ms = changed_ms - record.ended_at_unix_us / 1_000;
            faults.add(|| format!("{} was so only {after_ms} ms later", order.name()));
        } else {
            faults.add(|| format!("{} is {}", order.name(), order.state()));
        }
    }

    /// The list of faults of what this record was told. None if it was told nothing.
    fn count(&mut self, record: &Record) -> Option<&mut BoundedList> {
        let (count, faults) = match (record.outcome, record.operation) {
            (Outcome::Refused, _) => (&mut self.refusals, &mut self.refused),
            (Outcome::Accepted | Outcome::Duplicate, Operation::Cancel) => {
                (&mut self.cancels_told_yes, &mut self.cancel_told_yes)
            }
            (Outcome::Accepted | Outcome::Duplicate, _) => {
                (&mut self.pays_told_yes, &mut self.pay_told_yes)
            }
            _ => return None,
        };
        *count += 1;
        Some(faults)
    }

    fn told_both(&mut self, asked: Asked, name: impl FnOnce() -> String) {
        self.changed_orders += u64::from(asked.cancel_told_yes || asked.pay_told_yes);
        if asked.cancel_told_yes && asked.pay_told_yes {
            self.cancelled_and_paid.add(name);
        }
    }

    /// An order is as old as its row says, or younger if its buyer asked for it later.
    fn expired_row(&mut self, outcomes: &OutcomeIndex, order: &Order, time_to_pay_ms: Option<i64>) {
        self.expired_rows += 1;
        let Some(time_to_pay_ms) = time_to_pay_ms else {
            let why = "need not be paid in time";
            self.expired.add(|| format!("{} {why}", order.name()));
            return;
        };
        let asked_us = outcomes.asked_since_us(order.order_id, order.product_id, order.user_id);
        let made_at_ms = order.created_at_ms.max(asked_us / 1_000);
        let age_ms = order.updated_at_ms - made_at_ms;
        if age_ms < time_to_pay_ms - CLOCK_MARGIN_MS {
            self.expired
                .add(|| format!("{} after {age_ms} ms of {time_to_pay_ms}", order.name()));
        }
    }
}

fn is_yes(record: &Record) -> bool {
    matches!(record.outcome, Outcome::Accepted | Outcome::Duplicate)
}
