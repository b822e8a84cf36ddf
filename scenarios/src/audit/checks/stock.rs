//! The checks that count units: allocations (a), conservation (d) and sold out (f).

use super::super::{
    EngineStock,
    bounded_list::BoundedList,
    database::{Allocation, Sale},
    outcome_index::OutcomeIndex,
    tally::Tally,
};
use reports::{model::AuditCheck, outcome_log::Outcome};
use std::collections::BTreeMap;

/// After a row says that units came back, the engine has them again within this time. A refusal in
/// between was right: sold-out-means-gone (R18).
const RELEASE_GRACE_MS: i64 = 5_000;

/// The result of one check, sale by sale: where it holds and where it does not.
#[derive(Default)]
struct PerSale {
    right: BoundedList,
    wrong: BoundedList,
}

impl PerSale {
    fn add(&mut self, holds: bool, actual: String) {
        let list = if holds {
            &mut self.right
        } else {
            &mut self.wrong
        };
        list.add(|| actual);
    }

    fn check(&self, name: &str, invariant: &str, expected: &str) -> AuditCheck {
        self.wrong.check(name, invariant, expected, &self.right)
    }
}

/// (a): nothing is sold without the right to sell it.
pub(super) fn allocations(sales: &BTreeMap<i64, Sale>, tally: &Tally<'_>) -> Vec<AuditCheck> {
    let (mut granted, mut oversold) = (PerSale::default(), PerSale::default());
    let (mut within, mut booked) = (PerSale::default(), PerSale::default());
    for (product_id, sale) in sales {
        let total = sale.expected.total;
        let sum = granted_units(sale);
        granted.add(
            sum <= total,
            format!("sale {product_id}: {sum} granted of {total}"),
        );
        let live = live_units(tally, *product_id);
        oversold.add(
            live <= total,
            format!("sale {product_id}: {live} sold of {total}"),
        );
        for Allocation {
            id, granted, sold, ..
        } in &sale.allocations
        {
            within.add(
                (0..=*granted).contains(sold),
                format!("allocation {id}: {sold} sold of {granted} granted"),
            );
            let rows = tally
                .by_allocation
                .get(id)
                .map_or(0, |booked| booked.live_units);
            booked.add(
                *sold == rows,
                format!("allocation {id}: {sold} sold, {rows} in live rows"),
            );
        }
    }
    vec![
        granted.check("granted within total", "a", "Σ granted ≤ total"),
        within.check("sold within granted", "a", "0 ≤ sold ≤ granted"),
        booked.check(
            "sold matches live rows",
            "a",
            "sold = Σ live units of its rows",
        ),
        oversold.check("nothing is oversold", "a", "Σ live units ≤ total"),
        tally.faults.allocation.check(
            "orders name an allocation of their sale",
            "a",
            "an allocation of the order's sale",
            "all do",
        ),
    ]
}

/// (d): with everything at rest, each unit is either sold or can still be sold.
pub(super) fn conservation(
    sales: &BTreeMap<i64, Sale>,
    tally: &Tally<'_>,
    engine_stock: &[EngineStock],
) -> Vec<AuditCheck> {
    let (mut totals, mut conserved, mut engine) =
        (PerSale::default(), PerSale::default(), PerSale::default());
    for (product_id, sale) in sales {
        let (total, stored) = (sale.expected.total, sale.total);
        totals.add(
            stored == total,
            format!("sale {product_id}: {stored} in the database, {total} set up"),
        );

        let (remaining, sold) = (open_units(sale), live_units(tally, *product_id));
        let stranded = total - remaining - sold;
        let verdict = match stranded {
            0 => String::new(),
            1.. => format!(", {stranded} stranded"),
            _ => format!(", {} too many", -stranded),
        };
        let sum = remaining + sold;
        conserved.add(
            stranded == 0,
            format!("sale {product_id}: {remaining} + 0 + {sold} = {sum} of {total}{verdict}"),
        );

        for stock in engine_stock
            .iter()
            .filter(|stock| stock.product_id == *product_id)
        {
            engine.add(
                stock.open_units == 0 && stock.remaining == remaining,
                format!(
                    "sale {product_id}: engine has {} remaining and {} open, database {remaining}",
                    stock.remaining, stock.open_units
                ),
            );
        }
    }
    let mut checks = vec![
        totals.check("total as set up", "d", "the sale's total is the scenario's"),
        conserved.check("stock is conserved", "d", "remaining + open + sold = total"),
    ];
    if !engine_stock.is_empty() {
        checks.push(engine.check(
            "the engine agrees",
            "d",
            "engine: remaining = granted − sold, 0 open",
        ));
    }
    checks
}

/// (f): no buyers are told "sold out" while there are enough units left for them. Only refusals
/// after the last unit came back count: sold-out-means-gone (R18). Buyers who hold an order were
/// refused for another reason (a limit per buyer) and prove nothing.
pub(super) fn sold_out(
    outcomes: &OutcomeIndex,
    sales: &BTreeMap<i64, Sale>,
    tally: &Tally<'_>,
) -> AuditCheck {
    let mut per_sale = PerSale::default();
    for (product_id, sale) in sales {
        let remaining = sale.expected.total - live_units(tally, *product_id);
        let settled_us = last_return_us(sale, tally);
        let refused = outcomes.records().iter().filter(|record| {
            record.product_id == *product_id
                && record.outcome == Outcome::Refused
                && record.sent_at_unix_us > settled_us
                && !outcomes.may_have_an_order(*product_id, record.user_id)
        });
        let (count, smallest) = refused.fold((0_u64, u32::MAX), |(count, min), record| {
            (count + 1, min.min(record.quantity))
        });
        if count == 0 {
            per_sale.add(
                true,
                format!("sale {product_id}: {remaining} left, nobody refused at the end"),
            );
            continue;
        }
        per_sale.add(
            remaining < i64::from(smallest),
            format!("sale {product_id}: {remaining} left, {count} refused, the smallest wanted {smallest}"),
        );
    }
    per_sale.check(
        "sold out means sold",
        "f",
        "left < the smallest quantity refused",
    )
}

/// Unix µs before which a refusal may have been right although units are left now, because other
/// buyers held those units and they came back later. `i64::MAX` when it is not known for any
/// refusal that it came after that.
fn last_return_us(sale: &Sale, tally: &Tally<'_>) -> i64 {
    let returned_ms = tally
        .by_sale
        .get(&sale.expected.product_id)
        .and_then(|sold| sold.last_return_ms);
    let returned_us = returned_ms.map_or(i64::MIN, |ms| {
        ms.saturating_add(RELEASE_GRACE_MS).saturating_mul(1_000)
    });
    let (first, newest) = sale
        .allocations
        .iter()
        .fold((i64::MAX, i64::MIN), |(first, newest), one| {
            (first.min(one.epoch), newest.max(one.epoch))
        });
    if first >= newest {
        return returned_us;
    }
    // A new epoch drops the open holds of the one before; it was open when its first order was
    // made.
    let reopened_ms = sale
        .allocations
        .iter()
        .filter(|one| one.epoch == newest)
        .filter_map(|one| tally.by_allocation.get(&one.id)?.first_order_ms)
        .min();
    returned_us.max(reopened_ms.map_or(i64::MAX, |ms| ms.saturating_mul(1_000)))
}

/// Units that can still be sold: the rights of open allocations. What no allocation grants can
/// never be sold; with leases, the pool holds whatever is not leased.
fn open_units(sale: &Sale) -> i64 {
    sale.allocations
        .iter()
        .filter(|one| one.open)
        .map(|one| one.granted - one.sold)
        .sum()
}

fn granted_units(sale: &Sale) -> i64 {
    sale.allocations.iter().map(|one| one.granted).sum()
}

fn live_units(tally: &Tally<'_>, product_id: i64) -> i64 {
    tally
        .by_sale
        .get(&product_id)
        .map_or(0, |sold| sold.live_units)
}
