//! How a run ends where something follows the yes: without an order service, without answers, and
//! when it is told to stop.

use super::after_yes::{counts, followed, orders, received, yes_to_all};
use super::server::{Answer, Call, Received, Server};
use super::{data, drive, measure, status, wait_until};
use loadgen::Error;
use loadgen::events::Event;
use loadgen::plan::{Delay, LoadPlan, Orders};
use loadgen::run::Stop;
use reports::result;
use std::time::Duration;

#[test]
fn an_order_service_that_goes_away_makes_errors_and_no_run_hangs() {
    let shop = yes_to_all();
    let service = Server::start("127.0.0.1:0", |_| Answer::Accept(0));
    let plan = LoadPlan {
        timeout: Duration::from_millis(300),
        ..followed(
            &shop,
            2_000,
            Orders {
                cancel: 0.5,
                pay: 0.5,
                delay: Delay {
                    min: Duration::from_millis(100),
                    max: Duration::from_millis(400),
                },
                ..orders(&service)
            },
        )
    };
    let run = std::thread::spawn(move || measure(&plan, data(2_000)));
    wait_until("a cancel", || received(&service, Call::Cancel) > 0);
    drop(service);
    let measured = run.join().expect("no panic");
    assert_eq!(measured.phase.purchases().accepted, 2_000);
    let mut follow = counts(&measured, &result::Operation::Cancel);
    follow.add(&counts(&measured, &result::Operation::Pay));
    assert_eq!(follow.total(), 2_000);
    assert!(follow.error > 0, "{follow:?}");
    assert!(
        status(&measured.phase, "cancel not sent before the time-out: ") > 0,
        "{:?}",
        measured.phase.statuses
    );
}

#[test]
fn an_order_service_that_is_not_there_at_the_start_is_one_clear_error() {
    let (shop, service) = (yes_to_all(), yes_to_all());
    let plan = followed(
        &shop,
        10,
        Orders {
            pay: 1.0,
            ..orders(&service)
        },
    );
    let address = service.address;
    drop(service);
    let error =
        drive(&plan, data(10), &Stop::default(), &mut |_: Event| {}).expect_err("no service");
    assert!(matches!(error, Error::Connect { .. }));
    let expected = format!("cannot connect to {address}: Connection refused");
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert_eq!(received(&shop, Call::Buy), 0, "nothing was sent");
}

#[test]
fn what_is_never_answered_is_unknown_after_its_time_out() {
    let server = Server::start("127.0.0.1:0", |request| match request.call {
        Call::Buy => Answer::Accept(request.user_id),
        _ => Answer::Late(Duration::from_secs(30), 0),
    });
    let orders = Orders {
        cancel: 0.5,
        pay: 0.5,
        again: 1.0,
        ..orders(&server)
    };
    let plan = LoadPlan {
        timeout: Duration::from_millis(200),
        ..followed(&server, 60, orders)
    };
    let measured = measure(&plan, data(60));
    let mut follow = counts(&measured, &result::Operation::Cancel);
    follow.add(&counts(&measured, &result::Operation::Pay));
    assert_eq!((follow.unknown, follow.total()), (60, 60));
    assert_eq!(measured.phase.buy_again, None, "no cancel was accepted");
}

#[test]
fn a_stop_forgets_what_is_not_due_yet_and_waits_for_what_is_open() {
    let late = Duration::from_millis(50);
    let server = Server::start("127.0.0.1:0", move |request| match request.call {
        Call::Buy => Answer::Accept(request.user_id),
        _ => Answer::Late(late, 0),
    });
    let orders = Orders {
        cancel: 1.0,
        again: 1.0,
        delay: Delay {
            min: Duration::ZERO,
            max: Duration::from_secs(60),
        },
        ..orders(&server)
    };
    let plan = followed(&server, 2_000, orders);
    let stop = Stop::default();
    let told = stop.clone();
    let run = std::thread::spawn(move || {
        drive(&plan, data(2_000), &told, &mut |_: Event| {}).expect("runs")
    });
    wait_until("all purchases and a cancel", || {
        received(&server, Call::Buy) >= 2_000 && received(&server, Call::Cancel) > 0
    });
    stop.stop();
    let measured = run.join().expect("no panic");
    let phase = &measured.phase;
    let cancel = counts(&measured, &result::Operation::Cancel);
    assert_eq!(cancel.accepted, received(&server, Call::Cancel) as u64);
    assert!(cancel.total() < 2_000);
    let all = |received: &Received| received.requests.len() as u64;
    let sent = all(&server.received.lock().expect("no panic"));
    assert_eq!((phase.sent, phase.finished), (sent, sent));
    assert_eq!(phase.due, sent + phase.dropped_in_all());
}

#[test]
fn a_second_stop_gives_up_what_follows_too() {
    let server = Server::start("127.0.0.1:0", |request| match request.call {
        Call::Buy => Answer::Accept(request.user_id),
        _ => Answer::Late(Duration::from_secs(60), 0),
    });
    let orders = Orders {
        pay: 1.0,
        ..orders(&server)
    };
    let plan = followed(&server, 10, orders);
    let stop = Stop::default();
    let told = stop.clone();
    let run = std::thread::spawn(move || {
        drive(&plan, data(10), &told, &mut |_: Event| {}).expect("runs")
    });
    wait_until("ten pays", || received(&server, Call::Pay) == 10);
    stop.stop();
    stop.stop();
    let measured = run.join().expect("no panic");
    assert_eq!(counts(&measured, &result::Operation::Pay).unknown, 10);
    assert_eq!(status(&measured.phase, "pay abandoned at the stop"), 10);
}
