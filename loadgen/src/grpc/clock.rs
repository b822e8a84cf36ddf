//! The time of a run, as µs since its start and as Unix time. The wall clock is read only once, so
//! that adjusting it during a run distorts no latency.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor: Instant,
    anchor_unix_us: i64,
}

impl Clock {
    pub fn start() -> Self {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            anchor: Instant::now(),
            anchor_unix_us: unix.as_micros() as i64,
        }
    }

    pub fn now_us(&self) -> u64 {
        self.anchor.elapsed().as_micros() as u64
    }

    pub fn unix_us(&self, at_us: u64) -> i64 {
        self.anchor_unix_us + at_us as i64
    }

    pub fn instant(&self, at_us: u64) -> Instant {
        self.anchor + Duration::from_micros(at_us)
    }
}
