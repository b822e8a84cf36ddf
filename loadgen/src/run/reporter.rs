//! What is noticed while a run is under way, from the threads' recorders: samples and requests in
//! flight every 10 ms, the timeline, and progress every 100 ms.

use super::port::Counters;
use super::recorder::{Interval, Recorder};
use super::shared::Shared;
use super::source::Tally;
use super::timeline::{Stretch, Timeline};
use crate::events::{Event, Progress, Sample};
use reports::result::{InFlight, Outcomes};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub const TICK: Duration = Duration::from_millis(10);
const PROGRESS_EVERY_NS: u64 = 100_000_000;
/// Divides the intervals of progress and timeline, which are cut at the first tick after it.
const CUT_EVERY_NS: u64 = 50_000_000;

/// What one thread measures into.
#[derive(Clone, Debug)]
pub struct Measuring {
    pub recorder: Arc<Mutex<Recorder>>,
    pub counters: Arc<Counters>,
}

impl Measuring {
    pub fn new() -> Self {
        Self {
            recorder: Arc::new(Mutex::new(Recorder::new())),
            counters: Arc::default(),
        }
    }

    pub fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became due after a yes.
    pub fn followed(&self) -> u64 {
        self.purchases_followed() + self.counters.changes.followed.load(Ordering::Relaxed)
    }

    /// Of those, how many were purchases.
    fn purchases_followed(&self) -> u64 {
        self.counters.purchases.followed.load(Ordering::Relaxed)
    }

    /// Requests that a server may have seen, ended or not.
    pub fn sent(&self) -> u64 {
        self.purchases_sent() + self.counters.changes.sent.load(Ordering::Relaxed)
    }

    /// Of those, how many were purchases.
    fn purchases_sent(&self) -> u64 {
        self.counters.purchases.sent.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub struct Reporter {
    threads: Vec<Measuring>,
    shared: Arc<Shared>,
    started_ns: u64,
    timeline: Timeline,
    /// Totals at the last cut, and until when it reached.
    cut: Totals,
    cut_ns: u64,
    progress: Interval,
    progress_ns: u64,
    /// An empty one, to be swapped with a recorder's.
    spare: Interval,
    in_flight_sum: u64,
    in_flight: InFlight,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    tally: Tally,
    stopped: u64,
    sent: u64,
    ended_sent: u64,
    counts: Outcomes,
    purchases: Purchases,
}

/// What the timeline counts besides what has ended.
#[derive(Clone, Copy, Debug, Default)]
struct Purchases {
    due: u64,
    sent: u64,
    dropped: u64,
}

impl Totals {
    fn dropped(&self) -> u64 {
        self.tally.drops.total() + self.stopped
    }

    fn in_flight(&self) -> u64 {
        self.sent.saturating_sub(self.ended_sent)
    }
}

impl Reporter {
    pub fn new(threads: Vec<Measuring>, shared: Arc<Shared>) -> Self {
        let started_ns = shared.source.started_ns();
        Self {
            threads,
            shared,
            started_ns,
            timeline: Timeline::new(),
            cut: Totals::default(),
            cut_ns: started_ns,
            progress: Interval::new(),
            progress_ns: started_ns,
            spare: Interval::new(),
            in_flight_sum: 0,
            in_flight: InFlight {
                sampled_mean: 0.0,
                max: 0,
                samples: 0,
            },
        }
    }

    /// To be called every [`TICK`].
    pub fn tick(&mut self, observe: &mut dyn FnMut(Event)) {
        let samples = self.samples();
        if !samples.is_empty() {
            observe(Event::Samples { samples });
        }
        let totals = self.totals();
        let in_flight = totals.in_flight();
        self.in_flight_sum += in_flight;
        self.in_flight.samples += 1;
        self.in_flight.max = self.in_flight.max.max(in_flight);
        let now_ns = self.shared.clock.now_ns();
        if (now_ns - self.started_ns) / CUT_EVERY_NS
            > (self.cut_ns - self.started_ns) / CUT_EVERY_NS
        {
            // The stretch belongs to the time before the boundary that has just been passed.
            self.cut(now_ns - (now_ns - self.started_ns) % CUT_EVERY_NS, totals);
            self.cut_ns = now_ns;
        }
        if now_ns >= self.progress_ns + PROGRESS_EVERY_NS {
            self.progress(now_ns, observe);
        }
    }

    /// Everything up to now, however recent the last report was.
    pub fn finish(&mut self, observe: &mut dyn FnMut(Event)) {
        let samples = self.samples();
        if !samples.is_empty() {
            observe(Event::Samples { samples });
        }
        let now_ns = self.shared.clock.now_ns();
        self.cut(now_ns, self.totals());
        self.progress(now_ns, observe);
    }

    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// None if no sample was taken.
    pub fn in_flight(&self) -> Option<InFlight> {
        let samples = self.in_flight.samples;
        (samples > 0).then(|| InFlight {
            sampled_mean: self.in_flight_sum as f64 / samples as f64,
            ..self.in_flight.clone()
        })
    }

    fn cut(&mut self, at_ns: u64, totals: Totals) {
        let mut stretch = Stretch::new();
        for thread in &self.threads {
            self.spare.reset();
            std::mem::swap(&mut thread.recorder().interval, &mut self.spare);
            stretch.ended.add(&self.spare);
        }
        let (now, cut) = (totals.purchases, self.cut.purchases);
        stretch.due = now.due - cut.due;
        // What comes back from a server that is going away was not sent after all.
        stretch.sent = now.sent.saturating_sub(cut.sent);
        stretch.dropped = now.dropped - cut.dropped;
        self.cut = totals;
        self.progress.add(&stretch.ended);
        self.timeline.add(at_ns - self.started_ns, &stretch);
    }

    fn progress(&mut self, now_ns: u64, observe: &mut dyn FnMut(Event)) {
        let totals = self.cut;
        let interval_s = (now_ns - self.progress_ns).max(1) as f64 / 1e9;
        observe(Event::Progress(Progress {
            elapsed_ns: now_ns - self.started_ns,
            counts: totals.counts,
            due: totals.tally.due,
            sent: totals.sent,
            dropped: totals.dropped(),
            in_flight: totals.in_flight(),
            interval_per_s: self.progress.counts.total() as f64 / interval_s,
            interval_p99_ns: self.progress.latency.quantile_ns(0.99),
        }));
        self.progress.reset();
        self.progress_ns = now_ns;
    }

    fn samples(&self) -> Vec<Sample> {
        let taken = self.threads.iter();
        taken
            .flat_map(|thread| std::mem::take(&mut thread.recorder().samples))
            .collect()
    }

    fn sum(&self, of: impl Fn(&Measuring) -> u64) -> u64 {
        self.threads.iter().map(of).sum()
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals {
            tally: self.shared.source.tally(),
            ..Totals::default()
        };
        // What was sent is read before what ended, so that no more requests seem to be under way than
        // ever were.
        totals.sent = self.sum(Measuring::sent);
        totals.purchases = Purchases {
            due: totals.tally.due + self.sum(Measuring::purchases_followed),
            sent: self.sum(Measuring::purchases_sent),
            dropped: totals.tally.drops.total(),
        };
        totals.tally.due += self.sum(Measuring::followed);
        for thread in &self.threads {
            let recorder = thread.recorder();
            totals.ended_sent += recorder.ended_sent;
            totals.stopped += recorder.stopped;
            totals.purchases.dropped += recorder.purchases_stopped;
            for operation in &recorder.operations {
                totals.counts.add(&operation.counts);
            }
        }
        totals
    }
}
