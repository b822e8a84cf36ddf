//! What one process has used from its start until it was read. The kernel keeps a clock of each
//! process, in nanoseconds, which includes threads that have ended and can be read as long as
//! nobody has waited for the process; only where it cannot be read, `/proc/<pid>/stat` stands in.

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use procfs::process::{Process, Stat};

use super::proc::{self, ProcessStat};

const NS_PER_S: u64 = 1_000_000_000;

/// User and system time. The kernel splits coarsely what it adds up exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuNs {
    pub user_ns: u64,
    pub system_ns: u64,
}

/// One process, read once. Everything counts from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub pid: u32,
    /// With the pid, it names a process for good.
    pub start_ticks: u64,
    /// All threads, ended ones too.
    pub cpu_ns: u64,
    /// As `/proc/<pid>/stat` splits it; its sum is up to two ticks less than `cpu_ns`.
    pub split: CpuNs,
    /// Children that have ended and were waited for, with all below them; in ticks of 10 ms.
    pub waited_for: CpuNs,
    /// Whether `cpu_ns` comes from the process's clock rather than from ticks.
    pub is_exact: bool,
    /// From and to storage, with children that were waited for; none where it cannot be read.
    pub io: Option<IoBytes>,
    /// 0 once it has ended.
    pub peak_rss_bytes: u64,
    /// Those that were running when it was read.
    pub threads: Vec<Thread>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IoBytes {
    pub read: u64,
    pub written: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Thread {
    pub tid: i32,
    pub name: String,
    pub cpu_ns: u64,
    /// Runnable, but waiting for a core.
    pub runqueue_wait_ns: u64,
    pub switches_voluntary: u64,
    pub switches_forced: u64,
}

impl Life {
    /// A process without its children; none when it is gone. One that has ended and that nobody
    /// has waited for still has its CPU, but neither memory nor threads.
    pub(crate) fn read(pid: u32) -> Option<Self> {
        let process = proc::open(pid)?;
        let stat = process.stat().ok()?;
        let split = CpuNs {
            user_ns: ticks_as_ns(stat.utime),
            system_ns: ticks_as_ns(stat.stime),
        };
        let exact_ns = cpu_clock_ns(&stat);
        let mut threads = Vec::new();
        let has_ended = ProcessStat::from(&stat).has_ended();
        if !has_ended {
            threads = running_threads(&process);
        }
        let io = process.io().ok().filter(|_| !has_ended);
        let peak_kib = process.status().ok().and_then(|status| status.vmhwm);
        Some(Self {
            pid,
            start_ticks: stat.starttime,
            cpu_ns: exact_ns.unwrap_or(split.user_ns + split.system_ns),
            split,
            waited_for: CpuNs {
                user_ns: ticks_as_ns(u64::try_from(stat.cutime).unwrap_or(0)),
                system_ns: ticks_as_ns(u64::try_from(stat.cstime).unwrap_or(0)),
            },
            is_exact: exact_ns.is_some(),
            io: io.map(|io| IoBytes {
                read: io.read_bytes,
                written: io.write_bytes,
            }),
            peak_rss_bytes: peak_kib.map_or(0, |kib| kib * 1024),
            threads,
        })
    }

    /// The process and everything below it, the root first; `processes` come from [`proc::all`].
    /// Empty when the root is gone.
    pub(crate) fn read_tree(processes: &[ProcessStat], root: u32) -> Vec<Self> {
        let below = proc::descendants(processes, &[root]).map(|process| process.pid);
        let Some(root) = Self::read(root) else {
            return Vec::new();
        };
        std::iter::once(root)
            .chain(below.filter_map(Self::read))
            .collect()
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.pid, self.start_ticks) == (other.pid, other.start_ticks)
    }

    /// The last word about a process that has ended: CPU as it is now, everything else as it was
    /// seen while the process lived.
    pub(crate) fn end(&mut self, last: &Self) {
        self.cpu_ns = self.cpu_ns.max(last.cpu_ns);
        self.split = last.split;
        self.waited_for = last.waited_for;
    }

    /// Only what the process itself did, without children that it has waited for.
    pub(crate) fn alone(mut self) -> Self {
        self.waited_for = CpuNs::default();
        self.io = None;
        self
    }
}

impl CpuNs {
    pub(super) fn sum(self) -> u64 {
        self.user_ns + self.system_ns
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            user_ns: self.user_ns + other.user_ns,
            system_ns: self.system_ns + other.system_ns,
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            user_ns: self.user_ns.saturating_sub(other.user_ns),
            system_ns: self.system_ns.saturating_sub(other.system_ns),
        }
    }

    /// `total_ns`, split as this is, or as `otherwise` where this is nothing.
    pub(super) fn scaled_to(self, total_ns: u64, otherwise: Self) -> Self {
        let split = if self.sum() > 0 { self } else { otherwise };
        let user_ns = match split.sum() {
            0 => total_ns,
            sum => (u128::from(total_ns) * u128::from(split.user_ns) / u128::from(sum)) as u64,
        };
        Self {
            user_ns,
            system_ns: total_ns - user_ns,
        }
    }
}

/// None where the kernel does not tell, or tells nothing: a process that has run has a clock above
/// zero.
fn cpu_clock_ns(stat: &Stat) -> Option<u64> {
    let time = clock_getcpuclockid(Pid::from_raw(stat.pid)).ok()?.now();
    let time = time.ok()?;
    let ns = u64::try_from(time.tv_sec()).ok()? * NS_PER_S + u64::try_from(time.tv_nsec()).ok()?;
    (ns > 0 || stat.utime + stat.stime == 0).then_some(ns)
}

/// A thread that ends while it is read counts as not there.
fn running_threads(process: &Process) -> Vec<Thread> {
    let Ok(tasks) = process.tasks() else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| {
            let schedstat = task.schedstat().ok()?;
            let status = task.status().ok()?;
            Some(Thread {
                tid: task.tid,
                name: status.name,
                cpu_ns: schedstat.sum_exec_runtime,
                runqueue_wait_ns: schedstat.run_delay,
                switches_voluntary: status.voluntary_ctxt_switches.unwrap_or(0),
                switches_forced: status.nonvoluntary_ctxt_switches.unwrap_or(0),
            })
        })
        .collect()
}

pub(super) fn ticks_as_ns(ticks: u64) -> u64 {
    ticks * (NS_PER_S / procfs::ticks_per_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_split_as_the_ticks_are() {
        let split = |user_ns, system_ns| CpuNs { user_ns, system_ns };
        assert_eq!(split(1, 3).scaled_to(1_000, split(9, 0)), split(250, 750));
        assert_eq!(split(0, 0).scaled_to(1_000, split(1, 1)), split(500, 500));
        assert_eq!(split(0, 0).scaled_to(7, split(0, 0)), split(7, 0));
    }
}
