//! Limits against a burner of CPU, in whatever this machine offers.

use super::*;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::usage::proc;

const GIB_BYTES: u64 = 1 << 30;
/// Until the kernel has held a burner back, on a machine that is busy with something else.
const THROTTLED_LIMIT: Duration = Duration::from_secs(30);

fn wanted(cpus: Option<f64>, memory_bytes: Option<u64>) -> LimitsWanted {
    LimitsWanted { cpus, memory_bytes }
}

fn no_group(_: Quota) -> Result<Group, String> {
    Err("no control group here".to_owned())
}

fn unique(name: &str) -> String {
    format!("lab-test-{name}-{:016x}", rand::random::<u64>())
}

/// Dropping it ends it.
struct Burner(Child);

impl Burner {
    fn start(limits: &Limits) -> Self {
        let mut sh = Command::new("sh");
        sh.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
        Self(limits.spawn(&mut sh).expect("sh"))
    }

    fn cpu_us(&self) -> u64 {
        proc::stat(self.0.id()).expect("it runs").cpu_us()
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Both versions count the periods in which a group was held back in `cpu.stat`.
fn throttled(limits: &Limits) -> u64 {
    let count = |folder: &PathBuf| {
        let text = std::fs::read_to_string(folder.join("cpu.stat")).ok()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("nr_throttled "))?;
        line.parse::<u64>().ok()
    };
    limits.folders().iter().filter_map(count).sum()
}

#[test]
fn a_tenth_of_a_core_is_about_a_tenth() {
    // So little that the burner is held back even where others want the core as well.
    let limits = Limits::apply(&wanted(Some(0.1), None), &unique("tenth")).expect("sensible");
    if limits.folders().is_empty() {
        eprintln!("ignored: {}", limits.note().expect("a reason"));
        return;
    }
    assert_eq!(limits.applied().cpus, Some(0.1));
    let burner = Burner::start(&limits);
    let (begin, before, held_before) = (Instant::now(), burner.cpu_us(), throttled(&limits));
    // That it was held back, and not just kept from a core by others, is what the kernel counts.
    while throttled(&limits) < held_before + 10 || begin.elapsed() < Duration::from_secs(2) {
        assert!(
            begin.elapsed() < THROTTLED_LIMIT,
            "nobody holds the burner back"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let share = (burner.cpu_us() - before) as f64 / begin.elapsed().as_micros() as f64;
    assert!(share < 0.2, "it had {share} of a core");
}

#[test]
fn what_a_process_starts_is_limited_with_it_and_the_group_goes_at_the_end() {
    let wanted = wanted(None, Some(256 << 20));
    let limits = Limits::apply(&wanted, &unique("memory")).expect("sensible");
    if limits.folders().is_empty() {
        eprintln!("ignored: {}", limits.note().expect("a reason"));
        return;
    }
    assert_eq!(limits.applied().memory_bytes, Some(256 << 20));
    let folder = limits.folders()[0].clone();
    let settings = ["memory.max", "memory.limit_in_bytes"].map(|name| folder.join(name));
    let bytes = settings
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok());
    assert_eq!(bytes.expect("a limit").trim(), (256 << 20).to_string());
    let mut sh = Command::new("sh");
    sh.args(["-c", "cat | cat"]).stdin(Stdio::piped());
    let mut child = limits.spawn(&mut sh).expect("sh");
    let members = || std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let begin = Instant::now();
    while members().lines().count() < 2 {
        assert!(begin.elapsed() < THROTTLED_LIMIT, "only {:?}", members());
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(child.stdin.take());
    drop(child.wait());
    drop(limits);
    // Its child may be a moment behind; then the guard removes the group.
    while folder.exists() && std::fs::remove_dir(&folder).is_err() {
        assert!(
            begin.elapsed() < THROTTLED_LIMIT,
            "{} stays",
            folder.display()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn without_a_control_group_there_are_whole_cores() {
    let cores = Cores::available();
    if cores.count() < 2 {
        eprintln!("ignored: one core cannot be divided into whole ones");
        return;
    }
    let all = cores.count();
    let limits = Limits::on(
        &wanted(Some(0.5), Some(1)),
        cores.clone(),
        GIB_BYTES,
        no_group,
    );
    let expected = AppliedLimits {
        cpus: Some(1.0),
        memory_bytes: None,
        by: LimitsBy::Affinity,
        driver_apart: true,
    };
    assert_eq!(limits.applied(), &expected);
    let note = limits.note().expect("something is missing");
    assert!(note.contains("1 whole CPUs instead of 0.5"), "{note}");
    assert!(
        note.contains("memory was not limited (no control group here)"),
        "{note}"
    );
    let mut sleep = Command::new("sleep");
    let mut child = limits.spawn(sleep.arg("60")).expect("sleep");
    let pid = rustix::process::Pid::from_child(&child);
    let its = rustix::thread::sched_getaffinity(Some(pid)).expect("its cores");
    let driver = limits.apart(Cores::available);
    drop(child.kill());
    drop(child.wait());
    assert_eq!(its.count(), 1);
    assert_eq!(driver.count(), all - 1);
    assert_eq!(
        Cores::available(),
        cores,
        "this thread has all of its cores again"
    );
}

#[test]
fn a_smaller_machine_is_stated() {
    let wanted = wanted(Some(4.0), Some(4 * GIB_BYTES));
    let limits = Limits::on(&wanted, Cores::numbered(0..2), 2 * GIB_BYTES, |_| {
        panic!("there is nothing to limit")
    });
    let expected = AppliedLimits {
        cpus: Some(2.0),
        memory_bytes: Some(2 * GIB_BYTES),
        by: LimitsBy::None,
        driver_apart: false,
    };
    assert_eq!(limits.applied(), &expected);
    let note = limits.note().expect("a smaller machine");
    assert!(
        note.contains("4 CPUs were wanted") && note.contains("has 2, which"),
        "{note}"
    );
    assert!(
        note.contains("4 GiB were wanted") && note.contains("has 2.0 GiB"),
        "{note}"
    );
}

#[test]
fn the_driver_is_apart_where_cores_are_left() {
    let on = |cpus: f64, cores: usize| {
        Limits::on(
            &wanted(Some(cpus), None),
            Cores::numbered(0..cores),
            GIB_BYTES,
            no_group,
        )
    };
    let eight = on(4.0, 8);
    assert!(
        eight.applied().driver_apart && eight.note().is_none(),
        "{eight:?}"
    );
    assert_eq!(eight.applied().by, LimitsBy::Affinity);
    assert_eq!(eight.rest, Some(Cores::numbered(4..8)));
    let shared = on(4.0, 4);
    assert!(!shared.applied().driver_apart);
    assert!(shared.note().expect("a note").contains("the driver shares"));
}

#[test]
fn no_limits_are_no_limits() {
    let limits = Limits::apply(&LimitsWanted::default(), &unique("none")).expect("sensible");
    assert_eq!(limits.applied(), &AppliedLimits::default());
    assert!(limits.note().is_none() && limits.folders().is_empty());
}

#[test]
fn senseless_limits_are_refused() {
    for (limits, named) in [
        (wanted(Some(0.0), None), "limits.cpus is 0"),
        (wanted(Some(f64::NAN), None), "limits.cpus is NaN"),
        (wanted(None, Some(0)), "limits.memory is 0"),
    ] {
        let refused = Limits::apply(&limits, "lab-test")
            .expect_err("senseless")
            .to_string();
        assert!(refused.contains(named), "{refused}");
    }
}
