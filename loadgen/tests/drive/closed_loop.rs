//! Exactly as many requests as wanted, on the right connections, with the right elements.

use super::server::{Answer, Server};
use super::{data, drive, latencies, measure, plan, records};
use loadgen::data::{Element, Encoded};
use loadgen::events::Event;
use loadgen::plan::LoadPlan;
use loadgen::run::Stop;
use reports::outcome_log::{Operation, Outcome, Refusal};
use reports::result::LatencyClock;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn exactly_the_wanted_requests_are_sent_by_any_number_of_threads() {
    for threads in [1, 3] {
        let server = Server::start("127.0.0.1:0", |request| {
            Answer::Accept(request.user_id * 10)
        });
        let measured = measure(
            &LoadPlan {
                threads,
                ..plan(&server, 5_003, 50, 7)
            },
            data(10_000),
        );
        assert_eq!(
            (measured.phase.finished, measured.phase.outcomes().accepted),
            (5_003, 5_003)
        );
        assert_eq!(
            measured.phase.statuses,
            BTreeMap::from([("OK".to_owned(), 5_003)])
        );
        for clock in [LatencyClock::Taken, LatencyClock::Sent] {
            assert_eq!(latencies(&measured, clock).count(), 5_003);
        }
        assert_eq!((measured.phase.due, measured.phase.sent), (5_003, 5_003));
        let received = server.received.lock().expect("no panic");
        assert_eq!((received.requests.len(), received.connections), (5_003, 7));
        let units: i64 = received
            .requests
            .iter()
            .map(|request| request.quantity)
            .sum();
        assert_eq!(measured.phase.units_accepted(), units as u64);
        let mut users: Vec<i64> = received
            .requests
            .iter()
            .map(|request| request.user_id)
            .collect();
        users.sort_unstable();
        assert_eq!(
            users,
            (1..=5_003).collect::<Vec<i64>>(),
            "request k uses element k"
        );
    }
}

#[test]
fn worker_i_uses_connection_i_mod_connections() {
    let late = Duration::from_millis(20);
    let server = Server::start("127.0.0.1:0", move |request| {
        Answer::Late(late, request.user_id)
    });
    measure(&plan(&server, 200, 10, 4), data(200));
    let received = server.received.lock().expect("no panic");
    let mut most_open = HashMap::new();
    for request in &received.requests {
        let most = most_open.entry(request.connection).or_insert(0);
        *most = request.open.max(*most);
    }
    let mut most: Vec<usize> = most_open.into_values().collect();
    most.sort_unstable();
    assert_eq!(
        most,
        [2, 2, 3, 3],
        "workers 8 and 9 are on connections 0 and 1"
    );
}

#[test]
fn request_k_uses_element_k_mod_len_from_the_start_index_on() {
    let server = Server::start("127.0.0.1:0", |request| Answer::Accept(request.user_id));
    measure(
        &LoadPlan {
            start_index: 8,
            ..plan(&server, 7, 1, 1)
        },
        data(3),
    );
    let received = server.received.lock().expect("no panic");
    let users: Vec<i64> = received
        .requests
        .iter()
        .map(|request| request.user_id)
        .collect();
    assert_eq!(users, [3, 1, 2, 3, 1, 2, 3]);
    assert!(
        received
            .requests
            .iter()
            .all(|request| request.product_id == 7 && request.quantity == request.user_id % 2 + 1)
    );
}

#[test]
fn one_connection_carries_many_requests_in_flight_and_in_all() {
    let server = Server::start("127.0.0.1:0", |request| Answer::Accept(request.user_id));
    let measured = measure(&plan(&server, 50_000, 300, 1), data(50_000));
    assert_eq!(
        measured.phase.outcomes().accepted,
        50_000,
        "{:?}",
        measured.phase.statuses
    );
}

#[test]
fn an_order_told_to_the_same_user_again_is_a_duplicate() {
    let server = Server::start("127.0.0.1:0", |request| Answer::Accept(request.user_id));
    let measured = measure(
        &LoadPlan {
            threads: 2,
            ..plan(&server, 300, 10, 5)
        },
        data(100),
    );
    assert_eq!(
        (
            measured.phase.outcomes().accepted,
            measured.phase.outcomes().duplicate
        ),
        (100, 200)
    );
    // Another order for the same user is not a duplicate. It is a fault of the system, and the
    // audit must be able to see it as accepted.
    let next = std::sync::atomic::AtomicI64::new(0);
    let server = Server::start("127.0.0.1:0", move |_| {
        Answer::Accept(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    });
    let twice = Element {
        user_id: 1,
        product_id: 1,
        quantity: 1,
    };
    let measured = measure(
        &plan(&server, 2, 1, 1),
        Arc::new(Encoded::new(vec![twice, twice])),
    );
    assert_eq!(
        (
            measured.phase.outcomes().accepted,
            measured.phase.outcomes().duplicate
        ),
        (2, 0)
    );
}

#[test]
fn records_hold_what_each_user_was_told() {
    let server = Server::start("127.0.0.1:0", |request| match request.user_id % 2 {
        0 => Answer::Accept(request.user_id * 10),
        _ => Answer::Refuse("sold out"),
    });
    let measured = measure(&plan(&server, 100, 4, 2), data(100));
    let mut records = records(&measured);
    records.sort_by_key(|record| record.user_id);
    assert_eq!(
        records
            .iter()
            .map(|record| record.user_id)
            .collect::<Vec<_>>(),
        (1..=100).collect::<Vec<_>>()
    );
    for record in records {
        let even = record.user_id % 2 == 0;
        let expected = if even {
            (Outcome::Accepted, record.user_id * 10)
        } else {
            (Outcome::Refused, 0)
        };
        assert_eq!((record.outcome, record.order_id), expected);
        assert_eq!(
            (record.product_id, i64::from(record.quantity)),
            (7, record.user_id % 2 + 1)
        );
        let refusal = (!even).then_some(Refusal::SoldOut);
        assert_eq!(
            (record.operation, record.asked_order_id, record.refusal),
            (Operation::Buy, 0, refusal)
        );
        let sent_at_unix_us = record.sent_at_unix_us.expect("sent");
        assert!(record.due_at_unix_us <= sent_at_unix_us);
        assert!(sent_at_unix_us >= measured.phase.start_unix_us);
        assert!(sent_at_unix_us <= record.ended_at_unix_us);
        // Both are rounded down to µs.
        let end_unix_us =
            measured.phase.start_unix_us + measured.phase.length_ns as i64 / 1_000 + 1;
        assert!(record.ended_at_unix_us <= end_unix_us);
    }
    let expected = [("OK", 50), ("OK, refused: sold out", 50)];
    let expected = expected.map(|(label, count)| (label.to_owned(), count));
    assert_eq!(measured.phase.statuses, BTreeMap::from(expected));
}

#[test]
fn events_tell_the_start_the_progress_and_one_sample_in_so_many() {
    let late = Duration::from_millis(5);
    let server = Server::start("127.0.0.1:0", move |request| {
        Answer::Late(late, request.user_id)
    });
    let plan = LoadPlan {
        report: true,
        sample_every: 10,
        ..plan(&server, 2_000, 20, 4)
    };
    let mut events = Vec::new();
    let measured = drive(&plan, data(2_000), &Stop::default(), &mut |event| {
        events.push(event)
    })
    .expect("runs");
    assert!(matches!(
        events[0],
        Event::Ready {
            connections: 4,
            requests: Some(2_000)
        }
    ));
    assert!(matches!(events[1], Event::Started { .. }));
    assert!(matches!(events.last(), Some(Event::Ended { .. })));
    let mut samples = Vec::new();
    let mut last = None;
    for event in events {
        match event {
            Event::Samples { samples: some } => samples.extend(some),
            Event::Progress(progress) => last = Some(progress),
            _ => {}
        }
    }
    let last = last.expect("progress");
    assert_eq!(
        (last.done(), last.counts.accepted, last.counts.failed()),
        (2_000, 2_000, 0)
    );
    assert_eq!(samples.len(), 200);
    let start_unix_us = measured.phase.start_unix_us;
    let end_unix_us = start_unix_us + measured.phase.length_ns as i64 / 1_000 + 1;
    let within = start_unix_us..=end_unix_us;
    assert!(
        samples
            .iter()
            .all(|(order_id, at)| (1..=2_000).contains(order_id) && within.contains(at))
    );
    let sent = latencies(&measured, LatencyClock::Sent);
    assert!(sent.min_ns() >= 5_000_000, "{}", sent.min_ns());
}
