//! The driver as a child process: `lab load grpc --events`. It is a process of its own so that its
//! CPU is counted apart from the lab's, and a slow terminal cannot slow the load down.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use loadgen::events::Event;
use reports::model::{LatencySummary, OutcomeCounts};
use reports::result::{DRIVER, LatencyClock, Phase};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::scenario::Load;

/// How long an interrupted driver may wait for open replies. Interrupted again, it gives them up.
const REPLIES_LIMIT: Duration = Duration::from_secs(3);
/// How long it may then take to sum up.
const SUM_UP_LIMIT: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct LoadSpec<'a> {
    pub target: SocketAddr,
    pub product_id: i64,
    pub requests: u64,
    pub load: &'a Load,
    pub outcome_log: &'a Path,
    /// Environment entry by which the guard finds the process.
    pub tag: (&'a str, &'a str),
    /// Where the driver's standard error goes.
    pub stderr: PathBuf,
}

#[derive(Debug)]
pub(super) struct Driver {
    child: Child,
    events: Lines<BufReader<ChildStdout>>,
    stderr: PathBuf,
}

/// What one run measured, as results of schema 1 hold it.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    pub requests: u64,
    pub total_s: f64,
    pub last_reply_unix_us: i64,
    pub counts: OutcomeCounts,
    pub accepted_units: u64,
    pub latency: LatencySummary,
    pub statuses: Vec<(String, u64)>,
    pub cpu_us: u64,
    pub peak_rss_bytes: u64,
}

impl Summary {
    pub(super) fn of(phase: &Phase) -> Self {
        let counts = phase.outcomes();
        let sent = phase.latencies(&LatencyClock::Sent, None);
        let driver = phase.usage.get(DRIVER).cloned().unwrap_or_default();
        let mut statuses = Vec::from_iter(phase.statuses.clone());
        statuses.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Self {
            requests: phase.finished,
            total_s: phase.length_ns as f64 / 1e9,
            last_reply_unix_us: phase.start_unix_us + (phase.length_ns / 1_000) as i64,
            counts: OutcomeCounts {
                accepted: counts.accepted,
                refused: counts.refused,
                duplicate: counts.duplicate,
                error: counts.error,
                unknown: counts.unknown,
            },
            accepted_units: phase.units_accepted(),
            latency: LatencySummary::of(sent.histogram_us()),
            statuses,
            cpu_us: driver.cpu_ns() / 1_000,
            peak_rss_bytes: driver.peak_rss_bytes,
        }
    }
}

impl Driver {
    pub(super) fn start(spec: &LoadSpec<'_>) -> anyhow::Result<Self> {
        let lab = std::env::current_exe().context("the path of this binary is not known")?;
        let stderr = std::fs::File::create(&spec.stderr)
            .with_context(|| format!("{} cannot be written", spec.stderr.display()))?;
        let mut command = Command::new(lab);
        command
            .args(arguments(spec))
            .env(spec.tag.0, spec.tag.1)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            // Ctrl-C at the terminal reaches the lab alone, which then asks the driver to sum up.
            .process_group(0);
        let mut child = command.spawn().context("the driver cannot be started")?;
        let stdout = child.stdout.take().context("the driver has no output")?;
        Ok(Self {
            child,
            events: BufReader::new(stdout).lines(),
            stderr: spec.stderr.clone(),
        })
    }

    /// The next event, or none after the last one. If the driver failed, this is an error with the
    /// driver's own message.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        match self
            .events
            .next_line()
            .await
            .context("the driver's output cannot be read")?
        {
            Some(line) => {
                let event = serde_json::from_str(&line).with_context(|| {
                    format!("the driver printed something that is not an event: {line}")
                })?;
                Ok(Some(event))
            }
            None => {
                let status = self.child.wait().await?;
                if !status.success() {
                    bail!("the driver failed ({status}): {}", self.complaint());
                }
                Ok(None)
            }
        }
    }

    /// Reads all events up to the summary, and waits for the end of the process.
    pub(super) async fn summary(&mut self) -> anyhow::Result<Summary> {
        while let Some(event) = self.next().await? {
            if let Event::Finished { phase, .. } = event {
                self.ended().await?;
                return Ok(Summary::of(&phase));
            }
        }
        bail!("the driver ended without a summary")
    }

    /// After the summary: waits until the process has ended, and has therefore written its outcome
    /// log.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        while self.next().await?.is_some() {}
        Ok(())
    }

    /// Asks the driver to stop and gives it a moment to sum up. Returns the events that it still
    /// sends.
    pub(super) async fn interrupt(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for limit in [REPLIES_LIMIT, SUM_UP_LIMIT] {
            self.send_interrupt();
            let reading = async {
                while let Ok(Some(event)) = self.next().await {
                    events.push(event);
                }
            };
            if tokio::time::timeout(limit, reading).await.is_ok() {
                return events;
            }
        }
        // It may have ended by itself meanwhile, which is just as good.
        drop(self.child.start_kill());
        events
    }

    fn send_interrupt(&self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
    }

    /// The driver's own last error message; it has none when it was killed.
    fn complaint(&self) -> String {
        let text = std::fs::read_to_string(&self.stderr).unwrap_or_default();
        let error = text
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("error: "));
        error.unwrap_or("it gave no reason").to_owned()
    }
}

fn arguments(spec: &LoadSpec<'_>) -> Vec<String> {
    let load = spec.load;
    let mut arguments: Vec<String> = ["load", "grpc", "--events"].map(str::to_owned).to_vec();
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    option("--concurrency", load.concurrency.to_string());
    option("--requests", spec.requests.to_string());
    option("--connections", load.connections.to_string());
    option("--timeout", format!("{}ms", load.timeout_ms));
    option("--seed", load.seed.to_string());
    option("--users", load.users.to_string());
    option("--product", spec.product_id.to_string());
    option("--max-quantity", load.max_quantity.to_string());
    option("--outcome-log", spec.outcome_log.display().to_string());
    arguments.push(spec.target.to_string());
    arguments
}
