//! Figures of a phase in which something followed the yes.

use crate::{hist, run};
use reports::expect::Expected;
use reports::result::{
    BuyAgain, Latency, LatencyClock, Leg, OpStats, Operation, OutcomeName, Outcomes, metric,
};

/// 40 cancels at 3 ms and 20 payments at 4 ms, the last of them a second after the last purchase.
fn followed() -> Leg {
    let mut leg = run().legs.remove(0);
    let phase = &mut leg.phases[0];
    for (operation, accepted, refused, ns) in [
        (Operation::Cancel, 30, 10, 3_000_000),
        (Operation::Pay, 20, 0, 4_000_000),
    ] {
        let counts = Outcomes {
            accepted,
            refused,
            ..Outcomes::default()
        };
        let latency = [
            (OutcomeName::Accepted, accepted),
            (OutcomeName::Refused, refused),
        ];
        let latency = latency.map(|(outcome, count)| Latency {
            clock: LatencyClock::Intended,
            outcome,
            hist: hist(&vec![ns; count as usize]),
        });
        let stats = OpStats {
            counts,
            units_accepted: 0,
            latency: latency.into(),
        };
        phase.operations.insert(operation, stats);
    }
    phase.due += 60;
    phase.sent += 60;
    phase.finished += 60;
    phase.tail_ns = 1_000_000_000;
    phase.buy_again = Some(BuyAgain {
        hist: hist(&[7_000_000; 20]),
        retries: 3,
        gave_up: 2,
    });
    leg
}

#[test]
fn rates_are_of_purchases_and_what_followed_has_metrics_of_its_own() {
    let leg = followed();
    let value = |id: &str| metric(id).expect("known").of(&leg).unwrap_or(f64::NAN);
    for (id, expected) in [
        ("throughput_per_s", 2_000.0),
        ("accepted_per_s", 1_800.0),
        ("requests", 160.0),
        ("gave_up", 2.0),
    ] {
        assert!((value(id) - expected).abs() < 1e-9, "{id}: {}", value(id));
    }
    for (id, expected) in [
        ("p99_ms", 2.0),
        ("p99_cancel_ms", 3.0),
        ("p99_pay_ms", 4.0),
        ("p99_buy_again_ms", 7.0),
    ] {
        assert!(
            (value(id) / expected - 1.0).abs() < 2e-3,
            "{id}: {}",
            value(id)
        );
    }
    let said = |text: &str| {
        let expected: Expected = text.parse().expect("an expectation");
        expected.hold_against(&leg).met
    };
    assert!(said("gave_up<=2") && !said("gave_up==0") && said("p99_buy_again_ms<=8"));
}

#[test]
fn what_follows_hides_no_purchase_that_was_never_sent() {
    let mut leg = followed();
    let phase = &mut leg.phases[0];
    phase.offered_per_s = Some(2_000.0);
    assert!(!phase.missed_its_rate());
    // Three purchases of 103 were dropped; with what followed, it would be 3 of 163.
    phase.due += 3;
    phase.dropped.insert("backlog full".to_owned(), 3);
    assert!((phase.finished_share() - 100.0 / 103.0).abs() < 1e-9);
    assert!(phase.missed_its_rate());
}
