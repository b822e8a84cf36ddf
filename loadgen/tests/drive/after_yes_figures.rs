//! The figures of a run in which something follows the yes: its length, rate and timeline are those
//! of the purchases, and what followed is counted apart.

use super::after_yes::{counts, followed, orders, received, yes_to_all};
use super::server::{Answer, Call, Server};
use super::{data, drive, measure, records, wait_until};
use loadgen::events::Event;
use loadgen::plan::{Delay, End, LoadPlan, Orders, Shape};
use loadgen::run::{Measured, Stop};
use reports::outcome_log::{Operation, Record};
use reports::result;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Far longer than the purchases take, so that what follows ends long after them.
const LONG_AFTER: Delay = Delay {
    min: Duration::from_millis(600),
    max: Duration::from_millis(600),
};
/// Records keep times in whole µs, each counted from one that was cut as well.
const CUT_US: i64 = 2;

fn last_end_us(records: &[Record], is_wanted: impl Fn(&Record) -> bool) -> i64 {
    let ends = records.iter().filter(|record| is_wanted(record));
    ends.map(|record| record.ended_at_unix_us)
        .max()
        .expect("some")
}

fn assert_is_of_purchases(measured: &Measured, purchases: u64) {
    let phase = &measured.phase;
    let records = records(measured);
    let bought_us = last_end_us(&records, |record| record.operation == Operation::Buy);
    let ended_us = last_end_us(&records, |_| true);
    let length_us = (phase.length_ns / 1_000) as i64;
    let wrong_us = phase.start_unix_us + length_us - bought_us;
    assert!(
        wrong_us.abs() <= CUT_US,
        "ends {wrong_us} µs after the last purchase"
    );
    let tail_us = (phase.tail_ns / 1_000) as i64;
    let wrong_us = bought_us + tail_us - ended_us;
    assert!(
        wrong_us.abs() <= CUT_US,
        "the tail is {wrong_us} µs too long"
    );
    assert!(tail_us > 100_000, "something follows long after: {tail_us}");

    assert_eq!(phase.purchases().total(), purchases);
    let rate_per_s = purchases as f64 * 1e9 / phase.length_ns as f64;
    assert!((phase.finished_per_s() / rate_per_s - 1.0).abs() < 1e-9);
    let sum = |of: fn(&result::Interval) -> u64| -> u64 { phase.timeline.iter().map(of).sum() };
    assert_eq!(sum(|it| it.counts.total()), purchases);
    assert_eq!(sum(|it| it.latency.count), purchases);
    assert_eq!(
        (sum(|it| it.due), sum(|it| it.sent)),
        (purchases, purchases)
    );
    let last = phase.timeline.last().expect("an interval");
    let covers_ns = last.t_ns + last.length_ns;
    assert!(
        covers_ns < phase.length_ns + phase.tail_ns / 2,
        "{covers_ns}"
    );
}

#[test]
fn a_closed_loop_is_as_long_as_its_purchases_and_what_follows_is_counted_apart() {
    let server = yes_to_all();
    let orders = Orders {
        cancel: 0.5,
        pay: 0.5,
        delay: LONG_AFTER,
        ..orders(&server)
    };
    let measured = measure(&followed(&server, 400, orders), data(400));
    assert_is_of_purchases(&measured, 400);
    let phase = &measured.phase;
    let (cancel, pay) = (
        counts(&measured, &result::Operation::Cancel),
        counts(&measured, &result::Operation::Pay),
    );
    assert!(
        cancel.accepted > 0 && pay.accepted > 0,
        "{cancel:?}, {pay:?}"
    );
    assert_eq!(cancel.accepted + pay.accepted, 400);
    assert_eq!((phase.due, phase.sent, phase.finished), (800, 800, 800));
    assert_eq!(phase.outcomes().accepted, 800);
    let latency = |operation| {
        let clock = result::LatencyClock::Intended;
        phase.latencies_of(operation, &clock, None).count()
    };
    assert_eq!(latency(&result::Operation::Cancel), cancel.total());
    assert_eq!(latency(&result::Operation::Pay), pay.total());
}

#[test]
fn an_open_loop_is_as_long_as_its_purchases_and_what_follows_is_counted_apart() {
    let server = yes_to_all();
    let orders = Orders {
        pay: 1.0,
        delay: LONG_AFTER,
        ..orders(&server)
    };
    let shape = Shape::Constant {
        rate_per_s: 1_000.0,
    };
    let plan = LoadPlan {
        orders: Some(orders),
        keep_outcomes: true,
        connections: 3,
        threads: 2,
        ..LoadPlan::open(server.address.to_string(), shape, End::Count(300))
    };
    let measured = measure(&plan, data(300));
    assert_is_of_purchases(&measured, 300);
    assert!(!measured.phase.missed_its_rate());
}

#[test]
fn how_soon_one_buys_again_counts_from_when_the_cancel_was_due_also_if_it_could_not_be_sent_then() {
    // One stream per connection at a time: cancels that are due together leave one after the other.
    let slow = Duration::from_millis(40);
    let next = AtomicI64::new(1_000);
    let server = Server::start_with("127.0.0.1:0", Some(1), move |request| match request.call {
        Call::Buy => Answer::Accept(next.fetch_add(1, Ordering::Relaxed)),
        Call::Cancel | Call::Pay => Answer::Late(slow, 0),
    });
    let orders = Orders {
        connections: 1,
        cancel: 1.0,
        again: 1.0,
        delay: Delay {
            min: Duration::from_millis(50),
            max: Duration::from_millis(50),
        },
        ..orders(&server)
    };
    let measured = measure(&followed(&server, 10, orders), data(10));
    let records = records(&measured);
    let due: HashMap<i64, (i64, Option<i64>)> = records
        .iter()
        .filter(|record| record.operation == Operation::Cancel)
        .map(|record| {
            (
                record.user_id,
                (record.due_at_unix_us, record.sent_at_unix_us),
            )
        })
        .collect();
    let mut took_us = Vec::new();
    for (user_id, (due_us, _)) in &due {
        let bought_us = last_end_us(&records, |record| {
            record.operation == Operation::Buy && record.user_id == *user_id
        });
        took_us.push(bought_us - due_us);
    }
    let late = due
        .values()
        .filter(|(due_us, sent_us)| sent_us.is_some_and(|sent_us| sent_us - due_us > 100_000));
    assert!(
        late.count() >= 3,
        "cancels waited for the connection: {due:?}"
    );
    let again = measured.phase.buy_again.as_ref().expect("bought again");
    let hist = again.hist.read().expect("a histogram");
    assert_eq!((hist.count(), again.gave_up), (10, 0));
    let longest_us = took_us.iter().max().copied().expect("ten") as f64;
    let said_us = hist.max_ns() as f64 / 1e3;
    assert!(
        (said_us / longest_us - 1.0).abs() < 0.01,
        "{said_us} µs instead of {longest_us}"
    );
}

#[test]
fn who_wants_to_buy_again_when_the_run_is_told_to_stop_has_not_given_up() {
    // The units never come back, so that everybody tries until the run stops, and most of the time
    // waits for an answer.
    let bought = Mutex::new(HashSet::new());
    let server = Server::start("127.0.0.1:0", move |request| {
        let is_first = bought
            .lock()
            .expect("no panic")
            .insert((request.user_id, request.call));
        match request.call {
            Call::Buy if !is_first => Answer::Late(Duration::from_millis(50), request.user_id),
            _ => Answer::Accept(request.user_id),
        }
    });
    let orders = Orders {
        cancel: 1.0,
        again: 1.0,
        delay: Delay {
            min: Duration::ZERO,
            max: Duration::ZERO,
        },
        ..orders(&server)
    };
    let plan = followed(&server, 20, orders);
    let stop = Stop::default();
    let told = stop.clone();
    let run = std::thread::spawn(move || {
        drive(&plan, data(20), &told, &mut |_: Event| {}).expect("runs")
    });
    wait_until("tries to buy again", || received(&server, Call::Buy) > 40);
    stop.stop();
    let measured = run.join().expect("no panic");
    let again = measured.phase.buy_again.as_ref().expect("tried");
    assert!(again.retries > 0, "{again:?}");
    assert_eq!(again.gave_up, 0, "{again:?}");
}
