//! A run whose buyers do not stop at the yes.

use super::parts::*;
use reports::result::*;

/// One engine; some cancel, some pay, some buy again.
pub fn churn() -> Run {
    let mut scenario = scenario(
        "churn",
        "buyers cancel, pay and buy again",
        "Are units sold again as soon as their order is cancelled?",
    );
    scenario.time_to_pay_ns = Some(2_000_000_000);
    scenario.phases[0].data.after = Some(AfterYes {
        cancel: 0.4,
        pay: 0.3,
        cancel_and_pay: 0.1,
        again: 0.7,
        twice: 0.2,
        delay_min_ns: 50_000_000,
        delay_max_ns: 500_000_000,
    });
    let mut leg = leg("churn", "lua-single-key", 1, LUA);
    let stats = |accepted: u64, refused: u64, p99_ms: f64| OpStats {
        counts: Outcomes {
            accepted,
            refused,
            error: 3,
            ..Outcomes::default()
        },
        units_accepted: 0,
        latency: vec![
            Latency {
                clock: LatencyClock::Intended,
                outcome: OutcomeName::Accepted,
                hist: hist(p99_ms, accepted),
            },
            Latency {
                clock: LatencyClock::Sent,
                outcome: OutcomeName::Accepted,
                hist: hist(p99_ms * 0.9, accepted),
            },
        ],
    };
    let phase = &mut leg.phases[0];
    phase
        .operations
        .insert(Operation::Cancel, stats(150_000, 20_000, 12.0));
    phase
        .operations
        .insert(Operation::Pay, stats(60_000, 0, 9.0));
    for (status, count) in [
        ("cancel OK", 150_000),
        ("cancel FAILED_PRECONDITION: order N is paid", 20_000),
        ("cancel UNAVAILABLE: order N has no row yet", 3),
        ("pay OK", 60_000),
        ("pay DEADLINE_EXCEEDED", 3),
    ] {
        phase.statuses.insert(status.to_owned(), count);
    }
    phase.buy_again = Some(BuyAgain {
        hist: hist(31.0, 75_000),
        retries: 1_200,
        gave_up: 4,
    });
    run(
        scenario,
        vec![subject("lua-single-key", Standing::Ranked)],
        vec![leg],
    )
}
