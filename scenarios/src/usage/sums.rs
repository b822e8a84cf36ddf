//! What the processes of one name used between two readings, added up process by process.

use reports::result::{BusiestThread, Usage, UsageSource};

use super::life::{CpuNs, IoBytes, Life, Thread};

/// Differences of the processes of one name, added up.
#[derive(Default)]
pub(super) struct Sums {
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
    pub(super) fn add(&mut self, now: &Life, before: Option<&Life>, window_ns: u64) {
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
    pub(super) fn subtract(&mut self, gone: &Life) {
        self.known += gone.cpu_ns + gone.waited_for.sum();
        let io = gone.io.unwrap_or_default();
        self.io_known.read += io.read;
        self.io_known.written += io.written;
    }

    pub(super) fn usage(self) -> Usage {
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
