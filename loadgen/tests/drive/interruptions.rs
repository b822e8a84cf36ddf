//! Servers that are missing, or go away and come back, and runs that are told to stop.

use super::server::{Answer, Server};
use super::{data, drive, measure, plan, records, status, wait_until};
use loadgen::Error;
use loadgen::events::Event;
use loadgen::plan::LoadPlan;
use loadgen::run::Stop;
use reports::outcome_log::Outcome;
use reports::result::LatencyClock;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[test]
fn a_server_killed_and_restarted_ends_no_run() {
    let late = Duration::from_millis(2);
    let server = Server::start("127.0.0.1:0", move |request| {
        Answer::Late(late, request.user_id)
    });
    let address = server.address.to_string();
    let plan = plan(&server, 20_000, 40, 8);
    let run = std::thread::spawn(move || measure(&plan, data(20_000)));
    wait_until("some requests", || {
        server.received.lock().expect("no panic").requests.len() > 2_000
    });
    let first = Arc::clone(&server.received);
    drop(server);
    let server = Server::start(&address, |request| Answer::Accept(request.user_id));
    let measured = run.join().expect("no panic");
    let phase = &measured.phase;
    assert_eq!(phase.finished, 20_000);
    assert_eq!(
        phase.outcomes().error,
        0,
        "requests wait for the new server: {:?}",
        phase.statuses
    );
    // At most what was open at the kill.
    assert!(
        (1..=40).contains(&phase.outcomes().unknown),
        "{:?}",
        phase.outcomes()
    );
    assert_eq!(status(phase, "connection lost"), phase.outcomes().unknown);
    assert_eq!(phase.outcomes().accepted + phase.outcomes().unknown, 20_000);
    let users = |server: &Mutex<super::server::Received>| -> HashSet<i64> {
        server
            .lock()
            .expect("no panic")
            .requests
            .iter()
            .map(|request| request.user_id)
            .collect()
    };
    let (before, after) = (users(&first), users(&server.received));
    assert!(before.is_disjoint(&after), "nothing is sent twice");
    for record in records(&measured)
        .iter()
        .filter(|record| record.outcome == Outcome::Accepted)
    {
        assert!(before.contains(&record.user_id) || after.contains(&record.user_id));
    }
}

#[test]
fn requests_that_find_no_server_are_errors_after_their_time_out() {
    let server = Server::start("127.0.0.1:0", |request| {
        Answer::Late(Duration::from_secs(30), request.user_id)
    });
    let plan = LoadPlan {
        timeout: Duration::from_millis(300),
        ..plan(&server, 12, 4, 2)
    };
    let began = Instant::now();
    let run = std::thread::spawn(move || measure(&plan, data(12)));
    wait_until("four requests", || {
        server.received.lock().expect("no panic").requests.len() == 4
    });
    drop(server);
    let measured = run.join().expect("no panic");
    let counts = &measured.phase.outcomes();
    assert_eq!(
        (counts.unknown, counts.error),
        (4, 8),
        "{:?}",
        measured.phase.statuses
    );
    assert_eq!(
        status(
            &measured.phase,
            "not sent before the time-out: Connection refused"
        ),
        8
    );
    assert_eq!(
        measured.phase.latencies(&LatencyClock::Sent, None).count(),
        4,
        "only what was sent has a latency"
    );
    for record in records(&measured) {
        let sent = record.outcome == Outcome::Unknown;
        assert_eq!(record.sent_at_unix_us.is_some(), sent, "{record:?}");
        assert!(sent || record.latency_us() >= 300_000, "{record:?}");
    }
    // Two rounds of waiting: a dead server does not burn the requests in no time.
    assert!(
        began.elapsed() >= Duration::from_millis(600),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_server_that_is_not_there_at_the_start_is_one_clear_error() {
    let server = Server::start("127.0.0.1:0", |_| Answer::Reset);
    let plan = plan(&server, 10, 1, 1);
    drop(server);
    let error =
        drive(&plan, data(10), &Stop::default(), &mut |_: Event| {}).expect_err("no server");
    assert!(matches!(error, Error::Connect { .. }) && !error.is_usage());
    let expected = format!("cannot connect to {}: Connection refused", plan.address);
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn a_stop_ends_the_sending_and_waits_for_what_is_open() {
    let late = Duration::from_millis(50);
    let server = Server::start("127.0.0.1:0", move |request| {
        Answer::Late(late, request.user_id)
    });
    let (plan, stop) = (plan(&server, 1_000_000, 10, 5), Stop::default());
    let told = stop.clone();
    let run = std::thread::spawn(move || {
        drive(&plan, data(1_000), &told, &mut |_: Event| {}).expect("runs")
    });
    wait_until("some requests", || {
        server.received.lock().expect("no panic").requests.len() >= 30
    });
    stop.stop();
    let measured = run.join().expect("no panic");
    let sent = server.received.lock().expect("no panic").requests.len() as u64;
    assert_eq!(
        (measured.phase.finished, measured.phase.outcomes().accepted),
        (sent, sent)
    );
    assert_eq!(records(&measured).len() as u64, sent);
}

#[test]
fn a_second_stop_gives_up_what_is_open() {
    let server = Server::start("127.0.0.1:0", |request| {
        Answer::Late(Duration::from_secs(60), request.user_id)
    });
    let (plan, stop) = (plan(&server, 100, 10, 5), Stop::default());
    let told = stop.clone();
    let run = std::thread::spawn(move || {
        drive(&plan, data(100), &told, &mut |_: Event| {}).expect("runs")
    });
    wait_until("ten requests", || {
        server.received.lock().expect("no panic").requests.len() == 10
    });
    stop.stop();
    stop.stop();
    let phase = run.join().expect("no panic").phase;
    assert_eq!((phase.finished, phase.outcomes().unknown), (10, 10));
    assert_eq!(status(&phase, "abandoned at the stop"), 10);
}
