//! One reading of all processes of a run, by name, and what they used between two readings.

use std::collections::BTreeMap;
use std::time::Instant;

use reports::result::{Usage, UsageByProcess};

use super::life::Life;
use super::proc::ProcessStat;
use super::sums::Sums;

/// What named process trees have used since they were started. CPU comes from each process's own
/// clock, in ns, so that a thread which ends between two readings loses nothing. A child that comes
/// and goes between two readings is seen once its parent has waited for it, in steps of 10 ms; one
/// that is abandoned or whose parent ignores its end is lost. Waits for a core and context switches
/// are those of threads that were running at the second reading.
#[derive(Clone, Debug)]
pub struct Counters {
    taken: Instant,
    groups: BTreeMap<String, Group>,
}

/// The processes of one name.
#[derive(Clone, Debug, Default)]
struct Group {
    /// Trees side by side, the root of each first.
    running: Vec<Vec<Life>>,
    /// Trees whose root has ended, as they were last seen.
    ended: Vec<Vec<Life>>,
}

impl Counters {
    /// Nothing yet, as of now.
    pub fn new() -> Self {
        Self {
            taken: Instant::now(),
            groups: BTreeMap::new(),
        }
    }

    /// Adds a process without its children, such as the driver or the lab itself, whose children
    /// have names of their own. One that is gone is not added.
    #[must_use]
    pub fn with_process(mut self, name: &str, pid: u32) -> Self {
        if let Some(life) = Life::read(pid) {
            self.add_running(name, vec![life.alone()]);
        }
        self
    }

    /// Adds a process with everything below it; `processes` come from [`super::proc::all`].
    #[must_use]
    pub fn with_tree(mut self, name: &str, processes: &[ProcessStat], root: u32) -> Self {
        self.add_running(name, Life::read_tree(processes, root));
        self
    }

    /// Takes over what `earlier` knew under names that this reading lacks, such as a driver that
    /// has ended meanwhile: they have used nothing more since.
    #[must_use]
    pub fn with_missing_from(mut self, earlier: &Self) -> Self {
        for (name, group) in &earlier.groups {
            if !self.groups.contains_key(name) {
                self.groups.insert(name.clone(), group.clone());
            }
        }
        self
    }

    /// The same figures under other names; those without a name are left out.
    #[must_use]
    pub fn renamed(self, name: impl Fn(&str) -> Option<String>) -> Self {
        let mut groups = BTreeMap::<String, Group>::new();
        for (old, group) in self.groups {
            if let Some(new) = name(&old) {
                let merged = groups.entry(new).or_default();
                merged.running.extend(group.running);
                merged.ended.extend(group.ended);
            }
        }
        Self {
            taken: self.taken,
            groups,
        }
    }

    /// Names in this reading.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// A tree that runs beside others of the same name. An empty one changes nothing.
    pub(crate) fn add_running(&mut self, name: &str, tree: Vec<Life>) {
        if !tree.is_empty() {
            let group = self.groups.entry(name.to_owned()).or_default();
            group.running.push(tree);
        }
    }

    /// An earlier life of this name: what it used stays in the sum.
    pub(crate) fn add_ended(&mut self, name: &str, tree: Vec<Life>) {
        if !tree.is_empty() {
            let group = self.groups.entry(name.to_owned()).or_default();
            group.ended.push(tree);
        }
    }

    /// What was used from `before` to this reading. A process that did not run before counts from
    /// its start. The busiest thread is the one with the largest share of the window between the
    /// two readings.
    pub fn since(&self, before: &Self) -> UsageByProcess {
        let window_ns = nanoseconds(self.taken.duration_since(before.taken));
        let nothing = Group::default();
        self.groups
            .iter()
            .map(|(name, group)| {
                let earlier = before.groups.get(name).unwrap_or(&nothing);
                (name.clone(), group.since(earlier, window_ns))
            })
            .collect()
    }

    /// Time between the two readings.
    pub fn window_ns(&self, before: &Self) -> u64 {
        nanoseconds(self.taken.duration_since(before.taken))
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

impl Group {
    fn lives(&self) -> impl Iterator<Item = &Life> {
        self.running.iter().chain(&self.ended).flatten()
    }

    fn find(&self, life: &Life) -> Option<&Life> {
        self.lives().find(|known| known.is(life))
    }

    fn since(&self, before: &Self, window_ns: u64) -> Usage {
        let mut sums = Sums::default();
        for life in self.lives() {
            sums.add(life, before.find(life), window_ns);
        }
        for gone in before.lives().filter(|life| self.find(life).is_none()) {
            sums.subtract(gone);
        }
        Usage {
            peak_rss_bytes: self.peak_rss_bytes(before),
            ..sums.usage()
        }
    }

    /// Trees side by side add up; lives one after the other do not. A life that had ended before
    /// the window is none of its business.
    fn peak_rss_bytes(&self, before: &Self) -> u64 {
        let peak = |tree: &[Life]| tree.iter().map(|life| life.peak_rss_bytes).sum::<u64>();
        let had_ended = |tree: &[Life]| {
            let mut roots = before.ended.iter().filter_map(|tree| tree.first());
            tree.first()
                .is_some_and(|root| roots.any(|ended| ended.is(root)))
        };
        let running: u64 = self.running.iter().map(|tree| peak(tree)).sum();
        let ended = self.ended.iter().filter(|tree| !had_ended(tree));
        running.max(ended.map(|tree| peak(tree)).max().unwrap_or(0))
    }
}

fn nanoseconds(length: std::time::Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::life::{CpuNs, Thread};

    /// A process with one thread; all of its CPU is user time.
    fn life(pid: u32, cpu_ns: u64, peak_rss_bytes: u64) -> Life {
        let split = CpuNs {
            user_ns: cpu_ns,
            system_ns: 0,
        };
        let thread = Thread {
            tid: pid as i32,
            name: "main".into(),
            cpu_ns,
            runqueue_wait_ns: cpu_ns / 10,
            switches_voluntary: 0,
            switches_forced: 0,
        };
        Life {
            pid,
            start_ticks: 1,
            cpu_ns,
            split,
            waited_for: CpuNs::default(),
            is_exact: true,
            io: None,
            peak_rss_bytes,
            threads: vec![thread],
        }
    }

    fn with_waited(mut life: Life, waited_ns: u64) -> Life {
        life.waited_for.system_ns = waited_ns;
        life
    }

    fn reading(running: Vec<Vec<Life>>, ended: Vec<Vec<Life>>) -> Counters {
        let mut counters = Counters::new();
        running
            .into_iter()
            .for_each(|tree| counters.add_running("it", tree));
        ended
            .into_iter()
            .for_each(|tree| counters.add_ended("it", tree));
        counters
    }

    #[test]
    fn a_restarted_process_keeps_the_cpu_of_its_earlier_life() {
        let before = reading(vec![vec![life(7, 100, 90)]], vec![vec![life(6, 55, 900)]]);
        let ended = vec![vec![life(6, 55, 900)], vec![life(7, 130, 90)]];
        let after = reading(vec![vec![life(8, 12, 40)]], ended);
        let usage = &after.since(&before)["it"];
        assert_eq!(usage.cpu_ns(), 30 + 12);
        // The life that had ended before the window says nothing about its memory.
        assert_eq!(usage.peak_rss_bytes, 90);
    }

    #[test]
    fn a_child_that_was_waited_for_counts_from_the_beginning_of_the_window() {
        let before = reading(vec![vec![life(1, 100, 5), life(2, 40, 3)]], vec![]);
        let after = reading(vec![vec![with_waited(life(1, 150, 5), 70)]], vec![]);
        let usage = &after.since(&before)["it"];
        assert_eq!((usage.user_ns, usage.system_ns), (50, 30));
        // Nobody waited for it: what it used since is lost, but what it had used is not taken away
        // from its parent.
        let after = reading(vec![vec![life(1, 150, 5)]], vec![]);
        assert_eq!(after.since(&before)["it"].cpu_ns(), 50);
    }

    #[test]
    fn what_runs_side_by_side_adds_up_and_a_pid_that_is_used_again_begins_anew() {
        let before = reading(vec![vec![life(1, 100, 5)], vec![life(2, 100, 5)]], vec![]);
        let mut again = life(2, 30, 7);
        again.start_ticks = 2;
        let after = reading(vec![vec![life(1, 120, 6)], vec![again]], vec![]);
        let usage = &after.since(&before)["it"];
        assert_eq!((usage.cpu_ns(), usage.peak_rss_bytes), (50, 13));
        assert_eq!(usage.runqueue_wait_ns, Some(2 + 3));
    }

    #[test]
    fn names_can_be_changed_and_left_out() {
        let counters = reading(vec![vec![life(1, 100, 5)]], vec![]);
        let renamed = counters.clone().renamed(|name| Some(format!("{name}-too")));
        assert_eq!(renamed.names().collect::<Vec<_>>(), ["it-too"]);
        assert_eq!(counters.renamed(|_| None).names().count(), 0);
    }
}
