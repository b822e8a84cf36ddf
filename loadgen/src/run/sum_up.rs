//! From the recorders of a run's threads to the phase of a result.

use super::follow::AgainRecorder;
use super::port::Counters;
use super::recorder::{OperationRecorder, Recorder};
use super::reporter::{Measuring, Reporter};
use super::request::Operation;
use super::shared::Shared;
use crate::plan::{Arrival, LoadPlan};
use reports::result::{
    DRIVER, HistRecorder, LatencyClock, Limit, Little, Noise, Phase, Usage, UsageByProcess,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// What all threads have measured together.
struct Merged {
    operations: [OperationRecorder; Operation::KINDS],
    lag: HistRecorder,
    statuses: BTreeMap<String, u64>,
    first_due_ns: u64,
    last_bought_ns: u64,
    last_end_ns: u64,
    busy_ns: u64,
    stopped: u64,
    again: AgainRecorder,
}

/// The phase, without what only others can know: the usage of other processes, what the machine did
/// besides, and what limited it.
pub fn phase(
    plan: &LoadPlan,
    shared: &Shared,
    threads: &[Measuring],
    reporter: &Reporter,
    driver: Usage,
) -> Phase {
    let merged = merge(threads);
    let tally = shared.source.tally();
    let scheduled = shared.source.scheduled();
    let begin_ns = scheduled.map_or(merged.first_due_ns, |(first_ns, _)| first_ns);
    let begin_ns = begin_ns.min(merged.last_bought_ns);
    let length_ns = merged.last_bought_ns - begin_ns;
    let clock = match scheduled {
        Some(_) => LatencyClock::Intended,
        None => LatencyClock::Taken,
    };
    let mut dropped: BTreeMap<String, u64> = tally
        .drops
        .by_reason()
        .map(|(reason, count)| (reason.to_owned(), count))
        .collect();
    if merged.stopped > 0 {
        *dropped.entry("stopped".to_owned()).or_default() += merged.stopped;
    }
    // Where nothing follows, all are purchases.
    let kinds = match shared.follow {
        Some(_) => Operation::KINDS,
        None => 1,
    };
    let operations = merged.operations.iter().enumerate().take(kinds);
    let followed: u64 = threads.iter().map(Measuring::followed).sum();
    Phase {
        name: plan.name.clone(),
        purpose: plan.purpose.clone(),
        start_unix_us: shared.clock.unix_us(begin_ns),
        length_ns,
        tail_ns: merged.last_end_ns - merged.last_bought_ns,
        offered_per_s: scheduled.map(|(_, ns)| offered_per_s(tally.due, ns, length_ns)),
        due: tally.due + followed,
        sent: threads.iter().map(Measuring::sent).sum(),
        waiting_at_end: tally.waiting,
        finished: merged
            .operations
            .iter()
            .map(|operation| operation.counts.total())
            .sum(),
        dropped,
        operations: operations
            .map(|(kind, recorded)| {
                let clock = match kind {
                    0 => &clock,
                    _ => &LatencyClock::Intended,
                };
                (Operation::name_of(kind), recorded.stats(clock))
            })
            .collect(),
        buy_again: merged.again.stats(),
        statuses: merged.statuses,
        send_lag: scheduled.map(|_| merged.lag.to_hist()),
        in_flight: reporter.in_flight(),
        little: little(plan, shared, threads, merged.busy_ns),
        timeline: reporter.timeline().intervals(
            merged
                .last_bought_ns
                .saturating_sub(shared.source.started_ns()),
        ),
        usage: UsageByProcess::from([(DRIVER.to_owned(), driver)]),
        noise: Noise::default(),
        limit: Limit::unknown(),
    }
}

fn merge(threads: &[Measuring]) -> Merged {
    let mut merged = Merged {
        operations: std::array::from_fn(|_| OperationRecorder::default()),
        lag: HistRecorder::new(),
        statuses: BTreeMap::new(),
        first_due_ns: u64::MAX,
        last_bought_ns: 0,
        last_end_ns: 0,
        busy_ns: 0,
        stopped: 0,
        again: AgainRecorder::default(),
    };
    for thread in threads {
        let recorder: &Recorder = &thread.recorder();
        for (into, from) in merged.operations.iter_mut().zip(&recorder.operations) {
            into.merge(from);
        }
        merged.lag.merge(&recorder.lag);
        merged.first_due_ns = merged.first_due_ns.min(recorder.first_due_ns);
        merged.last_bought_ns = merged.last_bought_ns.max(recorder.last_bought_ns);
        merged.last_end_ns = merged.last_end_ns.max(recorder.last_end_ns);
        merged.busy_ns += recorder.busy_ns;
        merged.stopped += recorder.stopped;
        merged.again.merge(&recorder.again);
        for (label, count) in recorder.statuses() {
            *merged.statuses.entry(label).or_default() += count;
        }
    }
    merged
}

/// Mean rate of what became due. What was due all at once has no rate of its own, so it counts as
/// spread over the phase.
fn offered_per_s(due: u64, scheduled_ns: u64, length_ns: u64) -> f64 {
    match (due, scheduled_ns) {
        (2.., 1..) => (due - 1) as f64 * 1e9 / scheduled_ns as f64,
        _ => due as f64 * 1e9 / length_ns.max(1) as f64,
    }
}

/// Little's law within the window in which no worker was idle: from when each worker took its first
/// request until the first of them found none left. There, throughput times mean latency is the
/// time that requests took in all by the length of the window; a request that ended later counts
/// with its part in the window. A worker who thinks is not idle.
///
/// The workers' number is known without any clock, so clocks that start late or stop early are
/// found out: the law then gives too few workers.
pub fn little(
    plan: &LoadPlan,
    shared: &Shared,
    threads: &[Measuring],
    busy_ns: u64,
) -> Option<Little> {
    let Arrival::Closed { workers, .. } = plan.arrival else {
        return None;
    };
    let sum = |counter: fn(&Counters) -> &AtomicU64| -> u64 {
        let counters = threads.iter().map(|thread| counter(&thread.counters));
        counters
            .map(|counter| counter.load(Ordering::Relaxed))
            .sum()
    };
    let began = sum(|counters| &counters.workers);
    let until_ns = shared.source.exhausted_ns();
    let capacity_ns = (u128::from(began) * u128::from(until_ns))
        .saturating_sub(u128::from(sum(|counters| &counters.workers_began_ns)));
    let occupied_ns = busy_ns + sum(|counters| &counters.thought_ns);
    let requests = shared.source.tally().due;
    (capacity_ns > 0).then(|| Little {
        expected: f64::from(workers),
        measured: f64::from(workers) * occupied_ns as f64 / capacity_ns as f64,
        applies: requests >= u64::from(workers) * Little::REQUESTS_PER_WORKER_MIN,
    })
}
