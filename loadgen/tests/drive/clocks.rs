//! What each clock counts, and that the clocks of a closed loop add up.

use super::server::{Answer, Server};
use super::{data, latencies, measure, plan, wait_until};
use loadgen::plan::{Arrival, LoadPlan};
use reports::result::{LatencyClock, Little};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const MS: f64 = 1e6;

/// Within the tolerance of the law, of a run with enough requests.
#[track_caller]
fn adds_up(little: Option<&Little>) {
    let little = little.expect("a closed loop");
    assert!(little.applies && little.holds(), "{little:?}");
}

#[test]
fn waiting_for_a_stream_counts_from_the_taking_and_not_from_the_send() {
    let late = Duration::from_millis(20);
    let server = Server::start_with("127.0.0.1:0", Some(2), move |request| {
        Answer::Late(late, request.user_id)
    });
    let measured = measure(&plan(&server, 200, 10, 1), data(200));
    let taken = latencies(&measured, LatencyClock::Taken);
    let sent = latencies(&measured, LatencyClock::Sent);
    // Ten workers share two streams: five times the reply's time.
    assert!(taken.mean_ns() >= 80.0 * MS, "{} ns", taken.mean_ns());
    assert!(sent.min_ns() as f64 >= 20.0 * MS, "{} ns", sent.min_ns());
    let ratio = taken.mean_ns() / sent.mean_ns();
    assert!((4.0..6.0).contains(&ratio), "{ratio}");
    adds_up(measured.phase.little.as_ref());
}

#[test]
fn throughput_by_mean_latency_is_the_number_of_workers() {
    let next = AtomicU64::new(0);
    // Replies of very different lengths, so that the workers do not end together.
    let server = Server::start("127.0.0.1:0", move |request| {
        let late_ms = [1, 2, 3, 40][next.fetch_add(1, Ordering::Relaxed) as usize % 4];
        Answer::Late(Duration::from_millis(late_ms), request.user_id)
    });
    for (threads, connections) in [(1, 1), (2, 5)] {
        let measured = measure(
            &LoadPlan {
                threads,
                ..plan(&server, 1_000, 20, connections)
            },
            data(1_000),
        );
        adds_up(measured.phase.little.as_ref());
    }
}

#[test]
fn the_law_holds_with_workers_who_think() {
    let server = Server::start("127.0.0.1:0", |request| {
        Answer::Late(Duration::from_millis(3), request.user_id)
    });
    let think = Duration::from_millis(20);
    let arrival = Arrival::Closed { workers: 5, think };
    let measured = measure(
        &LoadPlan {
            arrival,
            ..plan(&server, 150, 5, 2)
        },
        data(150),
    );
    adds_up(measured.phase.little.as_ref());
    assert_eq!(measured.phase.finished, 150);
    // Each worker thinks 29 times between its 30 requests.
    assert!(measured.phase.length_ns >= 29 * 20_000_000);
}

#[test]
fn the_law_holds_while_connections_are_lost_and_requests_sent_again() {
    let late = Duration::from_millis(5);
    let answer =
        move |request: &super::server::ReceivedRequest| Answer::Late(late, request.user_id);
    let server = Server::start("127.0.0.1:0", answer);
    let address = server.address.to_string();
    let plan = plan(&server, 2_000, 20, 4);
    let run = std::thread::spawn(move || measure(&plan, data(2_000)));
    wait_until("some requests", || {
        server.received.lock().expect("no panic").requests.len() > 200
    });
    drop(server);
    // For a while nothing listens, and requests wait for a connection.
    std::thread::sleep(Duration::from_millis(200));
    let _server = Server::start(&address, answer);
    let measured = run.join().expect("no panic");
    assert!(measured.connections_lost > 0);
    adds_up(measured.phase.little.as_ref());
    let taken = latencies(&measured, LatencyClock::Taken);
    let sent = latencies(&measured, LatencyClock::Sent);
    // Those who waited for the new server did so for most of 200 ms, though their requests were short.
    assert!(taken.max_ns() as f64 >= 100.0 * MS, "{}", taken.max_ns());
    assert!(taken.sum_ns() >= sent.sum_ns() + 20 * 80_000_000);
}

#[test]
fn what_was_never_sent_has_a_latency_from_its_taking_only() {
    let server = Server::start("127.0.0.1:0", |request| {
        Answer::Late(Duration::from_secs(30), request.user_id)
    });
    let plan = LoadPlan {
        timeout: Duration::from_millis(200),
        ..plan(&server, 6, 3, 1)
    };
    let run = std::thread::spawn(move || measure(&plan, data(6)));
    wait_until("three requests", || {
        server.received.lock().expect("no panic").requests.len() == 3
    });
    drop(server);
    let measured = run.join().expect("no panic");
    let taken = latencies(&measured, LatencyClock::Taken);
    let sent = latencies(&measured, LatencyClock::Sent);
    assert_eq!((taken.count(), sent.count()), (6, 3));
    assert!(taken.max_ns() as f64 >= 200.0 * MS, "{}", taken.max_ns());
    assert_eq!((measured.phase.due, measured.phase.sent), (6, 3));
}
