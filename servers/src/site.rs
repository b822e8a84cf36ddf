//! What the servers have in common: the site that they run on, how they are waited for, and a
//! second try when a port was lost.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::error::{Error, OrFailed, Result, failed};
use crate::process::Process;
use crate::programs::Programs;
use crate::sweeper::Keeper;

/// How long a server may take until it answers.
const READY_LIMIT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(10);
/// How long one question to a starting server may take.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// Where and how servers are started.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Ends them if this process does not.
    pub keeper: &'a dyn Keeper,
    /// Each of them keeps its data in a folder of its own in here, and its log in `logs`.
    pub folder: &'a Path,
    pub programs: &'a Programs,
    pub settings: &'a Settings,
}

/// What the servers promise to remember, and how large they are. RabbitMQ has nothing to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// When Redis writes its log through to the disk: `always`, `everysec` or `no`.
    pub appendfsync: String,
    /// What the database does at a commit: 1 flushes, 2 writes, 0 neither.
    pub innodb_flush_log_at_trx_commit: u8,
    /// In the form of the server, `512M`.
    pub innodb_buffer_pool: &'static str,
    /// In the form of the server. It is written at the first start, and makes up most of what an
    /// idle database takes on the disk.
    pub innodb_log_file: &'static str,
}

impl Default for Settings {
    /// Durable as in a measurement, and small.
    fn default() -> Self {
        Self {
            appendfsync: "everysec".to_owned(),
            innodb_flush_log_at_trx_commit: 1,
            innodb_buffer_pool: "64M",
            innodb_log_file: "96M",
        }
    }
}

impl Site<'_> {
    /// An empty data folder; what an earlier try has left is removed.
    pub(crate) fn data_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)
                .or_failed(|| format!("{} cannot be emptied", folder.display()))?;
        }
        std::fs::create_dir_all(&folder)
            .or_failed(|| format!("{} cannot be made", folder.display()))?;
        Ok(folder)
    }

    pub(crate) fn spawn(&self, name: &str, command: Command) -> Result<Process> {
        let log = self.folder.join("logs").join(format!("{name}.log"));
        Process::spawn(self.keeper, name, command, &log, None)
    }
}

/// A server that answers.
#[derive(Debug)]
pub struct Started {
    pub process: Process,
    /// What it needs beside it; ends after it, and counts as a part of it.
    pub helper: Option<Process>,
    pub port: u16,
    /// Version and every setting that matters, as the running server tells them, without the
    /// server's name in front.
    pub settings: Vec<(&'static str, String)>,
}

/// The wait for the first answer of a server that was just started: ask it [`within`] a bound, and
/// after each failure ask [`FirstAnswer::not_yet`] whether to go on.
#[derive(Debug)]
pub(crate) struct FirstAnswer<'a> {
    process: &'a Process,
    deadline: Instant,
}

impl<'a> FirstAnswer<'a> {
    pub(crate) fn of(process: &'a Process) -> Self {
        Self {
            process,
            deadline: Instant::now() + READY_LIMIT,
        }
    }

    /// Waits a moment. A server that has ended, that has lost its port, or that stays silent for
    /// too long is an error with its last words.
    pub(crate) async fn not_yet(&self, error: Error) -> Result<()> {
        let name = self.process.name();
        if let Some(status) = self.process.ended() {
            let words = self.process.last_words();
            return Err(failed(format!("{name} failed to start ({status}){words}")));
        }
        if error.is_port_taken() {
            return Err(failed(format!("{name} cannot start: {error}")));
        }
        if Instant::now() >= self.deadline {
            let words = self.process.last_words();
            return Err(failed(format!(
                "{name} does not answer within {READY_LIMIT:?}: {error}{words}"
            )));
        }
        tokio::time::sleep(READY_POLL).await;
        Ok(())
    }
}

/// One question to a server that may not answer yet.
pub(crate) async fn within<T>(asking: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(PROBE_LIMIT, asking)
        .await
        .unwrap_or_else(|_| Err(failed("no answer in time")))
}
