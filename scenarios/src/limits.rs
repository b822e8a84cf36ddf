//! Resources of the system and its servers: CPU and memory that a scenario wants them to have, by
//! the strongest means that this machine offers. That is a control group where one can be written,
//! else whole cores, else nothing; what is in force is told. The driver gets cores of its own where
//! some are left.

mod cores;
mod group;

use std::path::PathBuf;
use std::process::{Child, Command};

use anyhow::ensure;
use procfs::{Current, Meminfo};
use reports::result::{AppliedLimits, LimitsBy, LimitsWanted};

use self::cores::Cores;
use self::group::{Group, Quota};

const GIB: f64 = (1u64 << 30) as f64;

/// Limits in force. Dropping them removes the control group, which must be empty by then.
#[derive(Debug, Default)]
pub struct Limits {
    group: Option<Group>,
    /// The system's cores, where it has not all of them.
    system: Option<Cores>,
    /// Cores that the system cannot use.
    rest: Option<Cores>,
    applied: AppliedLimits,
    notes: Vec<String>,
}

impl Limits {
    /// Puts in force what is wanted, as far as it goes; `name` becomes that of the control group.
    /// Processes of the system are then started with [`Self::spawn`], the driver within
    /// [`Self::apart`].
    ///
    /// # Errors
    /// Only when what is wanted makes no sense. Limits that cannot be had are not an error; they
    /// are missing in [`Self::applied`], and [`Self::note`] says why.
    pub fn apply(wanted: &LimitsWanted, name: &str) -> anyhow::Result<Self> {
        if let Some(cpus) = wanted.cpus {
            ensure!(
                cpus.is_finite() && cpus >= CPUS_MIN,
                "limits.cpus is {cpus}; it must be at least {CPUS_MIN}"
            );
        }
        if let Some(bytes) = wanted.memory_bytes {
            ensure!(
                bytes > 0,
                "limits.memory is 0 bytes; leave it out for no limit"
            );
        }
        let memory_bytes = Meminfo::current().map_or(u64::MAX, |memory| memory.mem_total);
        Ok(Self::on(
            wanted,
            Cores::available(),
            memory_bytes,
            |quota| Group::create(name, quota),
        ))
    }

    /// On a machine with these resources and this way to make a control group.
    fn on(
        wanted: &LimitsWanted,
        available: Cores,
        memory_bytes: u64,
        make_group: impl FnOnce(Quota) -> Result<Group, String>,
    ) -> Self {
        let mut limits = Self::default();
        let cores = available.count();
        let smaller = wanted.cpus.filter(|cpus| *cpus < cores as f64);
        let quota = Quota {
            cpus: smaller,
            memory_bytes: wanted.memory_bytes.filter(|bytes| *bytes < memory_bytes),
        };
        limits.applied.cpus = wanted.cpus.map(|cpus| cpus.min(cores as f64));
        limits.applied.memory_bytes = wanted.memory_bytes.map(|bytes| bytes.min(memory_bytes));
        if let Some(whole) = smaller.map(|cpus| cpus.ceil() as usize) {
            let (system, rest) = available.split(whole);
            limits.applied.driver_apart = rest.count() > 0;
            limits.rest = (rest.count() > 0).then_some(rest);
            limits.system = limits.rest.is_some().then_some(system);
        }
        if quota != Quota::default() {
            match make_group(quota) {
                Ok(group) => limits.by_group(group, quota),
                Err(reason) => limits.without_group(quota, &reason),
            }
        }
        limits.note_smaller_machine(wanted, cores, memory_bytes);
        limits
    }

    fn by_group(&mut self, group: Group, quota: Quota) {
        self.applied.by = group.by();
        let missing = group.missing().map(str::to_owned);
        let held = group.holds();
        self.group = Some(group);
        let reason = missing.unwrap_or_default();
        if quota.cpus.is_some() && held.cpus.is_none() {
            self.whole_cores(quota, &reason);
        }
        if quota.memory_bytes.is_some() && held.memory_bytes.is_none() {
            self.unlimited_memory(&reason);
        }
    }

    fn without_group(&mut self, quota: Quota, reason: &str) {
        if quota.cpus.is_some() {
            self.whole_cores(quota, reason);
            if self.system.is_some() {
                self.applied.by = LimitsBy::Affinity;
            }
        }
        if quota.memory_bytes.is_some() {
            self.unlimited_memory(reason);
        }
    }

    fn whole_cores(&mut self, quota: Quota, reason: &str) {
        let wanted = quota.cpus.unwrap_or_default();
        self.applied.cpus = Some(wanted.ceil());
        if wanted.ceil() > wanted {
            let whole = wanted.ceil();
            self.notes.push(format!(
                "system and servers had {whole} whole CPUs instead of {wanted} ({reason})"
            ));
        }
    }

    fn unlimited_memory(&mut self, reason: &str) {
        self.applied.memory_bytes = None;
        self.notes
            .push(format!("their memory was not limited ({reason})"));
    }

    fn note_smaller_machine(&mut self, wanted: &LimitsWanted, cores: usize, memory_bytes: u64) {
        if let Some(cpus) = wanted.cpus.filter(|cpus| *cpus > cores as f64) {
            self.notes.push(format!(
                "{cpus} CPUs were wanted for system and servers, and this machine has {cores}, which \
                 the driver shares"
            ));
        } else if wanted.cpus.is_some() && !self.applied.driver_apart {
            self.notes
                .push("the driver shares the CPUs of system and servers".to_owned());
        }
        if let Some(bytes) = wanted.memory_bytes.filter(|bytes| *bytes > memory_bytes) {
            self.notes.push(format!(
                "{} GiB were wanted for system and servers, and this machine has {:.1} GiB",
                bytes as f64 / GIB,
                memory_bytes as f64 / GIB
            ));
        }
    }

    /// What a result states.
    pub fn applied(&self) -> &AppliedLimits {
        &self.applied
    }

    /// A sentence for the table where not everything is as wanted: a smaller machine, a limit that
    /// could not be had, a driver that shares the system's cores.
    pub fn note(&self) -> Option<String> {
        (!self.notes.is_empty()).then(|| self.notes.join("; "))
    }

    /// Folders of the control group, for whoever removes it after a crash.
    pub fn folders(&self) -> &[PathBuf] {
        self.group.as_ref().map_or(&[], Group::folders)
    }

    /// Starts a process of the system or one of its servers within the limits: on its cores from
    /// its first moment, and in its control group right afterwards, with all that it starts.
    pub fn spawn(&self, command: &mut Command) -> std::io::Result<Child> {
        let mut child = match &self.system {
            Some(cores) => cores.on_these(|| command.spawn())?,
            None => command.spawn()?,
        };
        if let Some(group) = &self.group
            && let Err(error) = group.admit_with_children(child.id())
        {
            drop(child.kill());
            drop(child.wait());
            return Err(error);
        }
        Ok(child)
    }

    /// Runs `spawning`, which starts the driver, so that what it starts has the cores that the
    /// system cannot use. Where there are none it is just run.
    pub fn apart<T>(&self, spawning: impl FnOnce() -> T) -> T {
        match &self.rest {
            Some(cores) => cores.on_these(spawning),
            None => spawning(),
        }
    }
}

/// Below this a process makes no progress worth measuring, and the kernel refuses quotas.
const CPUS_MIN: f64 = 0.05;

#[cfg(test)]
mod tests;
