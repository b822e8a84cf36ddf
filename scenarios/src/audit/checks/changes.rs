//! The checks of what happens to orders afterwards: cancels, payments, expiries (b), and the units
//! that go back (d).

use super::super::{changes::Changes, releases::Releases};
use reports::result::AuditCheck;

/// (b): what a buyer was told about a change is what became of the order, and nothing changed by
/// itself.
pub(super) fn changes(found: &Changes) -> Vec<AuditCheck> {
    let of = |count: u64, what: &str| format!("{count} of {count} {what}");
    vec![
        found.cancel_told_yes.check(
            "every cancel told yes has a cancelled row",
            "b",
            "cancelled when the yes came, not expired",
            of(found.cancels_told_yes, "cancels"),
        ),
        found.pay_told_yes.check(
            "every payment told yes has a paid row",
            "b",
            "paid when the yes came",
            of(found.pays_told_yes, "payments"),
        ),
        found.cancelled_and_paid.check(
            "no order was told cancelled and paid",
            "b",
            "one of the two",
            of(found.changed_orders, "orders"),
        ),
        found.refused.check(
            "refused cancels and payments had a reason",
            "b",
            "paid, cancelled or expired when the no came",
            of(found.refusals, "refusals"),
        ),
        found.another_buyers.check(
            "cancels and payments are of one's own orders",
            "b",
            "nothing told about another buyer's order",
            "none told",
        ),
        found.cancelled.check(
            "cancelled orders were cancelled by their buyer",
            "b",
            "a cancel by its buyer, done or unknown, from before",
            of(found.cancelled_rows, "cancelled orders"),
        ),
        found.paid.check(
            "paid orders were paid by their buyer",
            "b",
            "a payment by its buyer, done or unknown, from before",
            of(found.paid_rows, "paid orders"),
        ),
        found.expired.check(
            "orders expired only after their time to pay",
            "b",
            "the sale has a time to pay, and it was over",
            of(found.expired_rows, "expired orders"),
        ),
    ]
}

/// (d): the units of each cancelled order go back to the engine, once.
pub(super) fn releases(found: &Releases) -> Vec<AuditCheck> {
    let (releases, cancelled) = (found.len(), found.cancelled_rows);
    vec![
        found.of_cancels.check(
            "every cancelled order has one release",
            "d",
            "1 per cancelled or expired order",
            format!("{cancelled} of {cancelled} orders"),
        ),
        found.stray.check(
            "no release without a cancel",
            "d",
            "no release of an order that is not cancelled",
            format!("{releases} of {releases} releases of cancelled orders"),
        ),
        found.unlike_order.check(
            "releases are as their orders",
            "d",
            "its buyer and units, an epoch from then on, done after the cancel",
            format!("{releases} of {releases} releases"),
        ),
        found.left.check(
            "no release is left",
            "d",
            "the engine had every release",
            format!("{releases} of {releases} done"),
        ),
    ]
}
