//! What the private servers have in common: the place they run in, how the lab waits for them, and
//! a second try when a port was lost.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::options::Durability;
use super::ports;
use super::process::Process;
use crate::guard::Guard;
use crate::setup::Binaries;

/// How long a server may take until it answers.
pub(super) const READY_LIMIT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(20);
/// How long one question to a starting server may take.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
/// How long a server may take to stop by itself. Its data is thrown away, so a kill costs nothing
/// but its last log lines.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(5);

/// The place where servers are started.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub guard: &'a Guard,
    pub scratch: &'a Path,
    pub binaries: &'a Binaries,
    pub durability: &'a Durability,
}

impl Place<'_> {
    /// An empty data folder; what an earlier try has left is removed.
    pub(super) fn data_folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.scratch.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("{} cannot be emptied", folder.display()))?;
        }
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(folder)
    }

    pub(super) fn spawn(&self, name: &str, command: Command) -> anyhow::Result<Process> {
        Process::spawn(
            self.guard,
            name,
            command,
            &self.scratch.join("logs").join(format!("{name}.log")),
            None,
        )
    }
}

/// A server that answers.
#[derive(Debug)]
pub(super) struct Server {
    pub process: Process,
    /// Under which name its figures and settings stand, if not under its own.
    pub part_of: Option<&'static str>,
    /// What it needs beside it; ends after it, and counts as a part of it.
    pub helper: Option<Process>,
    pub port: u16,
    /// Version and every setting that matters, without the server's name in front.
    pub settings: Vec<(&'static str, String)>,
    /// From its start to its first answer.
    pub start_ms: u128,
}

impl Server {
    /// Name in figures and settings.
    pub(super) fn figure_name(&self) -> &str {
        self.part_of.unwrap_or_else(|| self.process.name())
    }
}

/// Waits until `probe` succeeds. A server that ends before, or that stays silent, is an error with
/// its last words.
pub(super) async fn wait_until_ready<T>(
    process: &Process,
    probe: impl AsyncFn() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + READY_LIMIT;
    loop {
        let answer = tokio::time::timeout(PROBE_LIMIT, probe())
            .await
            .context("no answer in time")
            .and_then(|it| it);
        let error = match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if let Some(status) = process.ended() {
            bail!(
                "{} failed to start ({status}){}",
                process.name(),
                process.last_words()
            );
        }
        ensure!(
            !ports::is_taken(&error),
            "{} cannot start: {error:#}",
            process.name()
        );
        if Instant::now() >= deadline {
            let (name, words) = (process.name(), process.last_words());
            bail!("{name} does not answer within {READY_LIMIT:?}: {error:#}{words}");
        }
        tokio::time::sleep(READY_POLL).await;
    }
}

/// Starts, and once more on other ports when somebody else was faster at one of them.
pub(super) async fn start_on_free_ports(
    start: impl AsyncFn() -> anyhow::Result<Server>,
) -> anyhow::Result<Server> {
    let begin = Instant::now();
    let mut server = match start().await {
        Err(error) if ports::is_taken(&error) => start().await,
        result => result,
    }?;
    server.start_ms = begin.elapsed().as_millis();
    Ok(server)
}
