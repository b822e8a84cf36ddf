//! A closed loop on paper: ten workers share a server with two streams, which takes 20 ms for a
//! reply. Times are made up, so what the clocks must say is known exactly.

use super::port::{Counters, Port};
use super::recorder::Recorder;
use super::reporter::Measuring;
use super::request::{Request, RequestEnd};
use super::shared::Shared;
use super::stop::Stop;
use super::sum_up;
use crate::data::Element;
use crate::plan::{End, LoadPlan};
use reports::outcome_log::Outcome;
use reports::result::Little;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const REPLY_NS: u64 = 20_000_000;
const WORKERS: u32 = 10;
const STREAMS: usize = 2;

/// What a driver makes of a request's end: the honest one passes on what it was given.
type Clocks = fn(Request, u64) -> (Request, u64);

fn run(end: End, clocks: Clocks) -> (Little, Measuring) {
    let plan = LoadPlan {
        end,
        ..LoadPlan::closed("h:1", WORKERS, 1)
    };
    let element = Element {
        user_id: 1,
        product_id: 1,
        quantity: 1,
    };
    let shared = Shared::new(&plan, vec![element; 1_000].into(), false, Stop::default());
    let shared = Arc::new(shared);
    let measuring = Measuring::new();
    let (recorder, counters) = (
        Arc::clone(&measuring.recorder),
        Arc::<Counters>::clone(&measuring.counters),
    );
    let mut port = Port::new(Arc::clone(&shared), recorder, counters, WORKERS);
    let (mut waiting, mut open) = (VecDeque::new(), VecDeque::new());
    let mut ended = Vec::new();
    let mut now_ns = 1_000;
    shared.source.start_at(now_ns);
    loop {
        port.take(now_ns, STREAMS - open.len(), &mut waiting);
        let mut sent = 0;
        while open.len() < STREAMS
            && let Some(request) = waiting.pop_front()
        {
            let sent_ns = Some(now_ns);
            open.push_back(Request { sent_ns, ..request });
            sent += 1;
        }
        port.sent(sent, &mut waiting, 0);
        if open.is_empty() && port.is_over() {
            break;
        }
        now_ns += REPLY_NS;
        let mut end_ns = now_ns;
        for request in open.drain(..) {
            let (request, at_ns) = clocks(request, now_ns);
            end_ns = at_ns;
            ended.push((request, RequestEnd::new(Outcome::Refused, "OK, refused")));
        }
        port.end(end_ns, &mut ended);
    }
    let threads = [measuring];
    let busy_ns = threads[0].recorder().busy_ns;
    let little = sum_up::little(&plan, &shared, &threads, busy_ns).expect("a closed loop");
    let [measuring] = threads;
    (little, measuring)
}

fn mean_taken_ns(recorder: &Recorder) -> f64 {
    let clock = reports::result::LatencyClock::Taken;
    let stats = recorder.operations[0].stats(&clock);
    stats.latency[0].hist.read().expect("read").mean_ns()
}

const HONEST: Clocks = |request, now_ns| (request, now_ns);

#[test]
fn honest_clocks_find_all_workers_busy_whether_a_run_ends_by_count_or_by_time() {
    for end in [End::Count(400), End::Time(Duration::from_secs(4))] {
        let (little, measuring) = run(end, HONEST);
        assert!((little.measured - 10.0).abs() < 1e-9, "{end:?}: {little:?}");
        assert!(little.applies && little.holds());
        // Ten requests on two streams: each waits for four pairs before its own 20 ms.
        let mean_ns = mean_taken_ns(&measuring.recorder());
        assert!((95e6..=100e6).contains(&mean_ns), "{mean_ns}");
    }
}

#[test]
fn a_clock_that_lies_breaks_the_law() {
    let lies: [(&str, Clocks); 3] = [
        ("counts from the send", |request, now_ns| {
            let due_ns = request.sent_ns.expect("sent");
            (Request { due_ns, ..request }, now_ns)
        }),
        ("starts 5 ms late", |request, now_ns| {
            let due_ns = request.due_ns + 5_000_000;
            (Request { due_ns, ..request }, now_ns)
        }),
        ("runs on a clock that is 5 % slow", |request, now_ns| {
            let due_ns = now_ns - (now_ns - request.due_ns) * 95 / 100;
            (Request { due_ns, ..request }, now_ns)
        }),
    ];
    for (lie, clocks) in lies {
        let (little, _) = run(End::Count(400), clocks);
        assert!(little.applies && !little.holds(), "{lie}: {little:?}");
    }
}

#[test]
fn the_law_does_not_apply_to_a_handful_of_requests() {
    let (little, _) = run(End::Count(199), HONEST);
    assert!(!little.applies, "{little:?}");
    let (little, _) = run(End::Count(200), HONEST);
    assert!(little.applies, "{little:?}");
}
