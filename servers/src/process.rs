//! One process: started in a process group of its own, with its output in log files. It is waited
//! for only when it is dropped, so until then its id is nobody else's, and `/proc` tells what it
//! has used.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::error::{OrFailed, Result, failed};
use crate::sweeper::Keeper;

/// Pause between two looks at a process that is to end.
const END_POLL: Duration = Duration::from_millis(5);
/// How long a killed process may take to be gone; only one that hangs in the kernel takes longer.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// Last lines of a log that an error repeats.
const TAIL_LINES: usize = 12;
/// Last part of a log that is searched for them.
const TAIL_BYTES: u64 = 8 << 10;

/// Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Where this life begins in a log that an earlier process of the name has written too.
    log_start: u64,
}

impl Process {
    /// Standard error is appended to `log`; standard output goes there too unless there is a file
    /// for it. The environment is what `command` says, and the keeper's tag.
    pub fn spawn(
        keeper: &dyn Keeper,
        name: &str,
        mut command: Command,
        log: &Path,
        stdout: Option<File>,
    ) -> Result<Self> {
        let unwritable = || format!("{} cannot be written", log.display());
        let open = || File::options().create(true).append(true).open(log);
        let error_log = open().or_failed(unwritable)?;
        let log_start = error_log.metadata().or_failed(unwritable)?.len();
        let stdout = stdout
            .map_or_else(|| error_log.try_clone(), Ok)
            .or_failed(unwritable)?;
        if let Some((tag, value)) = keeper.tag() {
            command.env(tag, value);
        }
        // Ctrl-C at the terminal is for the parent, which then stops the others in order.
        command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(error_log)
            .process_group(0);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = keeper
            .spawn(&mut command)
            .or_failed(|| format!("{name} cannot be started ({program})"))?;
        let process = Self {
            name: name.to_owned(),
            child,
            log: log.to_path_buf(),
            log_start,
        };
        keeper
            .record(process.pid())
            .or_failed(|| format!("nobody would clean up behind {name}"))?;
        Ok(process)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended; none while it runs.
    pub fn ended(&self) -> Option<ExitStatus> {
        // Without NOWAIT the id would be free again, and be given to somebody else.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = rustix::process::waitid(WaitId::Pid(self.id()), options).ok()??;
        let exited = status.exit_status().map(|code| code << 8);
        Some(ExitStatus::from_raw(
            exited.or_else(|| status.terminating_signal())?,
        ))
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Does nothing to one that has ended.
    pub fn signal(&self, signal: Signal) {
        // It may have ended just now, which is what was wanted.
        let _ = rustix::process::kill_process(self.id(), signal);
    }

    pub async fn ended_within(&self, limit: Duration) -> Option<ExitStatus> {
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
    pub async fn stop(&self, limit: Duration) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        let ended = self.ended_within(limit).await;
        if ended.is_none() {
            drop(self.kill().await);
        }
        ended
    }

    /// SIGKILL, and waits until it is gone, within 5 s.
    pub async fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL);
        let ended = self.ended_within(KILL_LIMIT).await;
        ended.map(|_| ()).ok_or_else(|| {
            failed(format!(
                "{} (pid {}) does not die of SIGKILL",
                self.name,
                self.pid()
            ))
        })
    }

    /// The last lines of its log, for an error: `\n  its log, /tmp/…/redis.log:\n  | …`.
    pub fn last_words(&self) -> String {
        tail(&self.log, self.log_start, None)
    }

    /// Like [`Self::last_words`], without the general advice that some programs end with.
    pub fn last_words_before(&self, advice: &str) -> String {
        tail(&self.log, self.log_start, Some(advice))
    }

    /// What it has logged after `seen` bytes of this life, which then counts as seen.
    pub fn log_after(&self, seen: &mut u64) -> String {
        let text = read_from(&self.log, self.log_start + *seen).unwrap_or_default();
        *seen += text.len() as u64;
        text
    }
}

impl Drop for Process {
    /// Nothing outlives its owner, nor what it has started in its group. This blocks for the moment
    /// that a kill takes.
    fn drop(&mut self) {
        let _ = rustix::process::kill_process_group(self.id(), Signal::KILL);
        drop(self.child.kill());
        drop(self.child.wait());
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
        let folder = std::env::temp_dir().join(format!("tail-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let log = folder.join("redis.log");
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
        assert!(tail(&folder.join("none"), 0, None).contains("nothing in"));
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
