//! The process that cleans up behind a run, however the run ends: `lab guard` lives in a session of
//! its own and waits on a pipe from its parent. When the pipe closes it kills what the parent
//! recorded and whatever else carries the run's id, and removes the scratch folder. This side
//! starts it and tells it what there is.

mod binary;
mod watch;

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use servers::Keeper;

use crate::limits::Limits;
use crate::usage::proc;

pub use binary::command;
pub use watch::run;

/// Every process of a run has it in its environment.
pub const RUN_ID_VARIABLE: &str = "LAB_RUN_ID";
/// How long the guard kills what comes back before it gives up.
pub const SWEEP_LIMIT: Duration = Duration::from_secs(4);
/// How long the parent waits for the guard's end: the sweep, then the removal of the folder.
const FINISH_LIMIT: Duration = Duration::from_secs(10);
const FINISH_POLL: Duration = Duration::from_millis(5);
/// What the guard says once no signal can end it any more; the number is that of the protocol on
/// the pipe.
const GREETING: &str = "lab guard 2";

/// Arguments of the hidden subcommand `lab guard`.
#[derive(Clone, Debug, clap::Args)]
pub struct GuardArgs {
    /// Value of LAB_RUN_ID of the processes to kill
    #[arg(long)]
    pub run_id: String,
    /// Folder to remove at the end
    #[arg(long)]
    pub remove: Option<PathBuf>,
    /// Folder of a control group to remove once its processes are gone
    #[arg(long)]
    pub group: Vec<PathBuf>,
}

/// The parent's side. Dropping it, like the death of this process, makes the guard clean up.
#[derive(Debug)]
pub struct Guard {
    /// `NAME=value`, as it is found in an environment.
    tag: String,
    pipe: Mutex<Option<ChildStdin>>,
    child: Child,
    /// Of everything that is started under this guard.
    limits: Limits,
}

impl Guard {
    /// Starts the guard; when this returns, no way to end this process keeps it from cleaning up.
    /// The folder is removed unless it is none, and so is the control group of the limits.
    pub fn start(run_id: &str, remove: Option<&Path>, limits: Limits) -> anyhow::Result<Self> {
        let arguments = arguments(run_id, remove, &limits)?;
        let (mut child, greeting) = greet(&command()?, &arguments)?;
        if greeting != GREETING {
            end(&mut child);
            // A binary from before the last change of the protocol: a test's own build does not
            // renew it.
            (child, _) = greet(&binary::build()?, &arguments)?;
        }
        let pipe = child.stdin.take().context("the guard has no pipe")?;
        Ok(Self {
            tag: format!("{RUN_ID_VARIABLE}={run_id}"),
            pipe: Mutex::new(Some(pipe)),
            child,
            limits,
        })
    }

    /// Resources of everything that is started under this guard.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Name and value of the environment entry by which the guard knows the processes of this run.
    pub fn tag(&self) -> (&'static str, &str) {
        (RUN_ID_VARIABLE, &self.tag[RUN_ID_VARIABLE.len() + 1..])
    }

    /// Whether the guard is still there to clean up.
    pub fn is_alive(&self) -> bool {
        proc::stat(self.child.id()).is_some_and(|stat| !stat.has_ended())
    }

    fn dismiss(&mut self) -> anyhow::Result<()> {
        self.pipe
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        let deadline = Instant::now() + FINISH_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                ensure!(
                    status.success(),
                    "the guard could not clean up everything of {} ({status})",
                    self.tag
                );
                return Ok(());
            }
            std::thread::sleep(FINISH_POLL);
        }
        anyhow::bail!("the guard is still cleaning up after {FINISH_LIMIT:?}; it goes on by itself")
    }

    /// Has everything killed that is left, and waits for it.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.dismiss()
    }
}

impl Keeper for Guard {
    fn tag(&self) -> Option<(&str, &str)> {
        Some(Guard::tag(self))
    }

    /// Tells the guard about a child, in case it hides or changes its environment.
    fn record(&self, pid: u32) -> std::io::Result<()> {
        // One that has already ended needs no guard.
        let Some(stat) = proc::stat(pid) else {
            return Ok(());
        };
        let mut pipe = self
            .pipe
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let dismissed = || std::io::Error::other("the guard was dismissed");
        let pipe = pipe.as_mut().ok_or_else(dismissed)?;
        writeln!(pipe, "{pid} {}", stat.start_ticks)
    }

    fn spawn(&self, command: &mut Command) -> std::io::Result<Child> {
        self.limits.spawn(command)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let dismissed = self.pipe.get_mut().is_ok_and(|pipe| pipe.is_none());
        if !dismissed && let Err(error) = self.dismiss() {
            eprintln!("warning: {error:#}");
        }
    }
}

fn arguments(
    run_id: &str,
    remove: Option<&Path>,
    limits: &Limits,
) -> anyhow::Result<Vec<OsString>> {
    let mut arguments: Vec<OsString> = ["guard", "--run-id", run_id].map(Into::into).to_vec();
    if let Some(folder) = remove {
        arguments.extend(["--remove".into(), std::path::absolute(folder)?.into()]);
    }
    for folder in limits.folders() {
        arguments.extend(["--group".into(), folder.into()]);
    }
    Ok(arguments)
}

/// Starts the binary as a guard and returns what it says first; another program's silence is an
/// empty greeting.
fn greet(lab: &Path, arguments: &[OsString]) -> anyhow::Result<(Child, String)> {
    let mut command = Command::new(lab);
    command.arg0("lab").args(arguments);
    // The id of an outer run would have the outer guard kill this one before it has cleaned up.
    command.env_remove(RUN_ID_VARIABLE);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command
        .spawn()
        .with_context(|| format!("{} cannot be started as a guard", lab.display()))?;
    let stdout = child.stdout.take().context("the guard has no output")?;
    let mut greeting = String::new();
    BufReader::new(stdout)
        .read_line(&mut greeting)
        .context("the guard does not answer")?;
    Ok((child, greeting.trim_end().to_owned()))
}

fn end(child: &mut Child) {
    // It may be gone already; then there is nothing to kill and the wait only reaps it.
    drop(child.kill());
    drop(child.wait());
}
