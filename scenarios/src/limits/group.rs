//! A control group of the run's own: version 2 where it can be written, else version 1.
//!
//! It is made inside of the group that this process is in, or of one above it, so the limits of
//! those stay in force as well.

mod hierarchy;

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reports::result::LimitsBy;

use self::hierarchy::Hierarchy;
use crate::usage::proc;

/// The kernel's own period, which containers use as well.
const PERIOD_US: f64 = 100_000.0;
/// What one busy thread weighs against others, in each version.
const THREAD_WEIGHT: u64 = 100;
const THREAD_SHARES: u64 = 1_024;
const PROCESSES: &str = "cgroup.procs";
/// How often descendants are looked for that were started before their parent was admitted. Each
/// look can only find children of those that the one before it found.
const LOOKS_MAX: u32 = 8;

/// What a group is to hold its processes to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Quota {
    pub cpus: Option<f64>,
    pub memory_bytes: Option<u64>,
}

/// Dropping it removes it, if no process is left in it.
#[derive(Debug)]
pub(super) struct Group {
    by: LimitsBy,
    holds: Quota,
    /// Why something that was wanted is not held.
    missing: Option<String>,
    folders: Vec<PathBuf>,
}

impl Group {
    /// Makes one with this name; the error says why there can be none.
    pub(super) fn create(name: &str, quota: Quota) -> Result<Self, String> {
        let hierarchy = Hierarchy::of_this_process()?;
        let second = match version_2(&hierarchy, name, quota) {
            Ok(group) => return Ok(group),
            Err(reason) => reason,
        };
        version_1(&hierarchy, name, quota).map_err(|first| {
            format!("no control group can be written: version 2, {second}; version 1, {first}")
        })
    }

    pub(super) fn by(&self) -> LimitsBy {
        self.by.clone()
    }

    pub(super) fn holds(&self) -> Quota {
        self.holds
    }

    pub(super) fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    pub(super) fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Puts a process that was just started into the group, and what it has started meanwhile.
    pub(super) fn admit_with_children(&self, pid: u32) -> std::io::Result<()> {
        self.admit(pid)?;
        let mut admitted = vec![pid];
        for _ in 0..LOOKS_MAX {
            let processes = proc::all();
            let known = admitted.len();
            for below in proc::descendants(&processes, &[pid]) {
                if !admitted.contains(&below.pid) {
                    self.admit(below.pid)?;
                    admitted.push(below.pid);
                }
            }
            if admitted.len() == known {
                break;
            }
        }
        Ok(())
    }

    fn admit(&self, pid: u32) -> std::io::Result<()> {
        for folder in &self.folders {
            match write(&folder.join(PROCESSES), &pid.to_string()) {
                // It has ended already.
                Err(error) if error.raw_os_error() == Some(ESRCH) => return Ok(()),
                result => result?,
            }
        }
        Ok(())
    }

    fn add(&mut self, folder: PathBuf) {
        self.folders.push(folder);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in &self.folders {
            // Whoever watches this run has removed it, or will.
            drop(std::fs::remove_dir(folder));
        }
    }
}

/// "No such process", which has no [`ErrorKind`].
const ESRCH: i32 = rustix::io::Errno::SRCH.raw_os_error();

/// In the first group, from this process's own upwards, whose controllers its children may have.
/// Those that give them to their children already come first: giving more is a change that stays.
fn version_2(hierarchy: &Hierarchy, name: &str, quota: Quota) -> Result<Group, String> {
    let places = hierarchy.version_2().ok_or("not mounted")?;
    let needed = controllers(quota);
    let mut last = None;
    for may_enable in [false, true] {
        for place in &places {
            match in_version_2(place, name, quota, &needed, may_enable) {
                Ok(group) => return Ok(group),
                Err(reason) => last = Some(reason),
            }
        }
    }
    Err(last.unwrap_or_else(|| "not mounted".to_owned()))
}

fn in_version_2(
    place: &Path,
    name: &str,
    quota: Quota,
    needed: &[&str],
    may_enable: bool,
) -> Result<Group, String> {
    let control = place.join("cgroup.subtree_control");
    let lacks = |path: &Path| -> Vec<&str> {
        let given = std::fs::read_to_string(path).unwrap_or_default();
        let lacks = needed
            .iter()
            .filter(|name| !given.split_whitespace().any(|one| one == **name));
        lacks.copied().collect()
    };
    let unavailable = lacks(&place.join("cgroup.controllers"));
    if !unavailable.is_empty() {
        return Err(format!(
            "{} has no {}",
            place.display(),
            unavailable.join(" and ")
        ));
    }
    let not_given = lacks(&control);
    if !not_given.is_empty() {
        let list = not_given.join(" and ");
        if !may_enable {
            return Err(format!("{} does not pass on {list}", place.display()));
        }
        let words: Vec<String> = not_given.iter().map(|name| format!("+{name}")).collect();
        write(&control, &words.join(" ")).map_err(|error| of(&control, &error))?;
    }
    let mut group = empty(LimitsBy::CgroupV2);
    group.add(make(place, name)?);
    let folder = group.folders[0].clone();
    // Missing where the controller is.
    drop(write(
        &folder.join("cpu.weight"),
        &weight(quota, THREAD_WEIGHT),
    ));
    if let Some(cpus) = quota.cpus {
        set(
            &folder.join("cpu.max"),
            &format!("{} {PERIOD_US}", quota_us(cpus)),
        )?;
    }
    if let Some(bytes) = quota.memory_bytes {
        set(&folder.join("memory.max"), &bytes.to_string())?;
    }
    group.holds = quota;
    probe(&group)?;
    Ok(group)
}

/// Beneath this process's own group of each controller. One controller alone is better than none.
fn version_1(hierarchy: &Hierarchy, name: &str, quota: Quota) -> Result<Group, String> {
    let mut group = empty(LimitsBy::CgroupV1);
    let mut reasons = Vec::new();
    if let Some(cpus) = quota.cpus {
        let settings = [
            ("cpu.cfs_period_us", PERIOD_US.to_string()),
            ("cpu.cfs_quota_us", quota_us(cpus).to_string()),
            ("cpu.shares", weight(quota, THREAD_SHARES)),
        ];
        match in_version_1(hierarchy, "cpu", name, &settings) {
            Ok(part) => {
                group.add(part);
                group.holds.cpus = Some(cpus);
            }
            Err(reason) => reasons.push(reason),
        }
    }
    if let Some(bytes) = quota.memory_bytes {
        let settings = [("memory.limit_in_bytes", bytes.to_string())];
        match in_version_1(hierarchy, "memory", name, &settings) {
            Ok(part) => {
                group.add(part);
                group.holds.memory_bytes = Some(bytes);
            }
            Err(reason) => reasons.push(reason),
        }
    }
    if group.folders.is_empty() {
        return Err(reasons.join(" and "));
    }
    group.missing = (!reasons.is_empty()).then(|| reasons.join(" and "));
    Ok(group)
}

fn in_version_1(
    hierarchy: &Hierarchy,
    controller: &str,
    name: &str,
    settings: &[(&str, String)],
) -> Result<PathBuf, String> {
    let place = hierarchy.version_1(controller);
    let place = place.ok_or_else(|| format!("{controller} is not mounted"))?;
    let mut part = empty(LimitsBy::CgroupV1);
    part.add(make(&place, name)?);
    for (setting, value) in settings {
        set(&part.folders[0].join(setting), value)?;
    }
    probe(&part)?;
    Ok(std::mem::take(&mut part.folders).remove(0))
}

fn empty(by: LimitsBy) -> Group {
    Group {
        by,
        holds: Quota::default(),
        missing: None,
        folders: Vec::new(),
    }
}

fn controllers(quota: Quota) -> Vec<&'static str> {
    let cpu = quota.cpus.map(|_| "cpu");
    let memory = quota.memory_bytes.map(|_| "memory");
    cpu.into_iter().chain(memory).collect()
}

fn quota_us(cpus: f64) -> u64 {
    (cpus * PERIOD_US).round() as u64
}

/// To the scheduler a group weighs as much as one thread outside of it, whatever is in it. With
/// this it weighs as much as a busy thread on each CPU that it may have, so that joining it does not
/// take from the system what it has without limits, and give it to the driver.
fn weight(quota: Quota, of_thread: u64) -> String {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64;
    let cpus = quota.cpus.unwrap_or_else(cores).ceil().clamp(1.0, 100.0) as u64;
    (of_thread * cpus).to_string()
}

fn make(place: &Path, name: &str) -> Result<PathBuf, String> {
    let folder = place.join(name);
    std::fs::create_dir(&folder).map_err(|error| of(place, &error))?;
    Ok(folder)
}

fn set(file: &Path, value: &str) -> Result<(), String> {
    write(file, value).map_err(|error| of(file, &error))
}

/// One write, as these files want it, and never a new file where there is no such setting.
fn write(file: &Path, value: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::File::options().write(true).open(file)?;
    file.write_all(value.as_bytes())
}

fn of(path: &Path, error: &Error) -> String {
    let why = match error.kind() {
        ErrorKind::PermissionDenied => "is not ours to write".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "is mounted read-only".to_owned(),
        _ => format!("cannot be written ({error})"),
    };
    format!("{} {why}", path.display())
}

/// Whether processes can be moved there, tried with one that waits for the end of its input.
fn probe(group: &Group) -> Result<(), String> {
    let mut cat = Command::new("cat");
    cat.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = cat
        .spawn()
        .map_err(|error| format!("cat cannot be started ({error})"))?;
    let admitted = group.admit(child.id());
    drop(child.stdin.take());
    drop(child.wait());
    admitted.map_err(|error| of(&group.folders[0].join(PROCESSES), &error))
}

#[cfg(test)]
mod tests;
