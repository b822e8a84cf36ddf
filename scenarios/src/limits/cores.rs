//! Sets of cores, and threads that start others on them. What a thread starts inherits its cores,
//! so a process is on the right ones before its first instruction, and counts them right.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Cores in the order in which they are given away: siblings of one physical core stand together,
/// so that two parts share one physical core at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cores(Vec<usize>);

impl Cores {
    /// Those that this thread may use.
    pub(super) fn available() -> Self {
        let Ok(set) = sched_getaffinity(None) else {
            return Self(vec![0]);
        };
        let mut cores: Vec<usize> = (0..CpuSet::MAX_CPU)
            .filter(|core| set.is_set(*core))
            .collect();
        cores.sort_by_key(|core| (first_sibling(*core), *core));
        Self(cores)
    }

    #[cfg(test)]
    pub(super) fn numbered(cores: impl IntoIterator<Item = usize>) -> Self {
        Self(cores.into_iter().collect())
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The first `count`, and the rest.
    pub(super) fn split(mut self, count: usize) -> (Self, Self) {
        let rest = self.0.split_off(count.min(self.0.len()));
        (self, Self(rest))
    }

    /// Runs `work` on this thread while it may use only these cores. Where the kernel does not
    /// allow that, it runs on those that the thread has.
    pub(super) fn on_these<T>(&self, work: impl FnOnce() -> T) -> T {
        let Ok(before) = sched_getaffinity(None) else {
            return work();
        };
        let mut set = CpuSet::new();
        self.0.iter().for_each(|core| set.set(*core));
        let _moved = sched_setaffinity(None, &set);
        let done = work();
        // The set was this thread's own a moment ago, so it is allowed.
        let _back = sched_setaffinity(None, &before);
        done
    }
}

/// The lowest number among the cores that share a physical core with this one; its own where the
/// kernel does not tell.
fn first_sibling(core: usize) -> usize {
    let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    let list = std::fs::read_to_string(path).unwrap_or_default();
    let first = list.split([',', '-']).next().unwrap_or_default();
    first.trim().parse().unwrap_or(core)
}
