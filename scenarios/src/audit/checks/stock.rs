//! The checks that count units at the end: allocations (a) and conservation (d).

use super::super::{
    EngineStock, ExpectedSale,
    bounded_list::BoundedList,
    database::{Allocation, Sale},
    tally::{SaleTally, Tally},
};
use super::totals::DueTotal;
use reports::result::AuditCheck;
use std::collections::BTreeMap;

/// The result of one check, sale by sale: where it holds and where it does not.
#[derive(Default)]
pub(super) struct PerSale {
    right: BoundedList,
    wrong: BoundedList,
}

impl PerSale {
    pub(super) fn add(&mut self, holds: bool, actual: String) {
        let list = if holds {
            &mut self.right
        } else {
            &mut self.wrong
        };
        list.add(|| actual);
    }

    pub(super) fn check(&self, name: &str, invariant: &str, expected: &str) -> AuditCheck {
        self.wrong.check(name, invariant, expected, &self.right)
    }
}

/// (a): nothing is sold without the right to sell it.
pub(super) fn allocations(sales: &BTreeMap<i64, Sale>, tally: &Tally<'_>) -> Vec<AuditCheck> {
    let (mut granted, mut oversold) = (PerSale::default(), PerSale::default());
    let (mut within, mut booked) = (PerSale::default(), PerSale::default());
    for (product_id, sale) in sales {
        let total = DueTotal::of(sale).total;
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
        let due = DueTotal::of(sale);
        let total = due.total;
        totals.add(
            due.senseless == 0 && sale.total == total,
            describe_total(sale, &due),
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

        let of_sale = |stock: &&EngineStock| stock.product_id == *product_id;
        if !engine_stock.iter().any(|stock| of_sale(&stock)) {
            engine.add(
                false,
                format!("sale {product_id}: the engine was not asked"),
            );
        }
        for stock in engine_stock.iter().filter(of_sale) {
            let agrees = stock.open_units == 0 && stock.remaining == remaining;
            let verdict = match stock.remaining - remaining {
                0 => String::new(),
                more => guess(more, *product_id, tally),
            };
            engine.add(
                agrees,
                format!(
                    "sale {product_id}: engine has {} remaining and {} open, database {remaining}{verdict}",
                    stock.remaining, stock.open_units
                ),
            );
        }
    }
    let mut checks = vec![
        totals.check(
            "total as set up",
            "d",
            "the scenario's total, with the changes that were applied",
        ),
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

fn describe_total(sale: &Sale, due: &DueTotal) -> String {
    let ExpectedSale {
        product_id, total, ..
    } = sale.expected;
    let mut text = format!(
        "sale {product_id}: {} in the database, {total} set up",
        sale.total
    );
    if due.applied > 0 {
        text += &format!(", {:+} by {} changes", due.change, due.applied);
    }
    if due.missed > 0 {
        text += &format!(" of which {} more could not be cut", due.missed);
    }
    if due.senseless > 0 {
        let count = due.senseless;
        text += &format!(", {count} of them applied by more or less than was asked");
    }
    if let Some(wanted) = sale.wanted_total {
        text += &format!(", {wanted} wanted");
    }
    text
}

/// What an engine may have done that counts `more` units than the database, or fewer.
fn guess(more: i64, product_id: i64, tally: &Tally<'_>) -> String {
    let left = tally.releases.left_of.get(&product_id).copied();
    let left = left.unwrap_or_default();
    let gave_back = |sale: &SaleTally| !sale.cancelled.is_empty() || !sale.voided.is_empty();
    let gave_back = tally.by_sale.get(&product_id).is_some_and(gave_back);
    match -more {
        fewer if fewer > 0 && fewer == left.units => {
            format!(
                ": {fewer} fewer, those of {} releases that are left",
                left.count
            )
        }
        fewer if fewer > 0 && gave_back => format!(": {fewer} fewer: releases lost?"),
        fewer if fewer > 0 => format!(": {fewer} fewer, stranded"),
        _ if gave_back => format!(": {more} more: units released twice?"),
        _ => format!(": {more} more than may be sold"),
    }
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

pub(super) fn live_units(tally: &Tally<'_>, product_id: i64) -> i64 {
    tally
        .by_sale
        .get(&product_id)
        .map_or(0, |sold| sold.live_units)
}
