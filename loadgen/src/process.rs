//! CPU time and memory that this process itself has used.

use rustix::time::{ClockId, clock_gettime};

/// Position of the system's ticks among the fields of `/proc/<pid>/stat` behind the name (field 15
/// in proc(5), which counts from 1).
const STAT_SYSTEM: usize = 12;

/// CPU time of this process, all threads. The sum is exact; how it is divided is known in steps of
/// 10 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    pub user_ns: u64,
    pub system_ns: u64,
}

impl CpuTime {
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let total_ns = time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
        let system_ns = system_ns().min(total_ns);
        Self {
            user_ns: total_ns - system_ns,
            system_ns,
        }
    }

    /// What was used since an earlier moment.
    pub fn since(self, before: Self) -> Self {
        let total_ns = (self.user_ns + self.system_ns) - (before.user_ns + before.system_ns);
        let system_ns = self
            .system_ns
            .saturating_sub(before.system_ns)
            .min(total_ns);
        Self {
            user_ns: total_ns - system_ns,
            system_ns,
        }
    }
}

/// 0 where the kernel does not say.
fn system_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks: Option<u64> = fields
        .split(' ')
        .nth(STAT_SYSTEM)
        .and_then(|ticks| ticks.parse().ok());
    ticks.unwrap_or(0) * (1_000_000_000 / rustix::param::clock_ticks_per_second())
}

/// CPU time of this process, all threads, user and system, in µs.
pub fn cpu_us() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}

/// Largest resident set of this process so far, in bytes; 0 where the kernel does not say.
pub fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_and_memory_are_measured() {
        let before = cpu_us();
        let mut sum = 0u64;
        while cpu_us() < before + 1_000 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(peak_rss_bytes() > 100 * 1024);
    }
}
