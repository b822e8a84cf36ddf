//! The two clocks: wall time as unix ms, for what others read, and monotonic ms, for leases and
//! deadlines.

use rustix::time::{ClockId, clock_gettime};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unix time in ms.
pub fn unix_ms() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds on this process's monotonic clock; starts at 1 so that 0 can mean "never". It goes
/// on while the machine is suspended, as everybody else's does: a lease must not outlive that.
pub fn monotonic_ms() -> u64 {
    static START: OnceLock<Duration> = OnceLock::new();
    let now = since_boot();
    let elapsed = now.saturating_sub(*START.get_or_init(|| now));
    u64::try_from(elapsed.as_millis())
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}

fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}
