//! One reading of all processes of a run, by name, and what they used between two readings.

use std::collections::BTreeMap;
use std::time::Instant;

use reports::result::{BusiestThread, Usage, UsageByProcess, UsageSource};

use super::life::{CpuNs, IoBytes, Life, Thread};
use super::proc::ProcessStat;

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

/// Differences of a group's processes, added up.
#[derive(Default)]
struct Sums {
    cpu: CpuNs,
    /// Of children that ended and were waited for.
    waited: CpuNs,
    /// What is in `waited` although it was used before the window, by children that still ran then.
    known: u64,
    io: Option<IoBytes>,
    io_known: IoBytes,
    has_ticks_only: bool,
    runqueue_wait_ns: u64,
    switches_voluntary: u64,
    switches_forced: u64,
    saw_threads: bool,
    busiest: Option<BusiestThread>,
}

impl Sums {
    fn add(&mut self, now: &Life, before: Option<&Life>, window_ns: u64) {
        let (cpu_ns, split, waited) = before
            .map_or((0, CpuNs::default(), CpuNs::default()), |it| {
                (it.cpu_ns, it.split, it.waited_for)
            });
        let cpu = now
            .split
            .minus(split)
            .scaled_to(now.cpu_ns.saturating_sub(cpu_ns), now.split);
        self.cpu = self.cpu.plus(cpu);
        self.waited = self.waited.plus(now.waited_for.minus(waited));
        self.has_ticks_only |= !now.is_exact;
        if let Some(io) = now.io {
            let earlier = before.and_then(|life| life.io).unwrap_or_default();
            let sum = self.io.get_or_insert_default();
            sum.read += io.read.saturating_sub(earlier.read);
            sum.written += io.written.saturating_sub(earlier.written);
        }
        for thread in &now.threads {
            let known = before.into_iter().flat_map(|life| &life.threads);
            self.add_thread(thread, known, window_ns);
        }
    }

    fn add_thread<'a>(
        &mut self,
        now: &Thread,
        mut known: impl Iterator<Item = &'a Thread>,
        window_ns: u64,
    ) {
        // An id is used again, but no counter of a thread ever falls.
        let before = known.find(|known| known.tid == now.tid && known.cpu_ns <= now.cpu_ns);
        let grown =
            |figure: fn(&Thread) -> u64| figure(now).saturating_sub(before.map_or(0, figure));
        self.saw_threads = true;
        self.runqueue_wait_ns += grown(|thread| thread.runqueue_wait_ns);
        self.switches_voluntary += grown(|thread| thread.switches_voluntary);
        self.switches_forced += grown(|thread| thread.switches_forced);
        if window_ns == 0 {
            return;
        }
        // Threads are read one after the other, so one may seem to have run a little longer than
        // the window was.
        let share = (grown(|thread| thread.cpu_ns) as f64 / window_ns as f64).min(1.0);
        if self
            .busiest
            .as_ref()
            .is_none_or(|busiest| share > busiest.share)
        {
            let name = now.name.clone();
            self.busiest = Some(BusiestThread { name, share });
        }
    }

    /// A process of the first reading that is gone: its parent has all that it ever used.
    fn subtract(&mut self, gone: &Life) {
        self.known += gone.cpu_ns + gone.waited_for.sum();
        let io = gone.io.unwrap_or_default();
        self.io_known.read += io.read;
        self.io_known.written += io.written;
    }

    fn usage(self) -> Usage {
        let waited_ns = self.waited.sum().saturating_sub(self.known);
        let cpu = self.cpu.plus(self.waited.scaled_to(waited_ns, self.waited));
        let io = self.io.map(|io| IoBytes {
            read: io.read.saturating_sub(self.io_known.read),
            written: io.written.saturating_sub(self.io_known.written),
        });
        let of_threads = |figure: u64| self.saw_threads.then_some(figure);
        Usage {
            user_ns: cpu.user_ns,
            system_ns: cpu.system_ns,
            runqueue_wait_ns: of_threads(self.runqueue_wait_ns),
            switches_voluntary: of_threads(self.switches_voluntary),
            switches_forced: of_threads(self.switches_forced),
            peak_rss_bytes: 0,
            read_bytes: io.map(|io| io.read),
            written_bytes: io.map(|io| io.written),
            busiest_thread: self.busiest,
            source: Some(match self.has_ticks_only {
                true => UsageSource::Stat10ms,
                false => UsageSource::ProcessClock,
            }),
        }
    }
}

impl CpuNs {
    pub(super) fn sum(self) -> u64 {
        self.user_ns + self.system_ns
    }

    fn plus(self, other: Self) -> Self {
        Self {
            user_ns: self.user_ns + other.user_ns,
            system_ns: self.system_ns + other.system_ns,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            user_ns: self.user_ns.saturating_sub(other.user_ns),
            system_ns: self.system_ns.saturating_sub(other.system_ns),
        }
    }

    /// `total_ns`, split as this is, or as `otherwise` where this is nothing.
    fn scaled_to(self, total_ns: u64, otherwise: Self) -> Self {
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

fn nanoseconds(length: std::time::Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}
