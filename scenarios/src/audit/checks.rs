//! Turns the outcome logs, the tables and the tally of the rows into named checks, one per promise,
//! grouped by invariant.

mod changes;
mod sold_out;
mod stock;
mod totals;

use super::{
    EngineStock, bounded_list::BoundedList, database::Sale, outcome_index::OutcomeIndex,
    tally::Tally,
};
use reports::{outcome_log::Outcome, result::AuditCheck};
use std::collections::BTreeMap;

pub(super) fn conclude(
    outcomes: &OutcomeIndex,
    sales: &BTreeMap<i64, Sale>,
    mut tally: Tally<'_>,
    engine_stock: &[EngineStock],
) -> Vec<AuditCheck> {
    let mut checks = stock::allocations(sales, &tally);
    checks.extend(accepted(outcomes, &tally));
    checks.extend(changes::changes(&tally.changes));
    checks.extend(uniqueness(&mut tally));
    checks.extend(stock::conservation(sales, &tally, engine_stock));
    checks.extend(changes::releases(&tally.releases));
    checks.extend(unaccounted_orders(outcomes, &tally));
    checks.push(sold_out::sold_out(outcomes, sales, &tally));
    checks
}

/// (b): every accepted order has its row, as asked and as quoted, and nothing has refused it
/// afterwards.
fn accepted(outcomes: &OutcomeIndex, tally: &Tally<'_>) -> Vec<AuditCheck> {
    let faults = &tally.faults;
    let count = outcomes.accepted().len();
    let mut lost = BoundedList::default();
    for at in outcomes.accepted().iter().filter(|at| !tally.has_row(**at)) {
        let record = outcomes.record(*at);
        lost.add(|| format!("order {} (user {})", record.order_id, record.user_id));
    }
    vec![
        lost.check(
            "every accepted order has a row",
            "b",
            "a row for every accepted order",
            format!("{count} of {count}"),
        ),
        faults.void.check(
            "no accepted order is void",
            "b",
            "live or cancelled, never void",
            "none void",
        ),
        faults.another_buyers.check(
            "orders belong to the buyer who was told",
            "b",
            "user and product as asked",
            "all as asked",
        ),
        faults
            .quantity
            .check("quantities as asked", "b", "units as asked", "all as asked"),
        faults.price.check(
            "prices as quoted",
            "b",
            "quantity × price in cents",
            "all as quoted",
        ),
        faults.parked_accepted.check(
            "no accepted order is parked",
            "b",
            "no accepted order parked",
            "none parked",
        ),
        faults.parked_unresolved.check(
            "nothing is left parked",
            "b",
            "no unresolved parked record",
            "none left",
        ),
        duplicates(outcomes),
        faults.gone.check(
            "no yes about an order that was gone",
            "b",
            "no cancelled order named to whoever asks after its release",
            "none named",
        ),
    ]
}

/// Buyers who ask again are told about the order that they already have.
fn duplicates(outcomes: &OutcomeIndex) -> AuditCheck {
    let mut wrong = BoundedList::default();
    let mut count = 0_u64;
    for record in outcomes
        .buy_records()
        .filter(|record| record.outcome == Outcome::Duplicate)
    {
        count += 1;
        let same_buyer = outcomes.told(record.order_id).iter().any(|at| {
            let told = outcomes.record(*at);
            (told.user_id, told.product_id) == (record.user_id, record.product_id)
        });
        if !same_buyer {
            wrong.add(|| format!("order {} told to user {}", record.order_id, record.user_id));
        }
    }
    let expected = "a duplicate names its buyer's accepted order";
    wrong.check(
        "duplicates name the accepted order",
        "b",
        expected,
        format!("{count} of {count}"),
    )
}

/// (c), found by sorting all ids and all buyers, because a missing index must not go unnoticed.
fn uniqueness(tally: &mut Tally<'_>) -> Vec<AuditCheck> {
    tally.live_buyers.sort_unstable();
    tally.order_ids.sort_unstable();
    let mut buyers = BoundedList::default();
    for group in tally
        .live_buyers
        .chunk_by(|a, b| a == b)
        .filter(|group| group.len() > 1)
    {
        let (product_id, user_id) = group[0];
        buyers.add(|| {
            format!(
                "user {user_id} has {} live orders of product {product_id}",
                group.len()
            )
        });
    }
    let mut ids = BoundedList::default();
    for group in tally
        .order_ids
        .chunk_by(|a, b| a == b)
        .filter(|group| group.len() > 1)
    {
        ids.add(|| format!("order {} has {} rows", group[0], group.len()));
    }
    let overlaps = tally.lives.overlaps();
    let (live, rows) = (tally.live_buyers.len(), tally.order_ids.len());
    vec![
        buyers.check(
            "one live order per buyer",
            "c",
            "1 per user and product",
            format!("{live} live, no two alike"),
        ),
        overlaps.faults.check(
            "one live order at a time",
            "c",
            "no yes while an earlier order was surely live",
            format!(
                "{} buyers with several orders, {} in all, never two at once",
                overlaps.buyers, overlaps.orders
            ),
        ),
        ids.check(
            "order ids are unique",
            "c",
            "1 row per order id",
            format!("{rows} rows, no two alike"),
        ),
        tally.faults.status.check(
            "statuses are legal",
            "c",
            "status 0 to 4, live unless 2 or 4, expired only with 2",
            "all legal",
        ),
    ]
}

/// (e): buyers who were not told yes have no order, unless they do not know what became of their
/// request.
fn unaccounted_orders(outcomes: &OutcomeIndex, tally: &Tally<'_>) -> Vec<AuditCheck> {
    let faults = &tally.faults;
    let told = |outcome| {
        outcomes
            .buy_records()
            .filter(|record| record.outcome == outcome)
            .count()
    };
    let (refused, errors, unknown) = (
        told(Outcome::Refused),
        told(Outcome::Error),
        told(Outcome::Unknown),
    );
    let with_row = outcomes
        .buys()
        .filter(|at| outcomes.record(*at).outcome == Outcome::Unknown && tally.has_row(*at))
        .count();
    let known =
        format!("{unknown} outcomes unknown, {with_row} of them with an order of their own");
    vec![
        faults.refused_buyer.check(
            "refused buyers have no order",
            "e",
            "no order",
            format!("none for {refused} refusals"),
        ),
        faults.error_buyer.check(
            "buyers with errors have no order",
            "e",
            "no order",
            format!("none for {errors} errors"),
        ),
        faults.nowhere.check(
            "no order from nowhere",
            "e",
            "accepted, or of a request with unknown outcome",
            known,
        ),
        faults.not_on_sale.check(
            "orders are of a sale",
            "e",
            "a product among the audited sales",
            "all are",
        ),
    ]
}
