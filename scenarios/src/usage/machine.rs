//! What the whole machine did in a window, so that a figure can be seen together with what disturbed
//! it.

use std::time::Instant;

use procfs::{CpuTime, CurrentSI, KernelStats};
use reports::result::{Noise, UsageByProcess};

use super::life::ticks_as_ns;

/// The machine's CPU counters since it was started, over all cores, in steps of 10 ms per core.
#[derive(Clone, Debug)]
pub struct MachineCounters {
    taken: Instant,
    cores: u32,
    /// User, nice and system time: what processes and kernel threads ran for.
    processes_ns: u64,
    idle_ns: u64,
    iowait_ns: u64,
    steal_ns: u64,
}

impl MachineCounters {
    /// None where `/proc/stat` cannot be read.
    pub fn read() -> Option<Self> {
        let stats = KernelStats::current().ok()?;
        let cores = u32::try_from(stats.cpu_time.len()).ok()?;
        Some(Self::of(&stats.total, cores))
    }

    fn of(total: &CpuTime, cores: u32) -> Self {
        let ns = |ticks: Option<u64>| ticks_as_ns(ticks.unwrap_or(0));
        Self {
            taken: Instant::now(),
            cores,
            processes_ns: ticks_as_ns(total.user + total.nice + total.system),
            idle_ns: ticks_as_ns(total.idle),
            iowait_ns: ns(total.iowait),
            steal_ns: ns(total.steal),
        }
    }

    /// Cores that are online.
    pub fn cores(&self) -> u32 {
        self.cores
    }

    /// The window between `before` and this reading. `used_by_us` is what system, driver and lab
    /// used in the same window, and `samples_missed` what [`super::Ticker`] counted in it. Foreign
    /// CPU is what is left of the CPU of all processes, kernel threads among them; what interrupts
    /// took is nobody's.
    pub fn since(&self, before: &Self, used_by_us: &UsageByProcess, samples_missed: u64) -> Noise {
        let window = self.taken.duration_since(before.taken);
        let ours_ns: u64 = used_by_us.values().map(|usage| usage.cpu_ns()).sum();
        // The kernel does not promise that idle time and waits for I/O never fall.
        let grown = |figure: fn(&Self) -> u64| figure(self).saturating_sub(figure(before));
        Noise {
            window_ns: u64::try_from(window.as_nanos()).unwrap_or(u64::MAX),
            steal_ns: grown(|it| it.steal_ns),
            idle_ns: grown(|it| it.idle_ns),
            iowait_ns: grown(|it| it.iowait_ns),
            foreign_cpu_ns: grown(|it| it.processes_ns).saturating_sub(ours_ns),
            samples_missed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::result::Usage;

    fn counters(processes_ns: u64, idle_ns: u64, steal_ns: u64) -> MachineCounters {
        MachineCounters {
            taken: Instant::now(),
            cores: 2,
            processes_ns,
            idle_ns,
            iowait_ns: 0,
            steal_ns,
        }
    }

    #[test]
    fn what_is_not_ours_is_foreign() {
        let ours = Usage {
            user_ns: 300,
            system_ns: 100,
            ..Usage::default()
        };
        let used = UsageByProcess::from([("redis".to_owned(), ours)]);
        let before = counters(1_000, 50, 7);
        let noise = counters(1_900, 80, 9).since(&before, &used, 3);
        assert_eq!(
            (noise.foreign_cpu_ns, noise.idle_ns, noise.steal_ns),
            (500, 30, 2)
        );
        assert_eq!(noise.samples_missed, 3);
        // Clocks of different grain: nothing foreign rather than a number below zero.
        let noise = counters(1_100, 40, 7).since(&before, &used, 0);
        assert_eq!((noise.foreign_cpu_ns, noise.idle_ns), (0, 0));
    }

    #[test]
    fn cores_and_window_of_this_machine_add_up() {
        let before = MachineCounters::read().expect("/proc/stat");
        std::thread::sleep(std::time::Duration::from_millis(300));
        let after = MachineCounters::read().expect("/proc/stat");
        let noise = after.since(&before, &UsageByProcess::new(), 0);
        assert!(noise.window_ns >= 300_000_000);
        let seen = noise.idle_ns + noise.iowait_ns + noise.steal_ns + noise.foreign_cpu_ns;
        let capacity = noise.window_ns * u64::from(after.cores());
        // Two ticks per core of rounding, interrupts, and clocks that stand still in idle cores.
        let most = capacity + capacity / 4 + 40_000_000 * u64::from(after.cores());
        assert!((capacity / 4..most).contains(&seen), "{seen} of {capacity}");
    }
}
