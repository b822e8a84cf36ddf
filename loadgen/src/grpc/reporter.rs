//! What is reported while a run is under way: samples every 10 ms and progress every 100 ms, taken
//! from the threads' recorders.

use super::clock::Clock;
use super::recorder::{Recorder, interval_histogram};
use crate::events::{Event, Progress, Sample};
use hdrhistogram::Histogram;
use reports::model::OutcomeCounts;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub const SAMPLES_EVERY: Duration = Duration::from_millis(10);
const PROGRESS_EVERY_US: u64 = 100_000;

#[derive(Debug)]
pub struct Reporter {
    recorders: Vec<Arc<Mutex<Recorder>>>,
    clock: Clock,
    started_us: u64,
    last_us: u64,
    last_done: u64,
    /// An empty histogram, to be swapped with a recorder's.
    spare: Histogram<u64>,
    interval: Histogram<u64>,
}

impl Reporter {
    pub fn new(recorders: Vec<Arc<Mutex<Recorder>>>, clock: Clock) -> Self {
        let started_us = clock.now_us();
        let (spare, interval) = (interval_histogram(), interval_histogram());
        Self {
            recorders,
            clock,
            started_us,
            last_us: started_us,
            last_done: 0,
            spare,
            interval,
        }
    }

    /// To be called every [`SAMPLES_EVERY`].
    pub fn tick(&mut self, observe: &mut dyn FnMut(Event)) {
        if self.clock.now_us() >= self.last_us + PROGRESS_EVERY_US {
            return self.progress(observe);
        }
        let samples = self.samples();
        if !samples.is_empty() {
            observe(Event::Samples { samples });
        }
    }

    /// Reports the progress up to now, however recent the last report was.
    pub fn progress(&mut self, observe: &mut dyn FnMut(Event)) {
        let samples = self.samples();
        let counts = self.counts_and_interval();
        let now_us = self.clock.now_us();
        let done = counts.total();
        let interval_s = (now_us - self.last_us).max(1) as f64 / 1e6;
        observe(Event::Progress(Progress {
            elapsed_ms: (now_us - self.started_us) / 1_000,
            done,
            accepted: counts.accepted,
            refused: counts.refused,
            errors: counts.error,
            unknown: counts.unknown,
            interval_p99_us: self.interval.value_at_quantile(0.99),
            interval_rps: (done - self.last_done) as f64 / interval_s,
            samples,
        }));
        (self.last_us, self.last_done) = (now_us, done);
    }

    fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        for recorder in &self.recorders {
            samples.append(
                &mut recorder
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .samples,
            );
        }
        samples
    }

    /// Leaves the interval's latencies in `self.interval`.
    fn counts_and_interval(&mut self) -> OutcomeCounts {
        let mut counts = OutcomeCounts::default();
        self.interval.reset();
        for recorder in &self.recorders {
            self.spare.reset();
            {
                let mut recorder = recorder.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut recorder.interval, &mut self.spare);
                add(&mut counts, &recorder.counts);
            }
            self.interval
                .add(&self.spare)
                .expect("both have the same bounds");
        }
        counts
    }
}

pub fn add(sum: &mut OutcomeCounts, counts: &OutcomeCounts) {
    sum.accepted += counts.accepted;
    sum.refused += counts.refused;
    sum.duplicate += counts.duplicate;
    sum.error += counts.error;
    sum.unknown += counts.unknown;
}
