//! The closed phase of a plan with a real ghz, the tool that published figures were made with: so
//! they can be repeated with it, and the driver's own share becomes visible.
//!
//! ghz writes its report when it is done. What the report cannot tell is listed by
//! [`Report::blind_spots`].

mod install;
mod report;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use reports::result::{DriverKind, DriverRecord};
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};

pub use install::{Ghz, install};
pub use report::{Report, split_answered};

/// The wire contract, which ghz needs as text; a server need not offer reflection then.
const PROTO: &str = include_str!("../../system/proto/seckill.proto");
const CALL: &str = "seckill.SeckillService.ExecuteSeckill";

/// One run.
#[derive(Clone, Debug)]
pub struct GhzSpec<'a> {
    pub target: SocketAddr,
    /// Workers, each with one request at a time.
    pub workers: u32,
    pub requests: u64,
    pub connections: u32,
    pub timeout: Duration,
    /// As `loadgen::data::write_json` writes it; ghz goes through it in order, and begins anew at
    /// its end.
    pub data: &'a Path,
    /// Where the proto, the report and what ghz says are put, under this name with an ending.
    pub stem: &'a Path,
    /// Environment entry by which the guard finds the process.
    pub tag: (&'a str, &'a str),
}

/// A ghz at work. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    report: PathBuf,
    log: PathBuf,
}

impl Ghz {
    /// Starts it. It reads the data before it sends anything.
    pub fn start(&self, spec: &GhzSpec<'_>) -> anyhow::Result<Running> {
        let [proto, report, log] = ["proto", "ghz.json", "ghz.log"].map(|ending| {
            let mut name = spec.stem.as_os_str().to_owned();
            name.push(format!(".{ending}"));
            PathBuf::from(name)
        });
        let unwritable = |path: &Path| format!("{} cannot be written", path.display());
        std::fs::write(&proto, PROTO).with_context(|| unwritable(&proto))?;
        let log_file = std::fs::File::create(&log).with_context(|| unwritable(&log))?;
        let child = Command::new(self.program())
            .args(arguments(spec, &proto, &report))
            .env(spec.tag.0, spec.tag.1)
            // Instants in the report are then those of UTC.
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(log_file.try_clone()?)
            .stderr(log_file)
            .kill_on_drop(true)
            // Ctrl-C at the terminal reaches the lab alone, which then asks ghz to sum up.
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} cannot be started", self.program().display()))?;
        Ok(Running { child, report, log })
    }

    /// As a plan and its result state it. ghz runs on as many threads as the machine has cores.
    pub fn record(&self, spec: &GhzSpec<'_>) -> DriverRecord {
        let cores = std::thread::available_parallelism();
        DriverRecord {
            kind: DriverKind::Ghz,
            version: self.version().to_owned(),
            threads: cores.map_or(1, |cores| cores.get() as u32),
            connections: spec.connections,
            timeout_ns: u64::try_from(spec.timeout.as_nanos()).unwrap_or(u64::MAX),
            tls: false,
            pacing: None,
        }
    }
}

impl Running {
    /// None once it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Asks it to give up what is open and to sum up what it has.
    pub fn interrupt(&self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // It may have ended by itself meanwhile, which is just as good.
            let _ = rustix::process::kill_process(pid, Signal::INT);
        }
    }

    /// Waits for its end, and reads its report. It can be called again after it was cut short.
    ///
    /// # Errors
    /// With ghz's own words when it failed, for example because the target does not answer.
    pub async fn finish(&mut self) -> anyhow::Result<Report> {
        let status = self.child.wait().await?;
        if !status.success() {
            bail!("{}", self.failure(status));
        }
        let path = self.report.clone();
        let reading = tokio::task::spawn_blocking(move || Report::read(&path));
        reading.await?
    }

    fn failure(&self, status: ExitStatus) -> String {
        let words = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last = words.lines().rev().find(|line| !line.trim().is_empty());
        format!(
            "ghz failed ({status}): {}",
            last.unwrap_or("it gave no reason")
        )
    }
}

fn arguments(spec: &GhzSpec<'_>, proto: &Path, report: &Path) -> Vec<OsString> {
    let timeout_ms = spec.timeout.as_millis();
    let mut arguments: Vec<OsString> = ["--insecure", "--call", CALL, "--format=json"]
        .map(Into::into)
        .to_vec();
    for (option, value) in [
        ("--proto", proto.as_os_str()),
        ("--data-file", spec.data.as_os_str()),
        ("--output", report.as_os_str()),
    ] {
        arguments.extend([option.into(), value.to_owned()]);
    }
    arguments.extend(
        [
            format!("--concurrency={}", spec.workers),
            format!("--total={}", spec.requests),
            format!("--connections={}", spec.connections),
            format!("--timeout={timeout_ms}ms"),
            // Latencies of failures count as well: a buyer has waited for them.
            "--count-errors".to_owned(),
            spec.target.to_string(),
        ]
        .map(Into::into),
    );
    arguments
}
