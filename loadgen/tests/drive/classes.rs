//! How the driver counts each way in which a request can end.

use super::server::{Answer, Server};
use super::{data, measure, plan, records, status};
use loadgen::plan::LoadPlan;
use reports::outcome_log::Outcome;
use reports::result::LatencyClock;
use std::time::Duration;

#[test]
fn statuses_sent_by_the_server_are_classed_and_counted_with_their_messages() {
    let server = Server::start("127.0.0.1:0", |request| match request.user_id % 5 {
        0 => Answer::Status(14, "engine rebuilding"),
        1 => Answer::Status(8, "too fast"),
        2 => Answer::Status(4, "outcome unknown"),
        3 => Answer::Status(13, "internal"),
        _ => Answer::Reset,
    });
    let phase = measure(&plan(&server, 500, 10, 2), data(500)).phase;
    assert_eq!(
        (phase.outcomes().error, phase.outcomes().unknown),
        (200, 300)
    );
    for label in [
        "UNAVAILABLE: engine rebuilding",
        "RESOURCE_EXHAUSTED: too fast",
        "DEADLINE_EXCEEDED: outcome unknown",
        "INTERNAL: internal",
        "stream reset: HTTP/2 error 2",
    ] {
        assert_eq!(
            status(&phase, label),
            100,
            "{label} in {:?}",
            phase.statuses
        );
    }
    assert_eq!(phase.latencies(&LatencyClock::Sent, None).count(), 500);
}

#[test]
fn labels_of_the_status_distribution_are_bounded() {
    let server = Server::start("127.0.0.1:0", |request| {
        Answer::Status(
            14,
            Box::leak(format!("reason {}", request.user_id).into_boxed_str()),
        )
    });
    let phase = measure(&plan(&server, 200, 1, 1), data(200)).phase;
    assert!(phase.statuses.len() <= 33, "{}", phase.statuses.len());
    assert_eq!(status(&phase, "UNAVAILABLE"), 200);
    assert_eq!(status(&phase, "UNAVAILABLE: …"), 168);
}

#[test]
fn a_reply_after_the_time_out_is_unknown_and_later_requests_go_on() {
    let server = Server::start("127.0.0.1:0", |request| match request.user_id {
        3 | 4 => Answer::Late(Duration::from_secs(30), request.user_id),
        _ => Answer::Accept(request.user_id),
    });
    let measured = measure(
        &LoadPlan {
            timeout: Duration::from_millis(200),
            ..plan(&server, 100, 2, 1)
        },
        data(100),
    );
    let phase = &measured.phase;
    assert_eq!(
        (
            phase.finished,
            phase.outcomes().accepted,
            phase.outcomes().unknown
        ),
        (100, 98, 2)
    );
    assert_eq!(status(phase, "driver time-out"), 2);
    for record in records(&measured)
        .iter()
        .filter(|record| record.outcome == Outcome::Unknown)
    {
        assert!([3, 4].contains(&record.user_id));
        // Resolution 10 ms; the rest is patience with a busy machine.
        assert!(
            (200_000..1_000_000).contains(&record.latency_us()),
            "{} µs",
            record.latency_us()
        );
    }
    assert_eq!(
        server.received.lock().expect("no panic").connections,
        1,
        "the connection survives"
    );
}
