//! What the processes and the machine used between two moments of a leg.

use reports::result::{DRIVER, LAB, Noise, UsageByProcess};

use super::LegWork;
use crate::bench::namespace::Namespace;
use crate::usage::{Counters, MachineCounters, Ticker};

/// The counters at the beginning of a window.
pub(super) struct Window {
    processes: Counters,
    machine: Option<MachineCounters>,
    ticker: Option<Ticker>,
}

impl Window {
    /// Begins now. The driver is a process of its own.
    pub(super) fn open(work: &LegWork<'_>, driver: Option<u32>) -> Self {
        Self {
            ticker: Ticker::start().ok(),
            processes: counters(work, driver),
            machine: MachineCounters::read(),
        }
    }

    /// What was used until now; the window goes on. A driver that has ended is seen as it was last.
    pub(super) fn until_now(
        &self,
        work: &LegWork<'_>,
        driver: Option<u32>,
    ) -> (UsageByProcess, Noise) {
        let machine = MachineCounters::read();
        let now = counters(work, driver).with_missing_from(&self.processes);
        let usage = now.since(&self.processes);
        let missed = self.ticker.as_ref().map_or(0, Ticker::missed);
        let noise = match (&machine, &self.machine) {
            (Some(now), Some(before)) => now.since(before, &usage, missed),
            _ => Noise::default(),
        };
        (usage, noise)
    }
}

/// The servers, this leg's roles by their plain names, the lab and the driver.
fn counters(work: &LegWork<'_>, driver: Option<u32>) -> Counters {
    let prefix = &work.namespace.role_prefix;
    let of_leg =
        work.context
            .stack
            .counters()
            .renamed(|name| match name.strip_prefix(prefix.as_str()) {
                Some(role) => Some(role.to_owned()),
                None => (!Namespace::is_role_of_a_leg(name)).then(|| name.to_owned()),
            });
    let all = of_leg.with_process(LAB, std::process::id());
    match driver {
        Some(pid) => all.with_process(DRIVER, pid),
        None => all,
    }
}
