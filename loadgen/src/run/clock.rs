//! The time of a run, as ns since its start and as Unix time. The wall clock is read only once, so
//! that adjusting it during a run distorts no latency.

use rustix::time::{ClockId, Timespec, clock_gettime};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const NS_PER_S: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The same moment on three clocks: `CLOCK_MONOTONIC` in ns, the standard library's instant,
    /// and Unix time.
    anchor_ns: u64,
    anchor: Instant,
    anchor_unix_us: i64,
}

impl Clock {
    pub fn start() -> Self {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            anchor_ns: monotonic_ns(),
            anchor: Instant::now(),
            anchor_unix_us: unix.as_micros() as i64,
        }
    }

    pub fn now_ns(&self) -> u64 {
        monotonic_ns().saturating_sub(self.anchor_ns)
    }

    pub fn unix_us(&self, at_ns: u64) -> i64 {
        self.anchor_unix_us + (at_ns / 1_000) as i64
    }

    pub fn instant(&self, at_ns: u64) -> Instant {
        self.anchor + Duration::from_nanos(at_ns)
    }

    /// The moment as the kernel's monotonic clock shows it, for a timer.
    pub fn monotonic(&self, at_ns: u64) -> Timespec {
        let ns = self.anchor_ns.saturating_add(at_ns);
        Timespec {
            tv_sec: (ns / NS_PER_S) as i64,
            tv_nsec: (ns % NS_PER_S) as _,
        }
    }
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * NS_PER_S + now.tv_nsec as u64
}
