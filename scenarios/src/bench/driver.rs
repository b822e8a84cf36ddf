//! The driver as a child process: `lab load grpc --plan FILE --events --handshake`, or `http`. It is a process
//! of its own so that its CPU is counted apart from the lab's, and a slow terminal cannot slow the
//! load down.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use loadgen::events::{Event, GO, SUM_UP};
use loadgen::plan::LoadPlan;
use reports::result::Phase;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::limits::Limits;

/// How long an interrupted driver may wait for open replies. Interrupted again, it gives them up.
const REPLIES_LIMIT: Duration = Duration::from_secs(3);
/// How long it may then take to sum up.
const SUM_UP_LIMIT: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct DriverSpec<'a> {
    pub plan: LoadPlan,
    pub outcome_log: &'a Path,
    /// Environment entry by which the guard finds the process.
    pub tag: (&'a str, &'a str),
    /// It runs apart from the system where the machine has the cores.
    pub limits: &'a Limits,
}

impl DriverSpec<'_> {
    fn protocol(&self) -> &'static str {
        match self.plan.http {
            Some(_) => "http",
            None => "grpc",
        }
    }
}

#[derive(Debug)]
pub(super) struct Driver {
    child: Child,
    /// None once it has been told everything.
    stdin: Option<ChildStdin>,
    events: Lines<BufReader<ChildStdout>>,
    stderr: PathBuf,
}

impl Driver {
    pub(super) fn start(spec: &DriverSpec<'_>) -> anyhow::Result<Self> {
        let lab = std::env::current_exe().context("the path of this binary is not known")?;
        let plan = spec.outcome_log.with_extension("plan.json");
        std::fs::write(&plan, serde_json::to_vec_pretty(&spec.plan)?)
            .with_context(|| format!("{} cannot be written", plan.display()))?;
        let stderr = spec.outcome_log.with_extension("stderr");
        let errors = std::fs::File::create(&stderr)
            .with_context(|| format!("{} cannot be written", stderr.display()))?;
        let mut command = Command::new(lab);
        command
            .args(["load", spec.protocol(), "--events", "--handshake", "--plan"])
            .arg(&plan)
            .arg("--outcome-log")
            .arg(spec.outcome_log)
            .env(spec.tag.0, spec.tag.1)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            // Ctrl-C at the terminal reaches the lab alone, which then asks the driver to sum up.
            .process_group(0);
        let mut child = spec
            .limits
            .apart(|| command.spawn())
            .context("the driver cannot be started")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("the driver has no output")?;
        Ok(Self {
            child,
            stdin,
            events: BufReader::new(stdout).lines(),
            stderr,
        })
    }

    /// None once it has ended.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// After [`Event::Ready`]: lets it send.
    pub(super) async fn go(&mut self) -> anyhow::Result<()> {
        self.tell(GO).await
    }

    /// After [`Event::Ended`]: lets it sum up.
    pub(super) async fn sum_up(&mut self) -> anyhow::Result<()> {
        self.tell(SUM_UP).await?;
        self.stdin = None;
        Ok(())
    }

    /// A driver that has gone away says why in the next event.
    async fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let stdin = self.stdin.as_mut().context("the driver is told too much")?;
        drop(stdin.write_all(format!("{line}\n").as_bytes()).await);
        Ok(())
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

    /// After the last event: waits until the process has ended, and has therefore written its
    /// outcome log.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        while self.next().await?.is_some() {}
        Ok(())
    }

    /// Asks the driver to stop and gives it a moment to sum up. Returns what it has measured.
    pub(super) async fn interrupt(&mut self) -> Option<Phase> {
        self.stdin = None;
        let mut measured = None;
        for limit in [REPLIES_LIMIT, SUM_UP_LIMIT] {
            self.send_interrupt();
            let reading = async {
                while let Ok(Some(event)) = self.next().await {
                    if let Event::Finished { phase, .. } = event {
                        measured = Some(*phase);
                    }
                }
            };
            if tokio::time::timeout(limit, reading).await.is_ok() {
                return measured;
            }
        }
        // It may have ended by itself meanwhile, which is just as good.
        drop(self.child.start_kill());
        measured
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
