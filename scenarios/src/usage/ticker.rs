//! A clock that notices when it was not run: samples of the lab's own clock at a fixed period, on a
//! thread of their own. Those that come much too late tell that the machine, or this process, stood
//! still, and that whatever was measured then is not to be trusted to that grain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two samples.
pub const SAMPLE_PERIOD: Duration = Duration::from_millis(100);

/// Samples until it is dropped.
#[derive(Debug)]
pub struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    missed: AtomicU64,
    stop: AtomicBool,
}

impl Ticker {
    /// # Errors
    /// When no thread can be started.
    pub fn start() -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        // Here, so that a thread which is not run at all misses samples too.
        let start = Instant::now();
        let thread = std::thread::Builder::new().name("ticker".into());
        Ok(Self {
            thread: Some(thread.spawn(move || of_thread.run(start))?),
            shared,
        })
    }

    /// Samples since the start that came later than planned by more than [`SAMPLE_PERIOD`].
    pub fn missed(&self) -> u64 {
        self.shared.missed.load(Ordering::Relaxed)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}

impl Shared {
    fn run(&self, start: Instant) {
        let mut due = SAMPLE_PERIOD;
        while !self.stop.load(Ordering::Relaxed) {
            let now = start.elapsed();
            if now < due {
                std::thread::park_timeout(due - now);
                continue;
            }
            let (missed, next) = take_due(due, now);
            self.missed.fetch_add(missed, Ordering::Relaxed);
            due = next;
        }
    }
}

/// Takes every sample that is due by `now`, the first of them at `due`: how many of them are more
/// than a period late, and when the next one is due.
fn take_due(due: Duration, now: Duration) -> (u64, Duration) {
    let late = now.saturating_sub(due);
    let periods = |length: Duration| {
        let whole = length.as_nanos() / SAMPLE_PERIOD.as_nanos();
        u32::try_from(whole).unwrap_or(u32::MAX)
    };
    let missed = match late {
        late if late > SAMPLE_PERIOD => periods(late - Duration::from_nanos(1)),
        _ => 0,
    };
    (u64::from(missed), due + SAMPLE_PERIOD * (periods(late) + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_samples_more_than_a_period_late_are_missed() {
        // Due, now, missed, next due; in ms.
        let table = [
            (100, 100, 0, 200),
            (100, 150, 0, 200),
            (100, 199, 0, 200),
            (100, 200, 0, 300),
            (100, 201, 1, 300),
            (100, 300, 1, 400),
            (100, 301, 2, 400),
            (500, 1_049, 5, 1_100),
        ];
        for (due, now, missed, next) in table {
            let ms = Duration::from_millis;
            assert_eq!(
                take_due(ms(due), ms(now)),
                (missed, ms(next)),
                "{due} {now}"
            );
        }
    }

    #[test]
    fn it_ends_when_it_is_dropped() {
        let ticker = Ticker::start().expect("a thread");
        let shared = Arc::downgrade(&ticker.shared);
        drop(ticker);
        assert!(shared.upgrade().is_none());
    }
}
