//! What `/proc` says about processes: parent, state, start, CPU, peak memory, environment. A
//! process that ends while it is being read counts as not there.

use std::ffi::OsStr;

use procfs::process::{ClearRefs, Process, Stat};

/// One line of `/proc/<pid>/stat`, as far as it is of use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    pub pid: u32,
    pub parent: u32,
    /// `R`, `S`, `D`, `T`, or `Z` for one that has ended and whose parent has not waited for it.
    pub state: char,
    /// Clock ticks after boot. Together with the pid it names a process for good: pids are used
    /// again.
    pub start_ticks: u64,
    /// User and system time of all threads and of children that were waited for.
    pub cpu_ticks: u64,
}

impl ProcessStat {
    pub fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    pub fn cpu_us(&self) -> u64 {
        self.cpu_ticks * 1_000_000 / procfs::ticks_per_second()
    }
}

impl From<&Stat> for ProcessStat {
    fn from(stat: &Stat) -> Self {
        let waited = u64::try_from(stat.cutime + stat.cstime).unwrap_or(0);
        Self {
            pid: stat.pid.unsigned_abs(),
            parent: stat.ppid.unsigned_abs(),
            state: stat.state,
            start_ticks: stat.starttime,
            cpu_ticks: stat.utime + stat.stime + waited,
        }
    }
}

pub fn stat(pid: u32) -> Option<ProcessStat> {
    let stat = open(pid)?.stat().ok()?;
    Some(ProcessStat::from(&stat))
}

/// Every process that this one may see.
pub fn all() -> Vec<ProcessStat> {
    let Ok(processes) = procfs::process::all_processes() else {
        return Vec::new();
    };
    processes
        .filter_map(|process| Some(ProcessStat::from(&process.ok()?.stat().ok()?)))
        .collect()
}

/// Those below `roots`, without the roots.
pub fn descendants<'a>(
    processes: &'a [ProcessStat],
    roots: &[u32],
) -> impl Iterator<Item = &'a ProcessStat> + use<'a> {
    let mut found: Vec<&ProcessStat> = Vec::new();
    let mut parents = roots.to_vec();
    while !parents.is_empty() {
        let known = found.len();
        found.extend(
            processes
                .iter()
                .filter(|process| parents.contains(&process.parent)),
        );
        parents = found[known..].iter().map(|process| process.pid).collect();
    }
    found.into_iter()
}

/// Starts the peak of resident memory anew. Where the kernel does not allow that, the peak stays
/// the one ever.
pub fn reset_peak_rss(pid: u32) {
    if let Some(process) = open(pid) {
        process.clear_refs(ClearRefs::PeakRSS).ok();
    }
}

/// Largest resident memory since the start or the last reset; 0 for a process that has ended.
pub fn peak_rss_bytes(pid: u32) -> u64 {
    let peak_kib = || open(pid)?.status().ok()?.vmhwm;
    peak_kib().map_or(0, |kib| kib * 1024)
}

/// Whether the process was started with exactly this `NAME=value`. Processes of other users cannot
/// be read and count as no.
pub fn carries(pid: u32, entry: &str) -> bool {
    let Some((name, value)) = entry.split_once('=') else {
        return false;
    };
    let environment = || open(pid)?.environ().ok();
    environment().is_some_and(|found| {
        let found = found.get(OsStr::new(name));
        found.is_some_and(|found| found == value)
    })
}

/// A process as `procfs` reads it.
pub(super) fn open(pid: u32) -> Option<Process> {
    Process::new(i32::try_from(pid).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_there_and_knows_its_environment() {
        let own = std::process::id();
        assert!(
            all()
                .iter()
                .any(|process| process.pid == own && !process.has_ended())
        );
        assert!(peak_rss_bytes(own) > 0);
        let path = std::env::var("PATH").expect("a path");
        assert!(carries(own, &format!("PATH={path}")));
        assert!(!carries(own, "PATH="));
    }
}
