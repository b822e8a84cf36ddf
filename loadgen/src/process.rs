//! CPU time and memory that this process itself has used.

use rustix::time::{ClockId, clock_gettime};

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
