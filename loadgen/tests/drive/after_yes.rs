//! What follows the yes: shares, clocks, outcomes, races, and buying again.

use super::server::{Answer, Call, Server};
use super::{data, measure, plan, records};
use loadgen::plan::{Delay, End, LoadPlan, Orders, Shape};
use loadgen::run::Measured;
use reports::outcome_log::{Operation, Outcome, Record, Refusal};
use reports::result::{self, LatencyClock, Outcomes};
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Nothing follows, 10 to 60 ms after the yes.
pub fn orders(server: &Server) -> Orders {
    Orders {
        address: server.address.to_string(),
        connections: 2,
        cancel: 0.0,
        pay: 0.0,
        cancel_and_pay: 0.0,
        again: 0.0,
        twice: 0.0,
        delay: Delay {
            min: Duration::from_millis(10),
            max: Duration::from_millis(60),
        },
    }
}

pub fn followed(server: &Server, requests: u64, orders: Orders) -> LoadPlan {
    LoadPlan {
        orders: Some(orders),
        ..plan(server, requests, 20, 4)
    }
}

/// An order per purchase, and yes to everything else.
pub fn yes_to_all() -> Server {
    let next = AtomicI64::new(1_000);
    Server::start("127.0.0.1:0", move |_| {
        Answer::Accept(next.fetch_add(1, Ordering::Relaxed))
    })
}

fn of(measured: &Measured, operation: Operation) -> Vec<Record> {
    let mut of = records(measured);
    of.retain(|record| record.operation == operation);
    of
}

pub fn counts(measured: &Measured, operation: &result::Operation) -> Outcomes {
    measured.phase.operations[operation].counts
}

pub fn received(server: &Server, call: Call) -> usize {
    let received = server.received.lock().expect("no panic");
    let of = received.requests.iter().filter(|it| it.call == call);
    of.count()
}

/// Near a share, as far as thousands of draws are.
fn is_share(part: usize, of: usize, share: f64) -> bool {
    (part as f64 / of as f64 - share).abs() < 0.05
}

#[test]
fn shares_of_the_orders_are_cancelled_paid_and_both() {
    let server = yes_to_all();
    let orders = Orders {
        cancel: 0.3,
        pay: 0.4,
        cancel_and_pay: 0.1,
        twice: 0.25,
        ..orders(&server)
    };
    let measured = measure(&followed(&server, 3_000, orders), data(3_000));
    let (cancels, pays) = (
        of(&measured, Operation::Cancel),
        of(&measured, Operation::Pay),
    );
    let ids = |records: &[Record]| -> HashSet<i64> {
        records.iter().map(|record| record.asked_order_id).collect()
    };
    let (cancelled, paid) = (ids(&cancels), ids(&pays));
    let both = cancelled.intersection(&paid).count();
    assert!(
        is_share(cancelled.len() - both, 3_000, 0.3),
        "{}",
        cancelled.len()
    );
    assert!(is_share(paid.len() - both, 3_000, 0.4), "{}", paid.len());
    assert!(is_share(both, 3_000, 0.1), "{both}");
    let twice = cancels.len() - cancelled.len();
    assert!(is_share(twice, cancelled.len(), 0.25), "{twice}");
    assert_eq!(pays.len(), paid.len());

    let bought: HashMap<i64, i64> = of(&measured, Operation::Buy)
        .iter()
        .map(|record| (record.order_id, record.user_id))
        .collect();
    for record in cancels.iter().chain(&pays) {
        assert_eq!(bought[&record.asked_order_id], record.user_id);
        let named = (record.product_id, record.quantity, record.order_id);
        assert_eq!(named, (0, 0, 0));
        assert_eq!(record.outcome, Outcome::Accepted);
    }
    let phase = &measured.phase;
    assert_eq!(phase.purchases().accepted, 3_000);
    assert_eq!(phase.units_accepted(), 4_500, "of purchases alone");
    assert_eq!(
        counts(&measured, &result::Operation::Cancel).accepted,
        cancels.len() as u64
    );
    let all = 3_000 + cancels.len() as u64 + pays.len() as u64;
    assert_eq!((phase.due, phase.sent, phase.finished), (all, all, all));
    assert_eq!(phase.statuses["OK"], 3_000);
    assert_eq!(phase.statuses["pay OK"], pays.len() as u64);
    assert!(!measured.data_wrapped, "only purchases take data");
    assert_eq!(
        received(&server, Call::Cancel) + received(&server, Call::Pay),
        cancels.len() + pays.len()
    );
}

#[test]
fn nothing_follows_where_no_plan_says_so() {
    let server = yes_to_all();
    let measured = measure(&plan(&server, 100, 10, 2), data(100));
    let known: Vec<_> = measured.phase.operations.keys().collect();
    assert_eq!(known, [&result::Operation::Buy]);
    assert_eq!(measured.phase.buy_again, None);
}

#[test]
fn a_buyer_does_the_same_in_every_run_of_a_seed_and_on_any_number_of_threads() {
    let did = |seed: u64, threads: u32| {
        let server = yes_to_all();
        let orders = Orders {
            cancel: 0.4,
            pay: 0.4,
            twice: 0.5,
            ..orders(&server)
        };
        let plan = LoadPlan {
            seed,
            threads,
            ..followed(&server, 400, orders)
        };
        let measured = measure(&plan, data(400));
        let follow = records(&measured).into_iter().filter_map(|record| {
            (record.operation != Operation::Buy).then_some((record.user_id, record.operation as u8))
        });
        let mut follow: Vec<_> = follow.collect();
        follow.sort_unstable();
        follow
    };
    let first = did(7, 1);
    assert_eq!(first, did(7, 3));
    assert_ne!(first, did(8, 1));
}

#[test]
fn what_follows_is_due_at_its_time_whatever_the_server_does_and_has_clocks_of_its_own() {
    let slow = Duration::from_millis(100);
    let server = Server::start("127.0.0.1:0", move |request| match request.call {
        Call::Buy => Answer::Accept(request.user_id),
        Call::Cancel | Call::Pay => Answer::Late(slow, 0),
    });
    let orders = Orders {
        cancel: 1.0,
        ..orders(&server)
    };
    let measured = measure(&followed(&server, 200, orders), data(200));
    let yes: HashMap<i64, i64> = of(&measured, Operation::Buy)
        .iter()
        .map(|record| (record.order_id, record.ended_at_unix_us))
        .collect();
    let cancels = of(&measured, Operation::Cancel);
    assert_eq!(cancels.len(), 200);
    let mut delays = Vec::new();
    for record in &cancels {
        let delay_us = record.due_at_unix_us - yes[&record.asked_order_id];
        assert!((9_999..=60_001).contains(&delay_us), "{delay_us}");
        delays.push(delay_us);
        assert!(record.sent_at_unix_us >= Some(record.due_at_unix_us));
        assert!(record.ended_at_unix_us - record.due_at_unix_us >= 100_000);
    }
    delays.sort_unstable();
    assert!(
        delays[180] - delays[20] > 25_000,
        "drawn evenly: {delays:?}"
    );
    let latency = |operation, clock| measured.phase.latencies_of(operation, &clock, None);
    let cancel = latency(&result::Operation::Cancel, LatencyClock::Intended);
    assert!(cancel.count() == 200 && cancel.min_ns() >= 100_000_000);
    assert!(measured.phase.in_flight.as_ref().expect("sampled").max > 20);
    // A purchase is not late because a cancel is.
    let buy = measured.phase.headline_latencies();
    assert_eq!(buy.count(), 200);
    assert_eq!(
        latency(&result::Operation::Buy, LatencyClock::Intended).count(),
        0,
        "a closed loop"
    );
}

#[test]
fn a_race_sends_both_at_once_and_the_loser_meets_a_conflict() {
    let first = Mutex::new(HashSet::new());
    let server = Server::start("127.0.0.1:0", move |request| match request.call {
        Call::Buy => Answer::Accept(request.user_id * 10),
        _ if first.lock().expect("no panic").insert(request.order_id) => Answer::Accept(0),
        _ => Answer::Status(9, "order 7 is cancelled already"),
    });
    let orders = Orders {
        cancel_and_pay: 1.0,
        ..orders(&server)
    };
    let measured = measure(&followed(&server, 300, orders), data(300));
    let (cancel, pay) = (
        counts(&measured, &result::Operation::Cancel),
        counts(&measured, &result::Operation::Pay),
    );
    assert_eq!((cancel.total(), pay.total()), (300, 300));
    assert_eq!(cancel.accepted + pay.accepted, 300);
    assert_eq!(cancel.refused + pay.refused, 300);
    let mut due = HashMap::new();
    for record in records(&measured) {
        if record.operation == Operation::Buy {
            continue;
        }
        due.entry(record.asked_order_id)
            .or_insert_with(Vec::new)
            .push(record.due_at_unix_us);
        let conflict = record.outcome == Outcome::Refused;
        assert_eq!(record.refusal, conflict.then_some(Refusal::Conflict));
    }
    assert!(due.values().all(|due| due.len() == 2 && due[0] == due[1]));
    assert_eq!(
        super::status(&measured.phase, "cancel FAILED_PRECONDITION: order N is")
            + super::status(&measured.phase, "pay FAILED_PRECONDITION: order N is"),
        300
    );
}

#[test]
fn who_cancelled_buys_again_and_the_time_until_then_is_measured() {
    // The units of a cancelled order are back with the third try.
    let tries = Mutex::new(HashMap::<i64, i64>::new());
    let server = Server::start("127.0.0.1:0", move |request| {
        if request.call != Call::Buy {
            return Answer::Late(Duration::from_millis(20), 0);
        }
        let mut tries = tries.lock().expect("no panic");
        let tries = tries.entry(request.user_id).or_default();
        *tries += 1;
        match *tries {
            1 | 2 => Answer::Accept(request.user_id * 10),
            3 => Answer::Refuse("sold out"),
            _ => Answer::Accept(request.user_id * 10 + 1),
        }
    });
    let orders = Orders {
        cancel: 1.0,
        again: 1.0,
        twice: 0.5,
        ..orders(&server)
    };
    let measured = measure(&followed(&server, 200, orders), data(200));
    let buy = counts(&measured, &result::Operation::Buy);
    assert_eq!(
        (buy.accepted, buy.duplicate, buy.refused),
        (400, 200, 200),
        "the old order is one that they had"
    );
    let again = measured.phase.buy_again.as_ref().expect("bought again");
    assert_eq!(
        (again.hist.count, again.retries, again.gave_up),
        (200, 400, 0)
    );
    let hist = again.hist.read().expect("a histogram");
    // The cancel itself, and two pauses of 5 ms.
    assert!(hist.min_ns() >= 30_000_000, "{}", hist.min_ns());
    let new = of(&measured, Operation::Buy)
        .into_iter()
        .filter(|record| record.order_id % 10 == 1);
    assert_eq!(
        new.filter(|it| it.outcome == Outcome::Accepted).count(),
        200
    );
    assert_eq!(measured.phase.units_accepted(), 600);
}

#[test]
fn who_may_not_buy_again_gives_up_within_a_bound() {
    let server = Server::start("127.0.0.1:0", |request| Answer::Accept(request.user_id));
    let orders = Orders {
        cancel: 1.0,
        again: 0.5,
        ..orders(&server)
    };
    let measured = measure(&followed(&server, 40, orders), data(40));
    let again = measured.phase.buy_again.as_ref().expect("tried");
    assert_eq!(again.hist.count, 0);
    assert!((5..=35).contains(&again.gave_up), "{again:?}");
    assert!(again.retries >= again.gave_up && again.retries <= again.gave_up * 200);
    let buy = counts(&measured, &result::Operation::Buy);
    assert_eq!(buy.accepted, 40, "an order is accepted once");
}

#[test]
fn an_open_loop_waits_for_what_follows_its_last_yes() {
    let server = yes_to_all();
    let plan = LoadPlan {
        orders: Some(Orders {
            cancel: 0.5,
            pay: 0.5,
            again: 1.0,
            delay: Delay {
                min: Duration::from_millis(150),
                max: Duration::from_millis(150),
            },
            ..orders(&server)
        }),
        keep_outcomes: true,
        connections: 3,
        threads: 2,
        ..LoadPlan::open(
            server.address.to_string(),
            Shape::Constant {
                rate_per_s: 1_000.0,
            },
            End::Count(300),
        )
    };
    let measured = measure(&plan, data(300));
    let phase = &measured.phase;
    let (cancel, pay) = (
        counts(&measured, &result::Operation::Cancel),
        counts(&measured, &result::Operation::Pay),
    );
    assert_eq!(cancel.accepted + pay.accepted, 300);
    assert_eq!(phase.purchases().accepted, 300 + cancel.accepted);
    assert!(phase.length_ns >= 440_000_000, "{}", phase.length_ns);
    assert_eq!((phase.due, phase.dropped_in_all()), (phase.finished, 0));
    let lag = phase.send_lag.as_ref().expect("an open loop");
    assert_eq!(lag.count, 300, "of the schedule alone");
}

#[test]
fn buyers_who_come_again_by_themselves_are_told_of_their_new_order_as_one_they_have() {
    // Per buyer: a first order until its cancel, and a second one from then on.
    let cancelled = Mutex::new(HashSet::new());
    let server = Server::start("127.0.0.1:0", move |request| {
        let mut cancelled = cancelled.lock().expect("no panic");
        match request.call {
            Call::Buy => Answer::Accept(
                request.user_id * 10 + i64::from(cancelled.contains(&request.user_id)),
            ),
            _ => {
                cancelled.insert(request.user_id);
                Answer::Accept(0)
            }
        }
    });
    let orders = Orders {
        cancel: 1.0,
        again: 1.0,
        ..orders(&server)
    };
    let plan = LoadPlan {
        may_wrap: true,
        ..followed(&server, 5_000, orders)
    };
    let measured = measure(&plan, data(50));
    let accepted = of(&measured, Operation::Buy);
    let accepted = accepted.iter().filter(|it| it.outcome == Outcome::Accepted);
    let ids: Vec<i64> = accepted.map(|record| record.order_id).collect();
    let once: HashSet<i64> = ids.iter().copied().collect();
    assert_eq!(ids.len(), once.len(), "each order is new to its buyer once");
    assert_eq!(once.len(), 100);
}
