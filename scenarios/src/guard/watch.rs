//! The guard's own life: wait for the end of the pipe, then kill and remove.

use std::collections::HashSet;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::signal::unix::{SignalKind, signal};

use super::{GREETING, GuardArgs, RUN_ID_VARIABLE, SWEEP_LIMIT};
use crate::usage::proc::{self, ProcessStat};

/// Pause between two looks at what is left.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// A process by its pid and its start, so that a pid that is used again is somebody else.
type Recorded = HashSet<(u32, u64)>;

/// Body of `lab guard`. It blocks and builds the runtime that it needs, so call it outside of one.
pub fn run(args: &GuardArgs) -> anyhow::Result<()> {
    // Not in the parent's group or session, so neither Ctrl-C nor a closed terminal comes here.
    // Fails only for one that leads its group already, which is as good.
    let _ = rustix::process::setsid();
    std::env::set_current_dir("/").context("no root folder")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let _ignored = {
        let _entered = runtime.enter();
        [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::quit(),
        ]
        .map(signal)
        .into_iter()
        .collect::<std::io::Result<Vec<_>>>()?
    };
    let mut stdout = std::io::stdout();
    // A parent that is gone already is what the end of the pipe says too.
    drop(writeln!(stdout, "{GREETING}").and_then(|()| stdout.flush()));
    let recorded = read_records(std::io::stdin().lock());
    let swept = sweep(&format!("{RUN_ID_VARIABLE}={}", args.run_id), &recorded);
    if let Some(folder) = &args.remove
        && folder.exists()
    {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    swept?;
    args.group
        .iter()
        .try_for_each(|folder| remove_group(folder))
}

/// The kernel keeps a control group for a moment after its last process.
fn remove_group(folder: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + SWEEP_LIMIT;
    while let Err(error) = std::fs::remove_dir(folder) {
        if !folder.exists() {
            break;
        }
        ensure!(
            Instant::now() < deadline,
            "control group {} cannot be removed: {error}",
            folder.display()
        );
        std::thread::sleep(SWEEP_PAUSE);
    }
    Ok(())
}

/// Until the end of the pipe, which comes when its last writer is gone.
fn read_records(pipe: impl BufRead) -> Recorded {
    pipe.lines()
        .map_while(Result::ok)
        .filter_map(|line| {
            let (pid, start_ticks) = line.split_once(' ')?;
            Some((pid.parse().ok()?, start_ticks.parse().ok()?))
        })
        .collect()
}

/// Again and again, because what is killed may just have started something else.
fn sweep(tag: &str, recorded: &Recorded) -> anyhow::Result<()> {
    let deadline = Instant::now() + SWEEP_LIMIT;
    loop {
        let left = targets(&proc::all(), tag, recorded);
        if left.is_empty() {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{} processes of {tag} are left after {SWEEP_LIMIT:?}",
            left.len()
        );
        for process in &left {
            kill(process);
        }
        std::thread::sleep(SWEEP_PAUSE);
    }
}

/// What was recorded, what carries the run's id, and everything below them; never the guard itself.
fn targets(processes: &[ProcessStat], tag: &str, recorded: &Recorded) -> Vec<ProcessStat> {
    let own = std::process::id();
    let is_ours = |process: &&ProcessStat| {
        recorded.contains(&(process.pid, process.start_ticks)) || proc::carries(process.pid, tag)
    };
    let mut found: Vec<ProcessStat> = processes.iter().filter(is_ours).copied().collect();
    let roots: Vec<u32> = found.iter().map(|process| process.pid).collect();
    found.extend(proc::descendants(processes, &roots).copied());
    found.retain(|process| process.pid != own && !process.has_ended());
    found
}

/// A handle of the process first, then its start once more: nobody else can have taken the pid in
/// between.
fn kill(process: &ProcessStat) {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty());
    let is_same = proc::stat(process.pid).is_some_and(|now| now.start_ticks == process.start_ticks);
    if !is_same {
        return;
    }
    // It may end by itself meanwhile; the next look finds out.
    let _ = match handle {
        Ok(handle) => rustix::process::pidfd_send_signal(handle, Signal::KILL),
        Err(_) => rustix::process::kill_process(pid, Signal::KILL),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_record_with_another_start_time_is_somebody_else() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        let start_ticks = proc::stat(child.id()).expect("alive").start_ticks;
        let processes = proc::all();
        let tag = "LAB_RUN_ID=nobody-carries-this";
        assert!(
            targets(
                &processes,
                tag,
                &Recorded::from([(child.id(), start_ticks + 1)])
            )
            .is_empty()
        );
        let found = targets(
            &processes,
            tag,
            &Recorded::from([(child.id(), start_ticks)]),
        );
        assert_eq!(
            found.iter().map(|process| process.pid).collect::<Vec<_>>(),
            [child.id()]
        );
        sweep(tag, &Recorded::from([(child.id(), start_ticks)])).expect("killed");
        assert!(!child.wait().expect("wait").success());
    }

    #[test]
    fn whatever_carries_the_run_id_is_found_with_its_children() {
        let tag = format!("guard-test-{}", std::process::id());
        let mut child = Command::new("sh")
            .args(["-c", "env -u LAB_RUN_ID sleep 60; true"])
            .env(RUN_ID_VARIABLE, &tag)
            .spawn()
            .expect("sh");
        let entry = format!("{RUN_ID_VARIABLE}={tag}");
        let deadline = Instant::now() + SWEEP_LIMIT;
        while targets(&proc::all(), &entry, &Recorded::new()).len() < 2 {
            assert!(
                Instant::now() < deadline,
                "the shell's child does not appear"
            );
            std::thread::sleep(SWEEP_PAUSE);
        }
        sweep(&entry, &Recorded::new()).expect("killed");
        assert!(!child.wait().expect("wait").success());
        assert!(targets(&proc::all(), &entry, &Recorded::new()).is_empty());
    }

    #[test]
    fn malformed_records_are_passed_over() {
        assert_eq!(
            read_records(&b"12 34\nnonsense\n56 x\n78 90\n"[..]),
            Recorded::from([(12, 34), (78, 90)])
        );
    }
}
