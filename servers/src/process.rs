//! One child of the lab: started under the guard, in a process group of its own, with its output in
//! log files. It is reaped only after its last CPU figures were read.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use reports::model::Usage;
use rustix::process::{Pid, Signal};

use crate::guard::Guard;
use crate::usage;
use crate::usage::proc::{self, ProcessStat};

/// Pause between two looks at a process that is to end.
const END_POLL: Duration = Duration::from_millis(5);
/// How long a killed process may take to be gone; only one that hangs in the kernel takes longer.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// Last lines of a log that an error repeats.
const TAIL_LINES: usize = 12;
/// Last part of a log that is searched for them.
const TAIL_BYTES: u64 = 8 << 10;

#[derive(Debug)]
pub(super) struct Process {
    name: String,
    pid: u32,
    log: PathBuf,
    /// Where this life begins in a log that an earlier process of the name has written too.
    log_start: u64,
    life: Mutex<Life>,
}

#[derive(Debug)]
struct Life {
    child: Child,
    ended: Option<ExitStatus>,
    /// The last figures that were seen.
    usage: Usage,
}

impl Process {
    /// Standard error is appended to `log`; standard output goes there too unless there is a file
    /// for it.
    pub(super) fn spawn(
        guard: &Guard,
        name: &str,
        mut command: Command,
        log: &Path,
        stdout: Option<File>,
    ) -> anyhow::Result<Self> {
        let open = || File::options().create(true).append(true).open(log);
        let error_log = open().with_context(|| format!("{} cannot be written", log.display()))?;
        let log_start = error_log.metadata()?.len();
        let stdout = stdout.map_or_else(|| error_log.try_clone(), Ok)?;
        let (tag, run_id) = guard.tag();
        command
            .env(tag, run_id)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(error_log);
        // Ctrl-C at the terminal is for the lab, which then stops the others in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .spawn()
            .with_context(|| format!("{name} cannot be started ({program})"))?;
        let life = Life {
            child,
            ended: None,
            usage: Usage::default(),
        };
        let pid = life.child.id();
        let process = Self {
            name: name.to_owned(),
            pid,
            log: log.to_path_buf(),
            log_start,
            life: Mutex::new(life),
        };
        guard.record(pid)?;
        Ok(process)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it ended; none while it runs.
    pub(super) fn ended(&self) -> Option<ExitStatus> {
        let mut life = self.life();
        if life.ended.is_none() {
            let stat = proc::stat(self.pid)?;
            if !stat.has_ended() {
                return None;
            }
            life.usage.cpu_us = life.usage.cpu_us.max(stat.cpu_us());
            life.ended = life.child.try_wait().ok().flatten();
        }
        life.ended
    }

    /// CPU and peak memory with its children, as of `processes`; of one that has ended, what was
    /// seen last.
    pub(super) fn usage(&self, processes: &[ProcessStat]) -> Usage {
        let running = self
            .ended()
            .is_none()
            .then(|| usage::of_tree(processes, self.pid))
            .flatten();
        let mut life = self.life();
        if let Some(usage) = running.filter(|usage| usage.peak_rss_bytes > 0) {
            life.usage = usage;
        }
        life.usage
    }

    /// Does nothing to one that has ended: while it is not reaped its pid is nobody else's.
    pub(super) fn signal(&self, signal: Signal) {
        let life = self.life();
        if life.ended.is_none()
            && let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
        {
            // It may have ended just now, which is what was wanted.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    pub(super) async fn ended_within(&self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            let ended = self.ended();
            if ended.is_some() || Instant::now() >= deadline {
                return ended;
            }
            tokio::time::sleep(END_POLL).await;
        }
    }

    /// Asks it to end, and kills it when it does not within `limit`. None when it had to be killed.
    pub(super) async fn stop(&self, limit: Duration) -> Option<ExitStatus> {
        self.usage(&proc::all());
        self.signal(Signal::TERM);
        let ended = self.ended_within(limit).await;
        if ended.is_none() {
            drop(self.kill().await);
        }
        ended
    }

    pub(super) async fn kill(&self) -> anyhow::Result<()> {
        self.usage(&proc::all());
        self.signal(Signal::KILL);
        let ended = self.ended_within(KILL_LIMIT).await;
        ended
            .map(|_| ())
            .with_context(|| format!("{} (pid {}) does not die of SIGKILL", self.name, self.pid))
    }

    /// The last lines of its log, for an error: `\n  its log, /tmp/…/redis.log:\n  | …`.
    pub(super) fn last_words(&self) -> String {
        tail(&self.log, self.log_start, None)
    }

    /// Like [`Self::last_words`], without the general advice that some programs end with.
    pub(super) fn last_words_before(&self, advice: &str) -> String {
        tail(&self.log, self.log_start, Some(advice))
    }

    /// What it has logged after `seen` bytes of this life, which then counts as seen.
    pub(super) fn log_after(&self, seen: &mut u64) -> String {
        let text = read_from(&self.log, self.log_start + *seen).unwrap_or_default();
        *seen += text.len() as u64;
        text
    }
}

impl Drop for Process {
    /// Nothing outlives its owner. This blocks for the moment that a kill takes.
    fn drop(&mut self) {
        let life = self.life.get_mut().unwrap_or_else(PoisonError::into_inner);
        if life.ended.is_none() {
            drop(life.child.kill());
            drop(life.child.wait());
        }
    }
}

fn tail(log: &Path, start: u64, advice: Option<&str>) -> String {
    let length = std::fs::metadata(log).map_or(0, |metadata| metadata.len());
    let text = read_from(log, start.max(length.saturating_sub(TAIL_BYTES))).unwrap_or_default();
    let own = advice
        .and_then(|advice| text.split(advice).next())
        .unwrap_or(&text);
    let lines: Vec<&str> = own.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    let mut words = format!(
        "\n  {} {}",
        if last.is_empty() {
            "nothing in"
        } else {
            "last lines of"
        },
        log.display()
    );
    for line in last {
        words.push_str(&format!("\n  | {line}"));
    }
    words
}

fn read_from(path: &Path, start: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_starts_where_this_life_started_and_ends_with_the_last_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("redis.log");
        std::fs::write(&log, "an earlier life\nhello\n\nbye\n").expect("written");
        let words = tail(&log, 16, None);
        assert!(words.ends_with("\n  | hello\n  | bye"), "{words}");
        assert!(!words.contains("earlier"), "{words}");
        assert!(
            tail(&log, 16, Some("bye")).ends_with("\n  | hello"),
            "what comes before the advice"
        );
        assert!(
            tail(&log, 16, Some("farewell")).ends_with("\n  | bye"),
            "no advice, nothing cut off"
        );
        assert!(tail(&folder.path().join("none"), 0, None).contains("nothing in"));
    }
}
