//! Flame graphs of processes that are being measured, with the kernel's own sampler: `perf record`
//! while a phase runs, `perf script` afterwards, and inferno for the drawing.
//!
//! Stacks are unwound by the debug information that release builds have (line tables): frame
//! pointers are not kept in them, so that the cheaper way shows two callers at most. Inlined
//! functions are shown as a part of the one that they were inlined into; to look them up takes
//! perf minutes for what otherwise takes a second.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use inferno::collapse::Collapse;
use inferno::collapse::perf::Folder;
use inferno::flamegraph;
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};

/// Samples per second and core. Not a round number, so that it does not beat with timers that are.
const FREQUENCY: &str = "499";
/// Bytes of the stack that are copied with each sample: enough for nearly all stacks of nested
/// futures, and about 8 MB per second and busy core.
const CALL_GRAPH: &str = "dwarf,16384";
/// How long perf may take until it records.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long it may take to write down what it has.
const END_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);
const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";

/// A perf that works here.
#[derive(Clone, Debug)]
pub struct Profiler {
    perf: PathBuf,
}

/// Processes that are being sampled. Dropping it ends the sampling and keeps nothing.
#[derive(Debug)]
pub struct Recording {
    perf: PathBuf,
    samplers: Vec<Sampler>,
}

#[derive(Debug)]
struct Sampler {
    process: String,
    child: Child,
    data: PathBuf,
    log: PathBuf,
}

/// What came of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// One flame graph per process.
    pub graphs: Vec<PathBuf>,
    /// Processes that were never seen running.
    pub idle: Vec<String>,
}

impl Profiler {
    /// Finds perf and has it record a moment, so that a run which cannot be profiled does not even
    /// begin. It blocks for some 100 ms.
    ///
    /// # Errors
    /// Names what is missing: the program, or the permission.
    pub fn find() -> anyhow::Result<Self> {
        let perf = servers::programs::program(&["perf"]).context(
            "--profile needs perf, which is not on PATH; on Debian it is in the package linux-perf, \
             on Ubuntu in linux-tools-generic",
        )?;
        let folder = std::env::temp_dir();
        let data = folder.join(format!("perf-{:016x}.data", rand::random::<u64>()));
        let output = std::process::Command::new(&perf)
            .args(record_arguments(&data))
            .args(["--", "true"])
            .stdin(Stdio::null())
            .output();
        drop(std::fs::remove_file(&data));
        let output = output.with_context(|| format!("{} cannot be started", perf.display()))?;
        if !output.status.success() {
            bail!("{}", refusal(&String::from_utf8_lossy(&output.stderr)));
        }
        Ok(Self { perf })
    }

    /// Samples processes, by the names that their graphs are to have, until
    /// [`Recording::finish`]; returns once all of them are being sampled. What perf writes goes to
    /// `scratch`; `tag` is the environment entry by which the guard finds what is left of a run.
    pub async fn start(
        &self,
        processes: &BTreeMap<String, Vec<u32>>,
        scratch: &Path,
        tag: (&str, &str),
    ) -> anyhow::Result<Recording> {
        let mut samplers = Vec::new();
        for (process, pids) in processes {
            samplers.push(Sampler::start(&self.perf, process, pids, scratch, tag)?);
        }
        let deadline = Instant::now() + START_LIMIT;
        for sampler in &mut samplers {
            sampler.records(deadline).await?;
        }
        Ok(Recording {
            perf: self.perf.clone(),
            samplers,
        })
    }
}

impl Sampler {
    fn start(
        perf: &Path,
        process: &str,
        pids: &[u32],
        scratch: &Path,
        tag: (&str, &str),
    ) -> anyhow::Result<Self> {
        let (data, log) = ["data", "log"]
            .map(|ending| scratch.join(format!("perf-{process}.{ending}")))
            .into();
        let log_file = std::fs::File::create(&log)
            .with_context(|| format!("{} cannot be written", log.display()))?;
        drop(std::fs::remove_file(&data));
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let child = Command::new(perf)
            .args(record_arguments(&data))
            .args(["--pid", &pids.join(",")])
            .env(tag.0, tag.1)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file)
            .kill_on_drop(true)
            // Ctrl-C at the terminal is for the lab, which ends this one when its phase ends.
            .process_group(0)
            .spawn()
            .context("perf cannot be started")?;
        Ok(Self {
            process: process.to_owned(),
            child,
            data,
            log,
        })
    }

    /// Waits until perf has opened its file, which it does right before it begins.
    async fn records(&mut self, deadline: Instant) -> anyhow::Result<()> {
        while !self.data.exists() {
            if let Some(status) = self.child.try_wait()? {
                let words = std::fs::read_to_string(&self.log).unwrap_or_default();
                bail!(
                    "perf cannot sample {} ({status}): {}",
                    self.process,
                    last_line(&words)
                );
            }
            ensure!(
                Instant::now() < deadline,
                "perf does not begin to sample {} within {START_LIMIT:?}",
                self.process
            );
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Asks perf to write down what it has. It may have ended with the process that it sampled.
    async fn end(&mut self) -> anyhow::Result<()> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::INT);
        }
        let ended = tokio::time::timeout(END_LIMIT, self.child.wait()).await;
        ended.with_context(|| format!("perf does not finish {} in time", self.process))??;
        Ok(())
    }
}

impl Recording {
    /// Ends the sampling; from then on the processes may end. Draw the graphs with the result when
    /// nothing is measured any more: that takes a core for a while.
    pub async fn stop(mut self) -> anyhow::Result<Stopped> {
        for sampler in &mut self.samplers {
            sampler.end().await?;
        }
        let data = self.samplers.into_iter();
        Ok(Stopped {
            perf: self.perf,
            data: data
                .map(|sampler| (sampler.process, sampler.data))
                .collect(),
        })
    }
}

/// Samples on the disk.
#[derive(Clone, Debug)]
pub struct Stopped {
    perf: PathBuf,
    data: Vec<(String, PathBuf)>,
}

impl Stopped {
    /// Draws `STEM-PROCESS.svg` for each process, and removes the samples. It blocks.
    pub fn draw(self, stem: &Path) -> anyhow::Result<Profile> {
        let mut profile = Profile::default();
        for (process, data) in &self.data {
            let folded = fold(&self.perf, data)
                .with_context(|| format!("the samples of {process} cannot be read"))?;
            drop(std::fs::remove_file(data));
            if folded.is_empty() {
                profile.idle.push(process.clone());
                continue;
            }
            let mut name = stem.file_name().unwrap_or_default().to_owned();
            name.push(format!("-{process}.svg"));
            let path = stem.with_file_name(name);
            draw(process, &folded, &path)
                .with_context(|| format!("{} cannot be drawn", path.display()))?;
            profile.graphs.push(path);
        }
        Ok(profile)
    }
}

fn record_arguments(data: &Path) -> Vec<std::ffi::OsString> {
    let options = [
        "record",
        "-F",
        FREQUENCY,
        "-g",
        "--call-graph",
        CALL_GRAPH,
        "-o",
    ];
    let options = options.into_iter().map(Into::into);
    options.chain([data.into()]).collect()
}

/// Stacks and how often each was seen, one per line; empty where there are none.
fn fold(perf: &Path, data: &Path) -> anyhow::Result<Vec<u8>> {
    let mut script = std::process::Command::new(perf)
        .args(["script", "--no-inline", "--force", "-i"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("perf cannot be started")?;
    let output = script.stdout.take().context("perf has no output")?;
    let mut folded = Vec::new();
    let collapsed = Folder::default().collapse(BufReader::new(output), &mut folded);
    let status = script.wait()?;
    ensure!(status.success(), "perf script failed ({status})");
    collapsed?;
    Ok(folded)
}

fn draw(process: &str, folded: &[u8], path: &Path) -> anyhow::Result<()> {
    let mut options = flamegraph::Options::default();
    options.title = process.to_owned();
    options.subtitle = Some(format!("on-CPU samples, {FREQUENCY} per second and core"));
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    flamegraph::from_reader(&mut options, folded, &mut file)?;
    Ok(file.flush()?)
}

fn refusal(words: &str) -> String {
    let level = std::fs::read_to_string(PARANOID).unwrap_or_default();
    format!(
        "--profile: perf cannot record here ({}). kernel.perf_event_paranoid is {}; perf needs 2 or \
         less, or root: sudo sysctl kernel.perf_event_paranoid=1",
        last_line(words),
        if level.is_empty() {
            "absent"
        } else {
            level.trim()
        }
    )
}

fn last_line(words: &str) -> &str {
    let mut lines = words.lines().rev().map(str::trim);
    lines
        .find(|line| !line.is_empty())
        .unwrap_or("it gave no reason")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dropping it ends it.
    struct Running(std::process::Child);

    impl Running {
        fn start(script: &str) -> Self {
            let mut sh = std::process::Command::new("sh");
            sh.args(["-c", script]).stdin(Stdio::piped());
            Self(sh.spawn().expect("sh"))
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }

    #[tokio::test]
    async fn what_burns_is_drawn_and_what_sleeps_is_idle() {
        let profiler = match Profiler::find() {
            Ok(profiler) => profiler,
            Err(reason) => return eprintln!("ignored: {reason:#}"),
        };
        let folder = tempfile::tempdir().expect("a folder");
        let burner = Running::start("while :; do :; done");
        let sleeper = Running::start("read nothing");
        let processes = BTreeMap::from([
            ("burner".to_owned(), vec![burner.0.id()]),
            ("sleeper".to_owned(), vec![sleeper.0.id()]),
        ]);
        let recording = profiler
            .start(&processes, folder.path(), ("LAB_RUN_ID", "profile-test"))
            .await
            .expect("it records");
        let ticks = |child: &Running| {
            crate::usage::proc::stat(child.0.id())
                .expect("it runs")
                .cpu_ticks
        };
        // Half a second of CPU is some 250 samples, whatever else the machine does.
        let before = ticks(&burner);
        while ticks(&burner) < before + 50 {
            tokio::time::sleep(POLL).await;
        }
        let stopped = recording.stop().await.expect("it ends");
        let profile = stopped.draw(&folder.path().join("run-1")).expect("drawn");
        let path = folder.path().join("run-1-burner.svg");
        assert_eq!(profile.graphs, std::slice::from_ref(&path));
        assert_eq!(profile.idle, ["sleeper"]);
        let svg = std::fs::read_to_string(path).expect("a graph");
        assert!(svg.contains("<svg") && svg.contains("burner"), "{svg:.400}");
        // The program's name is the root of its stacks.
        assert!(svg.contains("<title>sh ("), "{svg:.2000}");
        assert!(
            !folder.path().join("perf-burner.data").exists(),
            "samples are left"
        );
    }

    #[tokio::test]
    async fn a_process_that_is_gone_is_named() {
        let profiler = match Profiler::find() {
            Ok(profiler) => profiler,
            Err(reason) => return eprintln!("ignored: {reason:#}"),
        };
        let folder = tempfile::tempdir().expect("a folder");
        let processes = BTreeMap::from([("seckill".to_owned(), vec![u32::MAX / 4])]);
        let tag = ("LAB_RUN_ID", "profile-test");
        let refused = profiler.start(&processes, folder.path(), tag).await;
        let refused = refused.expect_err("there is no such process").to_string();
        assert!(
            refused.starts_with("perf cannot sample seckill"),
            "{refused}"
        );
    }

    #[test]
    fn a_refusal_says_what_is_needed() {
        let refused = refusal("Error:\nNo permission to enable cpu-clock event.\n\n");
        assert!(
            refused.contains("(No permission to enable cpu-clock event.)"),
            "{refused}"
        );
        assert!(refused.contains("perf needs 2 or less"), "{refused}");
    }
}
