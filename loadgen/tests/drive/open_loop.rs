//! An open loop against real servers: what was due, sent and dropped, and what the clocks say when
//! the server or the driver cannot keep up.

use super::server::{Answer, ReceivedRequest, Server};
use super::{data, drive, latencies, measure, plan, records, wait_until};
use loadgen::events::Event;
use loadgen::plan::{Arrival, BACKLOG_DEFAULT, End, LoadPlan, Shape};
use loadgen::run::{Measured, Stop};
use reports::result::{LatencyClock, Phase};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const MS_NS: u64 = 1_000_000;

fn open(server: &Server, shape: Shape, end: End, connections: u32) -> LoadPlan {
    LoadPlan {
        connections,
        keep_outcomes: true,
        ..LoadPlan::open(server.address.to_string(), shape, end)
    }
}

fn constant(rate_per_s: f64) -> Shape {
    Shape::Constant { rate_per_s }
}

/// The identities that hold in every open loop, exactly.
#[track_caller]
fn adds_up(measured: &Measured) {
    let phase = &measured.phase;
    let accounted = phase.sent + phase.dropped_in_all() + phase.waiting_at_end;
    assert_eq!(phase.due, accounted, "{:?}", phase.dropped);
    assert_eq!(phase.finished, phase.sent);
    let (intended, sent) = (
        latencies(measured, LatencyClock::Intended),
        latencies(measured, LatencyClock::Sent),
    );
    let lag = lag(phase);
    assert_eq!(intended.count(), sent.count());
    assert_eq!(lag.count(), sent.count());
    assert_eq!(intended.sum_ns() - sent.sum_ns(), lag.sum_ns());
}

fn lag(phase: &Phase) -> reports::result::Latencies {
    let lag = phase.send_lag.as_ref().expect("an open loop");
    lag.read().expect("a histogram")
}

#[test]
fn everything_that_is_due_is_sent_by_every_shape_and_number_of_threads() {
    let server = Server::start("127.0.0.1:0", |request| Answer::Accept(request.user_id));
    let second = End::Time(Duration::from_millis(400));
    let line = Shape::Line {
        from_per_s: 100.0,
        to_per_s: 900.0,
    };
    let step = Shape::Step {
        rates_per_s: vec![200.0, 800.0],
    };
    for (shape, end, due) in [
        (constant(500.0), second, 200),
        (step, second, 200),
        (line, End::Count(200), 200),
        (Shape::Spike { buyers: 300 }, End::Count(300), 300),
        (Shape::Poisson { rate_per_s: 500.0 }, End::Count(200), 200),
    ] {
        for threads in [1, 2] {
            let plan = LoadPlan {
                threads,
                ..open(&server, shape.clone(), end, 4)
            };
            let measured = measure(&plan, data(1_000));
            let phase = &measured.phase;
            assert_eq!((phase.due, phase.sent), (due, due), "{shape:?}");
            assert_eq!(phase.outcomes().accepted, due);
            adds_up(&measured);
            assert!(!measured.data_wrapped);
            assert!(phase.little.is_none() && phase.offered_per_s.is_some());
        }
    }
}

#[test]
fn requests_are_sent_when_they_are_due() {
    let server = Server::start("127.0.0.1:0", |request| Answer::Accept(request.user_id));
    let plan = open(&server, constant(1_000.0), End::Count(500), 2);
    let measured = measure(&plan, data(500));
    let mut records = records(&measured);
    records.sort_by_key(|record| record.due_at_unix_us);
    let first = records[0].due_at_unix_us;
    for (number, record) in records.iter().enumerate() {
        let due = record.due_at_unix_us - first;
        assert!((due - number as i64 * 1_000).abs() <= 1, "{number}: {due}");
        assert!(record.sent_at_unix_us.expect("sent") >= record.due_at_unix_us);
    }
    let offered_per_s = measured.phase.offered_per_s.expect("an open loop");
    assert!((offered_per_s - 1_000.0).abs() < 1.0, "{offered_per_s}");
    assert!(measured.phase.finished_per_s() <= 1_010.0);
}

#[test]
fn pacing_is_finer_than_a_timer_of_a_millisecond() {
    let server = Server::start("127.0.0.1:0", |request| Answer::Accept(request.user_id));
    // At a rate that is no whole number per ms, a timer that rounds up to the next one would be late
    // by 500 µs in the median. A busy machine only makes the lag longer, so one good run in five is
    // proof enough.
    let mut medians_ns = (0..5).map(|_| {
        let plan = open(&server, constant(733.0), End::Count(200), 1);
        let measured = measure(&plan, data(200));
        lag(&measured.phase).quantile_ns(0.5).expect("sent")
    });
    let mut seen_ns = Vec::new();
    let is_fine = |median_ns| {
        seen_ns.push(median_ns);
        median_ns < 400_000
    };
    assert!(medians_ns.any(is_fine), "{seen_ns:?}");
}

#[test]
fn a_server_that_stalls_shows_in_an_open_loop_and_not_in_a_closed_one() {
    // For 100 ms in every second, whoever asks is answered only when the stall is over.
    let began = Instant::now();
    let stalling = move |request: &ReceivedRequest| {
        let into = Duration::from_nanos((began.elapsed().as_nanos() % 1_000_000_000) as u64);
        match Duration::from_millis(100).checked_sub(into) {
            Some(rest) => Answer::Late(rest, request.user_id),
            None => Answer::Accept(request.user_id),
        }
    };
    let server = Server::start("127.0.0.1:0", stalling);
    let p99_ns = |measured: &Measured| {
        let headline = measured.phase.headline_latencies();
        headline.quantile_ns(0.99).expect("replies")
    };
    // On a busy machine a closed loop sends so little that the stalls are more than one reply in a
    // hundred, so one run in five in which they are not is proof enough.
    let mut seen_ns = Vec::new();
    let is_hidden = (0..5).any(|_| {
        let closed = LoadPlan {
            end: End::Time(Duration::from_secs(2)),
            ..plan(&server, 1, 2, 2)
        };
        let closed = measure(&closed, data(100_000));
        let time = End::Time(Duration::from_secs(2));
        let open = measure(&open(&server, constant(500.0), time, 2), data(1_000));
        let (closed_ns, open_ns) = (p99_ns(&closed), p99_ns(&open));
        assert!(open_ns >= 60 * MS_NS, "open loop: {open_ns} ns");
        // It was the server: requests left when they were due.
        assert_eq!(open.phase.due, 1_000);
        adds_up(&open);
        seen_ns.push((closed_ns, open_ns));
        closed_ns < open_ns / 2
    });
    assert!(is_hidden, "closed and open loop: {seen_ns:?}");
}

#[test]
fn a_rate_that_cannot_be_reached_ends_in_time_with_the_one_that_can() {
    // One request at a time per connection, 10 ms each: 200 per second on two connections.
    let late = Duration::from_millis(10);
    let server = Server::start_with("127.0.0.1:0", Some(1), move |request| {
        Answer::Late(late, request.user_id)
    });
    let timeout = Duration::from_millis(300);
    let length = Duration::from_millis(700);
    let plan = LoadPlan {
        timeout,
        ..open(&server, constant(2_000.0), End::Time(length), 2)
    };
    let measured = measure(&plan, data(2_000));
    let phase = &measured.phase;
    adds_up(&measured);
    assert_eq!(phase.due, 1_400);
    let passed = phase.dropped["deadline passed before it was sent"];
    assert!(passed >= 1_000, "{passed}");
    assert!(
        phase.finished_per_s() <= 210.0,
        "{}",
        phase.finished_per_s()
    );
    let offered_per_s = phase.offered_per_s.expect("an open loop");
    assert!((offered_per_s - 2_000.0).abs() < 20.0, "{offered_per_s}");
    // Patience for a busy machine.
    let most_ns = (length + timeout).as_nanos() as u64 + 1_000 * MS_NS;
    assert!(phase.length_ns <= most_ns, "{} ns", phase.length_ns);
    // Those who were sent had waited for nearly as long as they were willing to.
    assert!(lag(phase).max_ns() >= 200 * MS_NS);
}

#[test]
fn a_rate_beyond_the_driver_ends_in_time_and_is_not_said_to_be_reached() {
    let server = Server::start("127.0.0.1:0", |request| Answer::Accept(request.user_id));
    let (timeout, length) = (Duration::from_millis(300), Duration::from_millis(100));
    let plan = LoadPlan {
        timeout,
        ..open(&server, constant(1e6), End::Time(length), 4)
    };
    let measured = measure(&plan, data(100_000));
    let phase = &measured.phase;
    adds_up(&measured);
    assert_eq!(phase.due, 100_000);
    let offered_per_s = phase.offered_per_s.expect("an open loop");
    assert!((offered_per_s - 1e6).abs() < 1e3, "{offered_per_s}");
    assert!(phase.finished_per_s() < offered_per_s);
    assert!(phase.outcomes().accepted < phase.due);
    // Patience for a busy machine, on which a driver without optimizations gives up slowly.
    let most_ns = (length + timeout).as_nanos() as u64 + 3_000 * MS_NS;
    assert!(phase.length_ns <= most_ns, "{} ns", phase.length_ns);
}

#[test]
fn who_finds_the_backlog_full_is_dropped() {
    let late = Duration::from_millis(50);
    let server = Server::start_with("127.0.0.1:0", Some(1), move |request| {
        Answer::Late(late, request.user_id)
    });
    let plan = LoadPlan {
        arrival: Arrival::Open {
            shape: Shape::Spike { buyers: 100 },
            backlog_max: 5,
            in_flight_max: None,
        },
        end: End::Count(100),
        ..open(&server, constant(1.0), End::Count(1), 1)
    };
    let measured = measure(&plan, data(100));
    adds_up(&measured);
    let full = measured.phase.dropped["backlog full"];
    assert_eq!((measured.phase.due, full), (100, 95));
    let received = server.received.lock().expect("no panic").requests.len();
    assert_eq!(received as u64, measured.phase.sent);
    assert_eq!(records(&measured).len() as u64, measured.phase.sent);
}

#[test]
fn at_most_so_many_requests_are_under_way() {
    let late = Duration::from_millis(5);
    let server = Server::start("127.0.0.1:0", move |request| {
        Answer::Late(late, request.user_id)
    });
    for threads in [1, 2] {
        let plan = LoadPlan {
            arrival: Arrival::Open {
                shape: Shape::Spike { buyers: 100 },
                backlog_max: BACKLOG_DEFAULT,
                in_flight_max: Some(7),
            },
            threads,
            ..open(&server, constant(1.0), End::Count(100), 2)
        };
        let measured = measure(&plan, data(100));
        adds_up(&measured);
        assert_eq!(measured.phase.sent, 100);
        let in_flight = measured.phase.in_flight.as_ref().expect("sampled");
        assert!(in_flight.max <= 7, "{in_flight:?}");
    }
    let mut open = HashMap::new();
    for request in &server.received.lock().expect("no panic").requests {
        let most = open.entry(request.connection).or_insert(0);
        *most = request.open.max(*most);
    }
    assert!(open.values().all(|most| *most <= 7), "{open:?}");
}

#[test]
fn a_connection_that_is_blocked_holds_up_nobody_else() {
    // The first connection never answers, and takes two requests at a time.
    let server = Server::start_with("127.0.0.1:0", Some(2), |request| match request.connection {
        0 => Answer::Late(Duration::from_secs(30), request.user_id),
        _ => Answer::Accept(request.user_id),
    });
    let plan = LoadPlan {
        timeout: Duration::from_millis(1_500),
        ..open(&server, constant(400.0), End::Count(120), 3)
    };
    let measured = measure(&plan, data(200));
    adds_up(&measured);
    let counts = measured.phase.outcomes();
    assert_eq!((counts.accepted, counts.unknown), (118, 2));
    let mut by_connection = HashMap::new();
    for request in &server.received.lock().expect("no panic").requests {
        *by_connection.entry(request.connection).or_insert(0) += 1;
    }
    assert_eq!(by_connection[&0], 2);
    // The other two share the rest.
    assert!(by_connection[&1] >= 20 && by_connection[&2] >= 20);
}

#[test]
fn a_server_that_goes_away_and_comes_back_loses_only_what_it_had() {
    let answer = |request: &ReceivedRequest| Answer::Accept(request.user_id);
    let server = Server::start("127.0.0.1:0", answer);
    let address = server.address.to_string();
    let plan = open(&server, constant(500.0), End::Count(500), 4);
    let run = std::thread::spawn(move || measure(&plan, data(500)));
    wait_until("some requests", || {
        server.received.lock().expect("no panic").requests.len() > 100
    });
    drop(server);
    let _server = Server::start(&address, answer);
    let measured = run.join().expect("no panic");
    adds_up(&measured);
    let counts = measured.phase.outcomes();
    assert_eq!((measured.phase.due, measured.phase.sent), (500, 500));
    assert_eq!(counts.accepted + counts.unknown, 500);
    assert!(measured.connections_lost > 0);
}

#[test]
fn a_stop_drops_what_waits_and_waits_for_what_is_open() {
    let late = Duration::from_millis(50);
    let server = Server::start_with("127.0.0.1:0", Some(1), move |request| {
        Answer::Late(late, request.user_id)
    });
    let plan = open(
        &server,
        constant(1_000.0),
        End::Time(Duration::from_secs(60)),
        2,
    );
    let stop = Stop::default();
    let told = stop.clone();
    let run = std::thread::spawn(move || {
        drive(&plan, data(100_000), &told, &mut |_: Event| {}).expect("runs")
    });
    wait_until("some requests", || {
        server.received.lock().expect("no panic").requests.len() > 4
    });
    stop.stop();
    let measured = run.join().expect("no panic");
    adds_up(&measured);
    let phase = &measured.phase;
    assert!(phase.dropped["stopped"] > 0, "{:?}", phase.dropped);
    assert_eq!(phase.outcomes().accepted, phase.sent);
    assert!(phase.due < 60_000);
}

#[test]
fn the_timeline_and_the_progress_add_up_to_the_whole() {
    let server = Server::start("127.0.0.1:0", |request| Answer::Accept(request.user_id));
    let plan = LoadPlan {
        report: true,
        ..open(&server, constant(1_000.0), End::Count(700), 2)
    };
    let mut progress = Vec::new();
    let measured = drive(&plan, data(700), &Stop::default(), &mut |event| {
        if let Event::Progress(now) = event {
            progress.push(now);
        }
    })
    .expect("runs");
    let phase = &measured.phase;
    let sum = |count: fn(&reports::result::Interval) -> u64| -> u64 {
        phase.timeline.iter().map(count).sum()
    };
    assert_eq!(sum(|interval| interval.due), 700);
    assert_eq!(sum(|interval| interval.sent), 700);
    assert_eq!(sum(|interval| interval.counts.accepted), 700);
    assert_eq!(sum(|interval| interval.latency.count), 700);
    assert!(phase.timeline.len() >= 2, "{}", phase.timeline.len());
    let last = progress.last().expect("progress");
    assert_eq!((last.due, last.sent, last.done()), (700, 700, 700));
    assert_eq!((last.dropped, last.in_flight), (0, 0));
    assert!(progress.iter().any(|now| now.interval_p99_ns.is_some()));
}

#[test]
fn data_that_ends_and_begins_again_is_said() {
    let server = Server::start("127.0.0.1:0", |request| Answer::Accept(request.user_id));
    for (requests, start_index, may_wrap, wrapped) in [
        (10, 0, false, false),
        (11, 0, false, true),
        (10, 1, false, true),
        (30, 0, true, false),
    ] {
        let plan = LoadPlan {
            start_index,
            may_wrap,
            ..plan(&server, requests, 2, 1)
        };
        let measured = measure(&plan, data(10));
        assert_eq!(
            measured.data_wrapped, wrapped,
            "{requests} from {start_index}"
        );
    }
}
