//! What kept a phase from finishing more requests per second. Only what was at its limit is ever
//! named, and all figures that were looked at are told with the verdict.
//!
//! The rules, of which the first that applies decides:
//!
//! 1. *Offered rate*: an open loop in which nearly everything that was offered was also done. However
//!    busy anything was, more was not asked for.
//! 2. *Driver*: one of its threads was busy, or it fell behind its own schedule (its workers stood
//!    idle) while cores were free. It comes before everything about the system, because such a
//!    phase measured the driver: nothing that is full beside it is shown to be full by itself.
//! 3. *All cores* or *thread*, whichever was busier (the utilisation law: of all that a request
//!    passes, the busiest saturates first). If both are equally busy it is the cores, since work
//!    can be taken off a thread only where there is a core to put it on. Cores that were taken by
//!    the driver, by strangers or by the hypervisor are busy too; the evidence says how much that
//!    was.
//! 4. *Confirms*: after threads, because a broker with a saturated thread confirms slowly, and then
//!    the thread is the cause.
//! 5. *Nothing*, if everything was seen; otherwise *unknown*.

use std::collections::BTreeMap;

use reports::result::{
    ACHIEVED_SHARE_MIN, BusiestThread, DRIVER, LAB, Limit, LimitBy, Noise, Sees, Usage,
    UsageByProcess, is_system_process,
};

/// From this share of a window on, a thread counts as busy all of the time, and waiting for
/// confirms as all that was done.
pub const BUSY_SHARE: f64 = 0.9;
/// Cores that together were idle for at most this share count as busy all of the time.
pub const IDLE_SHARE_MAX: f64 = 0.05;
/// A driver whose sends lag by more than this falls behind.
pub const LAG_P99_NS_MAX: u64 = 5_000_000;
/// From this share of idle workers on, a driver falls behind.
pub const WORKERS_IDLE_SHARE_MIN: f64 = 0.1;
/// The machine counts in ticks of 10 ms, so that the idle share of a shorter window says nothing.
pub const WINDOW_NS_MIN: u64 = 500_000_000;
/// With so many threads of the system waiting for a core on average, cores count as full from
/// [`CONTENDED_SHARE_MIN`] on: what is idle then is the time that waking somebody takes.
const THREADS_WAITING_MIN: f64 = 1.0;
const CONTENDED_SHARE_MIN: f64 = 0.8;
/// A thread is busier than the cores only by more than this, which is what ticks leave uncertain.
const MARGIN: f64 = 0.01;

/// What was seen of a phase. All figures are of the same window, that of the noise.
#[derive(Clone, Debug)]
pub struct LimitInputs<'a> {
    /// Cores of the machine.
    pub cores: u32,
    /// Cores that the system and its servers may use; as many as `cores` where nothing limits them.
    pub system_cores: f64,
    pub sees: Sees,
    /// With the driver and, where it was read, the lab.
    pub usage: &'a UsageByProcess,
    pub noise: &'a Noise,
    /// 0 where it is not known.
    pub driver_threads: u32,
    /// None in a closed loop.
    pub open: Option<OpenLoop>,
    /// Share of the time in which the service only waited for the broker's confirms; none where its
    /// metrics do not say.
    pub confirms_share: Option<f64>,
    /// Share of the time in which the workers of a closed loop had no request under way, without
    /// the time in which they were meant to think.
    pub workers_idle_share: Option<f64>,
}

/// How an open loop went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenLoop {
    pub offered_per_s: f64,
    /// Finished requests per second.
    pub achieved_per_s: f64,
    /// Real send minus intended send.
    pub lag_p99_ns: u64,
    /// The most requests that may be under way were under way, so that sends had to wait for
    /// replies: their lag is then the system's, not the driver's.
    pub in_flight_bound_met: bool,
}

/// The verdict, by the rules of this module.
pub fn limit(inputs: &LimitInputs<'_>) -> Limit {
    let seen = Seen::of(inputs);
    let verdict = seen
        .offered_rate(inputs)
        .or_else(|| seen.driver(inputs))
        .or_else(|| seen.cores_or_thread())
        .or_else(|| seen.confirms(inputs))
        .unwrap_or_else(|| match seen.is_complete {
            true => named(LimitBy::Nothing, None),
            false => Limit::unknown(),
        });
    Limit {
        evidence: seen.evidence,
        ..verdict
    }
}

fn named(by: LimitBy, share: Option<f64>) -> Limit {
    Limit {
        by,
        share: share.map(|share| share.min(1.0)),
        ..Limit::unknown()
    }
}

/// A thread of a process, and the share of the window for which it ran.
struct Busy<'a> {
    process: &'a str,
    thread: &'a BusiestThread,
}

impl Busy<'_> {
    fn limit(&self, by: LimitBy) -> Limit {
        Limit {
            process: Some(self.process.to_owned()),
            thread: Some(self.thread.name.clone()),
            ..named(by, Some(self.thread.share))
        }
    }
}

struct Seen<'a> {
    /// Busiest thread of the system.
    system_thread: Option<Busy<'a>>,
    driver_thread: Option<Busy<'a>>,
    /// How busy the cores were, 0 to 1: those of the machine, or those that the system may use if
    /// they were busier. None in a window that is too short to tell.
    cores_busy_share: Option<f64>,
    /// Nothing is missing that could have been at a limit.
    is_complete: bool,
    evidence: BTreeMap<String, f64>,
}

impl<'a> Seen<'a> {
    fn of(inputs: &LimitInputs<'a>) -> Self {
        let busiest = |wanted: &dyn Fn(&str) -> bool| {
            let threads = inputs.usage.iter().filter_map(|(process, usage)| {
                let thread = usage.busiest_thread.as_ref()?;
                wanted(process).then_some(Busy { process, thread })
            });
            threads.max_by(|a, b| a.thread.share.total_cmp(&b.thread.share))
        };
        let mut system = inputs.usage.iter().filter(|it| is_system_process(it.0));
        let all_told = system.clone().next().is_some()
            && system.all(|(_, usage)| usage.busiest_thread.is_some())
            && inputs.usage.contains_key(DRIVER);
        let window_told = inputs.noise.window_ns >= WINDOW_NS_MIN && inputs.cores > 0;
        let mut seen = Self {
            system_thread: busiest(&is_system_process),
            driver_thread: busiest(&|name| name == DRIVER),
            cores_busy_share: None,
            is_complete: inputs.sees == Sees::All && all_told && window_told,
            evidence: BTreeMap::new(),
        };
        if inputs.noise.window_ns > 0 && inputs.cores > 0 {
            let busy_share = seen.look_at_cores(inputs);
            seen.cores_busy_share = window_told.then_some(busy_share);
        }
        seen.look_at_load(inputs);
        seen
    }

    fn tell(&mut self, name: &str, figure: f64) {
        self.evidence.insert(name.to_owned(), figure);
    }

    /// Shares of the machine's cores; returns how busy they were.
    fn look_at_cores(&mut self, inputs: &LimitInputs<'_>) -> f64 {
        let noise = inputs.noise;
        let window_ns = noise.window_ns as f64;
        let capacity_ns = window_ns * f64::from(inputs.cores);
        let cpu_ns = |wanted: &dyn Fn(&str) -> bool| {
            let usages = inputs.usage.iter().filter(|(name, _)| wanted(name));
            usages.map(|(_, usage)| usage.cpu_ns()).sum::<u64>() as f64
        };
        let system_ns = cpu_ns(&is_system_process);
        let idle_share = noise.idle_ns as f64 / capacity_ns;
        let iowait_share = noise.iowait_ns as f64 / capacity_ns;
        self.tell("cores", f64::from(inputs.cores));
        self.tell("window_s", window_ns / 1e9);
        self.tell("idle_share", idle_share);
        self.tell("iowait_share", iowait_share);
        self.tell("steal_share", noise.steal_ns as f64 / capacity_ns);
        self.tell("foreign_share", noise.foreign_cpu_ns as f64 / capacity_ns);
        self.tell("system_share", system_ns / capacity_ns);
        self.tell("driver_share", cpu_ns(&|name| name == DRIVER) / capacity_ns);
        self.tell("lab_share", cpu_ns(&|name| name == LAB) / capacity_ns);
        self.tell("samples_missed", noise.samples_missed as f64);
        let of_system = || inputs.usage.iter().filter(|it| is_system_process(it.0));
        let waited = |(_, usage): (_, &Usage)| usage.runqueue_wait_ns;
        if of_system().any(|it| waited(it).is_some()) {
            let waited_ns: u64 = of_system().filter_map(waited).sum();
            // On average over the window.
            self.tell("system_threads_waiting", waited_ns as f64 / window_ns);
        }
        let machine_busy_share = (1.0 - idle_share - iowait_share).clamp(0.0, 1.0);
        if inputs.system_cores <= 0.0 || inputs.system_cores >= f64::from(inputs.cores) {
            return machine_busy_share;
        }
        let share = system_ns / (window_ns * inputs.system_cores);
        self.tell("system_cores", inputs.system_cores);
        self.tell("system_share_of_its_cores", share);
        machine_busy_share.max(share.min(1.0))
    }

    fn look_at_load(&mut self, inputs: &LimitInputs<'_>) {
        if let Some(busy) = &self.system_thread {
            let share = busy.thread.share;
            self.tell("busiest_thread_share", share);
        }
        if let Some(busy) = &self.driver_thread {
            let share = busy.thread.share;
            self.tell("driver_thread_share", share);
        }
        if inputs.driver_threads > 0 {
            self.tell("driver_threads", f64::from(inputs.driver_threads));
        }
        if let Some(open) = &inputs.open {
            self.tell("offered_per_s", open.offered_per_s);
            self.tell("achieved_per_s", open.achieved_per_s);
            self.tell("send_lag_p99_ms", open.lag_p99_ns as f64 / 1e6);
            self.tell("in_flight_bound_met", f64::from(open.in_flight_bound_met));
        }
        let shares = [
            ("confirms_share", inputs.confirms_share),
            ("workers_idle_share", inputs.workers_idle_share),
        ];
        for (name, share) in shares {
            if let Some(share) = share {
                self.tell(name, share);
            }
        }
    }

    fn offered_rate(&self, inputs: &LimitInputs<'_>) -> Option<Limit> {
        let open = inputs.open?;
        let share = open.achieved_per_s / open.offered_per_s;
        (share >= ACHIEVED_SHARE_MIN).then(|| named(LimitBy::OfferedRate, Some(share)))
    }

    fn driver(&self, inputs: &LimitInputs<'_>) -> Option<Limit> {
        let is_behind = inputs
            .open
            .is_some_and(|open| open.lag_p99_ns > LAG_P99_NS_MAX && !open.in_flight_bound_met)
            || inputs
                .workers_idle_share
                .is_some_and(|share| share >= WORKERS_IDLE_SHARE_MIN);
        let has_free_cores = self
            .cores_busy_share
            .is_some_and(|share| share < 1.0 - IDLE_SHARE_MAX);
        match &self.driver_thread {
            Some(busy) if busy.thread.share >= BUSY_SHARE => Some(busy.limit(LimitBy::Driver)),
            Some(busy) if is_behind && has_free_cores => Some(busy.limit(LimitBy::Driver)),
            None if is_behind && has_free_cores => Some(Limit {
                process: Some(DRIVER.to_owned()),
                ..named(LimitBy::Driver, None)
            }),
            _ => None,
        }
    }

    fn cores_or_thread(&self) -> Option<Limit> {
        let thread = self
            .system_thread
            .as_ref()
            .filter(|busy| busy.thread.share >= BUSY_SHARE);
        let waiting = self.evidence.get("system_threads_waiting");
        let is_contended = waiting.is_some_and(|waiting| *waiting >= THREADS_WAITING_MIN);
        let busy_min = match is_contended {
            true => CONTENDED_SHARE_MIN,
            false => 1.0 - IDLE_SHARE_MAX,
        };
        let cores = self.cores_busy_share.filter(|share| *share >= busy_min);
        match (thread, cores) {
            (Some(busy), Some(cores)) if busy.thread.share <= cores + MARGIN => {
                Some(named(LimitBy::AllCores, Some(cores)))
            }
            (Some(busy), _) => Some(busy.limit(LimitBy::Thread)),
            (None, Some(cores)) => Some(named(LimitBy::AllCores, Some(cores))),
            (None, None) => None,
        }
    }

    fn confirms(&self, inputs: &LimitInputs<'_>) -> Option<Limit> {
        let share = inputs.confirms_share?;
        (share >= BUSY_SHARE).then(|| named(LimitBy::Confirms, Some(share)))
    }
}

#[cfg(test)]
mod tests;
