//! A role of the system as a process: started until it says that it is ready, stopped in order, or
//! killed.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use servers::Process;

use super::measured::Measured;
use crate::guard::Guard;
use crate::usage::proc::ProcessStat;
use crate::usage::{Counters, Life};

/// How long a role may take until it is ready.
const READY_LIMIT: Duration = Duration::from_secs(20);
const READY_POLL: Duration = Duration::from_millis(5);
/// How long a role may take to stop: the 10 s that it may drain, and some.
const STOP_LIMIT: Duration = Duration::from_secs(12);
/// How long a role that ends by itself may run: the longest repairs everything after a lost leg of
/// 500,000 orders.
const RUN_TO_END_LIMIT: Duration = Duration::from_secs(300);

/// What the gateway limits, by how its settings are called.
const RATE_LIMITS: [&str; 4] = ["GLOBAL", "SECKILL", "ORDER", "LOGIN"];

/// Settings with which the gateway turns nobody away for how often they ask. All buyers of a load come
/// from one address, and few of them may ask again and again: what is measured is the system, not how
/// it turns people away.
pub(crate) fn without_rate_limits() -> [(String, String); RATE_LIMITS.len()] {
    RATE_LIMITS.map(|limit| {
        let key = format!("SECKILL__RATE_LIMITS__{limit}__RPS");
        (key, "0".to_owned())
    })
}

/// How a role is started.
#[derive(Clone, Debug)]
pub struct RoleSpec {
    /// In messages, figures, and the name of its log.
    pub name: String,
    pub program: PathBuf,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
}

/// A running role. Dropping it kills it.
#[derive(Debug)]
pub struct Role {
    process: Arc<Measured>,
    listen: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    orders: Option<SocketAddr>,
    gateway: Option<SocketAddr>,
    roster: Arc<Roster>,
}

/// The roles of a stack: those that have to run, and what those that do not run any more have used.
#[derive(Debug, Default)]
pub(super) struct Roster(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    running: Vec<Arc<Measured>>,
    /// Name and processes of those that have ended.
    ended: Vec<(String, Vec<Life>)>,
}

/// The one line that a role prints when it is ready.
#[derive(Debug, Deserialize)]
struct Ready {
    ready: bool,
    listen: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    /// Of a process that runs every role.
    #[serde(rename = "order")]
    orders: Option<SocketAddr>,
    /// Of such a process, too.
    gateway: Option<SocketAddr>,
}

impl Role {
    pub(super) async fn start(
        guard: &Guard,
        scratch: &Path,
        roster: &Arc<Roster>,
        spec: &RoleSpec,
    ) -> anyhow::Result<Self> {
        let (process, output) = spawn(guard, scratch, spec)?;
        let deadline = Instant::now() + READY_LIMIT;
        let ready = loop {
            // Asked first: the last thing that it does before its end may be its ready line.
            let ended = process.ended();
            let text = std::fs::read_to_string(&output).unwrap_or_default();
            if let Some((line, _)) = text.split_once('\n') {
                break parse_ready(&spec.name, line)?;
            }
            if let Some(status) = ended {
                bail!(
                    "{} ended before it was ready ({status}){}",
                    spec.name,
                    process.last_words()
                );
            }
            if Instant::now() >= deadline {
                bail!(
                    "{} is not ready within {READY_LIMIT:?}{}",
                    spec.name,
                    process.last_words()
                );
            }
            tokio::time::sleep(READY_POLL).await;
        };
        let process = Arc::new(Measured::from(process));
        roster.lock().running.push(Arc::clone(&process));
        Ok(Self {
            process,
            listen: ready.listen,
            admin: ready.admin,
            orders: ready.orders,
            gateway: ready.gateway,
            roster: Arc::clone(roster),
        })
    }

    pub fn name(&self) -> &str {
        self.process.name()
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Where it listens, for a role that does.
    pub fn listen(&self) -> Option<SocketAddr> {
        self.listen
    }

    /// Where it listens for operators, for a role that does.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Where its order service listens, for a process that runs every role.
    pub fn orders(&self) -> Option<SocketAddr> {
        self.orders
    }

    /// Where its gateway listens, for a process that runs every role.
    pub fn gateway(&self) -> Option<SocketAddr> {
        self.gateway
    }

    /// The last lines of its log, for an error whose reason only it knows.
    pub fn last_words(&self) -> String {
        self.process.last_words()
    }

    /// SIGTERM, which drains; SIGKILL after 12 s. Anything but an orderly end is an error with its
    /// last words.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.roster.retire(&self.process);
        let ended = self.process.stop(STOP_LIMIT).await;
        self.roster.bury(&self.process);
        let words = || self.process.last_words();
        let status = ended.with_context(|| {
            format!(
                "{} had to be killed after {STOP_LIMIT:?}{}",
                self.name(),
                words()
            )
        })?;
        ensure!(
            status.success(),
            "{} ended with {status}{}",
            self.name(),
            words()
        );
        Ok(())
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.roster.retire(&self.process);
        let killed = self.process.kill().await;
        self.roster.bury(&self.process);
        Ok(killed?)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.roster.retire(&self.process);
    }
}

impl Roster {
    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on its end is nobody's fault.
    fn retire(&self, process: &Arc<Measured>) {
        self.lock()
            .running
            .retain(|running| !Arc::ptr_eq(running, process));
    }

    /// Keeps what it has used.
    fn bury(&self, process: &Measured) {
        let tree = process.tree(&[]);
        let mut entries = self.lock();
        entries.ended.push((process.name().to_owned(), tree));
    }

    /// The first that has ended although it should run.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for process in &self.lock().running {
            if let Some(status) = process.ended() {
                bail!("{} died ({status}){}", process.name(), process.last_words());
            }
        }
        Ok(())
    }

    pub(super) fn count(&self, counters: &mut Counters, processes: &[ProcessStat]) {
        let entries = self.lock();
        for (name, tree) in &entries.ended {
            counters.add_ended(name, tree.clone());
        }
        for process in &entries.running {
            counters.add_running(process.name(), process.tree(processes));
        }
    }

    /// Takes every role that is left, for the end of the stack.
    pub(super) fn take(&self) -> Vec<Arc<Measured>> {
        std::mem::take(&mut self.lock().running)
    }
}

/// Runs to its end and returns its standard output. An exit code other than 0 is an error with its
/// last words.
pub(super) async fn run_to_end(
    guard: &Guard,
    scratch: &Path,
    spec: &RoleSpec,
) -> anyhow::Result<String> {
    let (process, output) = spawn(guard, scratch, spec)?;
    let Some(status) = process.ended_within(RUN_TO_END_LIMIT).await else {
        drop(process.kill().await);
        bail!(
            "{} does not end within {RUN_TO_END_LIMIT:?}{}",
            spec.name,
            process.last_words()
        );
    };
    ensure!(
        status.success(),
        "{} failed ({status}){}",
        spec.name,
        process.last_words()
    );
    std::fs::read_to_string(&output).with_context(|| format!("{} cannot be read", output.display()))
}

/// Standard error goes to `logs/NAME.log`, standard output to `logs/NAME.out`, which begins anew.
fn spawn(guard: &Guard, scratch: &Path, spec: &RoleSpec) -> anyhow::Result<(Process, PathBuf)> {
    let logs = scratch.join("logs");
    let output = logs.join(format!("{}.out", spec.name));
    let file =
        File::create(&output).with_context(|| format!("{} cannot be written", output.display()))?;
    let mut command = Command::new(&spec.program);
    command
        .args(&spec.args)
        .envs(spec.env.iter().map(|(name, value)| (name, value)));
    let log = logs.join(format!("{}.log", spec.name));
    let process = Process::spawn(guard, &spec.name, command, &log, Some(file))?;
    Ok((process, output))
}

fn parse_ready(name: &str, line: &str) -> anyhow::Result<Ready> {
    let ready: Ready = serde_json::from_str(line)
        .with_context(|| format!("{name} printed {line:?} instead of its ready line"))?;
    ensure!(ready.ready, "{name} says that it is not ready: {line}");
    Ok(ready)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_line_may_have_an_address() {
        let ready = parse_ready(
            "seckill",
            r#"{"ready":true,"role":"seckill","listen":"127.0.0.1:41234"}"#,
        );
        assert_eq!(
            ready.expect("valid").listen,
            Some("127.0.0.1:41234".parse().expect("an address"))
        );
        assert_eq!(
            parse_ready("r", r#"{"ready":true,"role":"r"}"#)
                .expect("valid")
                .listen,
            None
        );
        assert!(
            parse_ready("r", "hello")
                .unwrap_err()
                .to_string()
                .contains("hello")
        );
        assert!(parse_ready("r", r#"{"ready":false}"#).is_err());
    }
}
