//! The check that nobody was told "sold out" while there was enough (f).
//!
//! What was free at some moment is what is left at the end, less what somebody held at that moment
//! and gave back later; what was bought later would only add to it. Three things come back, each no
//! earlier than its order can have been asked for and no later than:
//!
//! - the units of a cancelled or expired order: the release of its row;
//! - the units of a VOID row: [`RELEASE_GRACE_MS`] after it was written;
//! - holds that a new epoch dropped: the first order of the newest epoch, or the first units that its
//!   engine took back. They are no more than what requests without rows asked for that were sent and
//!   not answered, or failed.
//!
//! Units by which the total was raised were not there before the newest epoch either. Where it was
//! cut, there were more before than are counted here.

#[cfg(test)]
mod tests;

use super::super::{
    CLOCK_MARGIN_MS,
    database::Sale,
    outcome_index::{OutcomeIndex, may_hold},
    tally::{Returned, SaleTally, Tally},
};
use super::stock::{PerSale, live_units};
use super::totals::DueTotal;
use reports::{
    outcome_log::{Record, Refusal},
    result::AuditCheck,
};
use std::collections::{BTreeMap, HashMap};

/// After a row says that units come back, and no release says when, the engine has them again
/// within this time. A refusal in between was right: sold-out-means-gone (R18).
const RELEASE_GRACE_MS: i64 = 5_000;

pub(super) fn sold_out(
    outcomes: &OutcomeIndex,
    sales: &BTreeMap<i64, Sale>,
    tally: &Tally<'_>,
) -> AuditCheck {
    let mut per_sale = PerSale::default();
    for (product_id, sale) in sales {
        let left = DueTotal::of(sale).total - live_units(tally, *product_id);
        let away = Away::of(&units_away(outcomes, sale, tally));
        let (mut count, mut wrong, mut first) = (0_u64, 0_u64, None::<(&Record, i64)>);
        let refused = outcomes
            .buy_records()
            .filter(|record| record.product_id == *product_id && may_mean_sold_out(record));
        for record in refused {
            count += 1;
            let free = left - away.during(record);
            if i64::from(record.quantity) <= free {
                wrong += 1;
                let newer =
                    |(first, _): &(&Record, i64)| first.ended_at_unix_us <= record.ended_at_unix_us;
                first = first.filter(newer).or(Some((record, free)));
            }
        }
        let actual = match first {
            None => {
                format!("sale {product_id}: {left} left, {count} told \"sold out\", all rightly")
            }
            Some((record, free)) => format!(
                "sale {product_id}: {left} left; {wrong} of {count} told \"sold out\" wrongly, first user {}, \
                 who wanted {} of {free}",
                record.user_id, record.quantity
            ),
        };
        per_sale.add(wrong == 0, actual);
    }
    per_sale.check(
        "sold out means sold",
        "f",
        "free at each refusal < the quantity refused",
    )
}

/// A text that the driver did not know cannot excuse a refusal.
fn may_mean_sold_out(record: &Record) -> bool {
    matches!(record.refusal, Some(Refusal::SoldOut | Refusal::Other))
}

/// Units that are free at the end and were not at some time before.
#[derive(Clone, Copy, Debug)]
struct UnitsAway {
    units: i64,
    /// Unix µs; they cannot have been away before.
    from_us: i64,
    /// Unix µs; they cannot have been away afterwards.
    until_us: i64,
}

fn units_away(outcomes: &OutcomeIndex, sale: &Sale, tally: &Tally<'_>) -> Vec<UnitsAway> {
    let product_id = sale.expected.product_id;
    let none = SaleTally::default();
    let rows = tally.by_sale.get(&product_id).unwrap_or(&none);
    let of_row = |returned: &Returned, until_ms: i64| UnitsAway {
        units: returned.units,
        from_us: returned.held_since_us,
        until_us: until_us(until_ms),
    };
    let after_grace = |returned: &Returned| returned.changed_at_ms.saturating_add(RELEASE_GRACE_MS);
    let mut away: Vec<UnitsAway> = rows
        .cancelled
        .iter()
        .map(|row| of_row(row, row.released_at_ms.unwrap_or_else(|| after_grace(row))))
        .collect();

    let newest_epoch = Reopening::of(sale, tally);
    let mut voids_of = HashMap::<i64, usize>::new();
    for row in &rows.voided {
        *voids_of.entry(row.user_id).or_default() += 1;
        // Whoever wrote the row may have died before the release, and left it to the next epoch.
        let reopened_ms = newest_epoch
            .as_ref()
            .filter(|newest| !newest.allocations.contains(&row.allocation_id))
            .map_or(i64::MIN, |newest| newest.at_ms);
        away.push(of_row(row, after_grace(row).max(reopened_ms)));
    }
    away.extend(lost(outcomes, product_id, tally));
    let newest_ms = newest_epoch
        .as_ref()
        .map_or(i64::MAX, |newest| newest.at_ms);
    away.extend(raises(sale, newest_ms));
    if let Some(newest) = newest_epoch {
        away.extend(dropped(
            outcomes,
            product_id,
            tally,
            &voids_of,
            newest.at_ms,
        ));
    }
    away
}

/// Orders that somebody was told yes about and that have no row: they are another check's fault,
/// and not that of whoever was refused meanwhile.
fn lost(
    outcomes: &OutcomeIndex,
    product_id: i64,
    tally: &Tally<'_>,
) -> impl Iterator<Item = UnitsAway> {
    outcomes
        .accepted()
        .iter()
        .filter(|at| !tally.has_row(**at))
        .map(|at| outcomes.record(*at))
        .filter(move |record| record.product_id == product_id)
        .map(|record| UnitsAway {
            units: record.quantity.into(),
            from_us: record.began_at_unix_us(),
            until_us: i64::MAX,
        })
}

/// What was added to the total, which the newest epoch had at the latest.
fn raises(sale: &Sale, newest_ms: i64) -> impl Iterator<Item = UnitsAway> {
    let applied = sale
        .changes
        .iter()
        .filter(|change| change.applied_total.is_some());
    applied
        .filter(|change| change.delta > 0)
        .map(move |change| UnitsAway {
            units: change.delta,
            from_us: i64::MIN,
            until_us: until_us(newest_ms),
        })
}

/// What the open holds that a new epoch dropped can have been: of each buyer one at a time, as large
/// as their largest request that has no row, not even a VOID row.
fn dropped(
    outcomes: &OutcomeIndex,
    product_id: i64,
    tally: &Tally<'_>,
    voids_of: &HashMap<i64, usize>,
    reopened_ms: i64,
) -> impl Iterator<Item = UnitsAway> {
    outcomes.buyers_of(product_id).filter_map(move |requests| {
        let mut held = None::<(usize, UnitsAway)>;
        for at in requests {
            let record = outcomes.record(*at);
            if !may_hold(record) || tally.has_row(*at) {
                continue;
            }
            let (count, away) = held.get_or_insert((
                0,
                UnitsAway {
                    units: 0,
                    from_us: record.began_at_unix_us(),
                    until_us: until_us(reopened_ms),
                },
            ));
            *count += 1;
            away.units = away.units.max(record.quantity.into());
        }
        let (count, away) = held?;
        let user_id = outcomes.record(requests[0]).user_id;
        (count > voids_of.get(&user_id).copied().unwrap_or(0)).then_some(away)
    })
}

/// The newest of several epochs.
struct Reopening {
    allocations: Vec<i64>,
    /// Unix ms when it was surely open: its first order was made, or its engine took the units of a
    /// cancelled order back. `i64::MAX` if there was neither.
    at_ms: i64,
}

impl Reopening {
    /// None if there was one epoch only.
    fn of(sale: &Sale, tally: &Tally<'_>) -> Option<Self> {
        let newest = sale.allocations.iter().map(|one| one.epoch).max()?;
        sale.allocations.iter().find(|one| one.epoch < newest)?;
        let allocations: Vec<i64> = sale
            .allocations
            .iter()
            .filter(|one| one.epoch == newest)
            .map(|one| one.id)
            .collect();
        let first_order_ms = allocations
            .iter()
            .filter_map(|id| tally.by_allocation.get(id)?.first_order_ms)
            .min();
        let first_release_ms = tally
            .releases
            .first_done_ms(sale.expected.product_id, newest)
            .unwrap_or(i64::MAX);
        Some(Self {
            at_ms: first_order_ms.unwrap_or(i64::MAX).min(first_release_ms),
            allocations,
        })
    }
}

/// The database's ms as the driver's µs, later by what the clocks may be apart.
fn until_us(at_ms: i64) -> i64 {
    at_ms
        .saturating_add(1 + CLOCK_MARGIN_MS)
        .saturating_mul(1_000)
}

/// How many units were away while a request was answered. Both lists are sorted by time; each entry
/// has the sum of units from it to the end of its list.
#[derive(Debug)]
struct Away {
    by_from: Vec<(i64, i64)>,
    by_until: Vec<(i64, i64)>,
}

impl Away {
    fn of(entries: &[UnitsAway]) -> Self {
        let sums = |time: fn(&UnitsAway) -> i64| {
            let mut sorted: Vec<(i64, i64)> =
                entries.iter().map(|one| (time(one), one.units)).collect();
            sorted.sort_unstable_by_key(|(at_us, _)| *at_us);
            let mut sum = 0;
            for (_, units) in sorted.iter_mut().rev() {
                sum += *units;
                *units = sum;
            }
            sorted
        };
        Self {
            by_from: sums(|one| one.from_us),
            by_until: sums(|one| one.until_us.max(one.from_us)),
        }
    }

    /// Units that may have been away at some moment between the sending of this request and its
    /// reply: those that came back after the one, without those first asked for after the other.
    fn during(&self, request: &Record) -> i64 {
        let after = |sums: &[(i64, i64)], at_us: i64| {
            let first = sums.partition_point(|(time_us, _)| *time_us <= at_us);
            sums.get(first).map_or(0, |(_, units)| *units)
        };
        let ended_us = request
            .ended_at_unix_us
            .saturating_add(CLOCK_MARGIN_MS * 1_000);
        // Margins push both times apart, so `began` is never after `ended_us`.
        after(&self.by_until, request.began_at_unix_us()) - after(&self.by_from, ended_us)
    }
}
