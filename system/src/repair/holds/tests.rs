//! When a hold is ripe, by the memory of one process.

use super::*;
use engines::UserId;

fn hold(touched_at_ms: i64, age_ms: u64) -> OpenHold {
    let (order, user, touched_by) = (OrderId(1), UserId(1), Vec::new());
    OpenHold {
        order,
        user,
        quantity: 1,
        touched_at_ms,
        age_ms,
        touched_by,
        marked: false,
    }
}

#[test]
fn a_sale_that_cannot_be_listed_keeps_its_own_sightings_and_no_others() {
    let mut config = Config::default();
    config.reconciler.grace_ms = 1_000;
    let mut memory = HoldRepair::new(&config, HoldScope::Orphans);
    for (order, sale) in [(1, 1), (2, 1), (3, 2)] {
        let order = OrderId(order);
        memory.is_ripe(
            SaleId(sale),
            &OpenHold {
                order,
                ..hold(1, 0)
            },
        );
    }
    memory.forget_all_but(&[OrderId(1)].into(), &[SaleId(2)].into());
    let mut kept: Vec<_> = memory.sightings.into_keys().collect();
    kept.sort();
    assert_eq!(kept, [OrderId(1), OrderId(3)]);
}

#[test]
fn a_hold_that_a_jumping_clock_made_old_is_no_orphan() {
    let mut config = Config::default();
    config.reconciler.grace_ms = 3_600_000;
    let mut memory = HoldRepair::new(&config, HoldScope::Orphans);
    // Its engine says that it is a day old; here it was seen for the first time.
    assert!(!memory.is_ripe(SaleId(1), &hold(1, 86_400_000)));
    assert!(!memory.is_ripe(SaleId(1), &hold(1, 86_400_000)));
    config.reconciler.grace_ms = 0;
    let mut memory = HoldRepair::new(&config, HoldScope::Orphans);
    assert!(
        memory.is_ripe(SaleId(1), &hold(1, 0)),
        "seen untouched for the whole grace period, which is none"
    );
}
