//! `lab history`: the file of a history, which several processes may append to. What a line holds,
//! what is refused and what changes is decided in `reports::history`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, Subcommand};
use reports::history::{self, Added, Adding};
use reports::result::Run;
use reports::view::{self, HistoryFilter};

use super::{UsageError, read_result};
use crate::bench;

/// Nobody holds the file for longer than it takes to read and to append.
const LOCK_WAIT: Duration = Duration::from_secs(30);
const LOCK_LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, Subcommand)]
pub(super) enum History {
    /// Append the ratios of gate results (`lab regress --base ANCHOR`), all of them or none
    Add(AddArgs),
    /// Show each series of commits with its ratios, and the commits at which they changed
    Show(ShowArgs),
}

#[derive(Args, Debug)]
pub(super) struct AddArgs {
    /// Results of `lab regress`, each with the anchor as its base
    #[arg(required = true, value_name = "RESULT")]
    results: Vec<PathBuf>,
    #[command(flatten)]
    file: HistoryFile,
    /// Accept heads that were built with changes that no commit holds, and mark them
    #[arg(long)]
    allow_dirty: bool,
    /// Accept another anchor than before: a new segment begins, and is not compared with the old one
    #[arg(long)]
    new_anchor: bool,
    /// Accept commits that are in the history already: of the repeats the latest counts
    #[arg(long)]
    again: bool,
}

#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    file: HistoryFile,
    /// Only this scenario
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Only this metric, for example p99_ms
    #[arg(long, value_name = "METRIC")]
    metric: Option<String>,
    /// Print the lines as they stand in the file instead
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct HistoryFile {
    /// The history: one line of JSON per commit, machine class and scenario
    #[arg(long = "file", value_name = "FILE", default_value = "history.jsonl")]
    path: PathBuf,
}

pub(super) fn run(command: &History) -> anyhow::Result<()> {
    match command {
        History::Add(arguments) => add(arguments),
        History::Show(arguments) => show(arguments),
    }
}

fn add(arguments: &AddArgs) -> anyhow::Result<()> {
    let path = &arguments.file.path;
    let mut runs = Vec::new();
    for result in &arguments.results {
        runs.push((result.as_path(), read_result(result)?));
    }
    // A refusal leaves no empty file behind.
    if !path.exists() {
        add_all(&mut history::History::default(), &runs, arguments)?;
    }
    let mut options = OpenOptions::new();
    let mut file = open(path, options.read(true).append(true).create(true))?;
    lock(&file, path, File::try_lock)?;
    let (mut history, length) = read_history(&mut file, path)?;
    let known = history.entries().len();
    let added = add_all(&mut history, &runs, arguments)?;
    let lines = history.entries()[known..].iter();
    let text: String = lines.map(|entry| format!("{}\n", entry.text)).collect();
    append(&mut file, &text, length, path)?;
    if length == 0 {
        sync_folder(path)?;
    }
    for added in added {
        for line in &added.lines {
            println!(
                "added to {}: {} at commit {}, against the anchor {}{}",
                path.display(),
                line.key.described(),
                line.head.short(),
                line.anchor.short(),
                if line.segment > 1 {
                    format!(", segment {}", line.segment)
                } else {
                    String::new()
                },
            );
        }
        for head in &added.identical {
            println!(
                "not added: the build of {} is the anchor's, byte for byte, so nothing was measured",
                head.short()
            );
        }
        for why in &added.left_out {
            println!("not added: {why}");
        }
    }
    Ok(())
}

fn show(arguments: &ShowArgs) -> anyhow::Result<()> {
    let path = &arguments.file.path;
    if !path.exists() {
        return Err(UsageError(format!(
            "there is no history {}; `lab history add RESULT` begins one",
            path.display()
        ))
        .into());
    }
    let mut file = open(path, OpenOptions::new().read(true))?;
    lock(&file, path, File::try_lock_shared)?;
    let (history, _) = read_history(&mut file, path)?;
    drop(file);
    let filter = HistoryFilter {
        scenario: arguments.scenario.as_deref(),
        metric: arguments.metric.as_deref(),
    };
    let lines = || history.entries().iter().map(|entry| &entry.line);
    let scenarios = lines().map(|line| line.key.scenario.as_str());
    refuse_unknown("scenario", filter.scenario, scenarios)?;
    let metrics = lines().flat_map(|line| line.metrics.keys().map(String::as_str));
    refuse_unknown("metric", filter.metric, metrics)?;
    if arguments.json {
        let kept = history
            .entries()
            .iter()
            .filter(|entry| filter.keeps(&entry.line));
        bench::show(
            &kept
                .map(|entry| format!("{}\n", entry.text))
                .collect::<String>(),
        );
    } else {
        bench::show(&view::history(&history, filter, bench::screen()));
    }
    Ok(())
}

fn refuse_unknown<'a>(
    kind: &str,
    wanted: Option<&str>,
    known: impl Iterator<Item = &'a str>,
) -> Result<(), UsageError> {
    let Some(wanted) = wanted else { return Ok(()) };
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    known.dedup();
    if known.contains(&wanted) {
        return Ok(());
    }
    let known = known.join(", ");
    Err(UsageError(format!(
        "the history has no {kind} {wanted:?}; known: {known}"
    )))
}

/// Adds every result to the history in memory.
fn add_all(
    history: &mut history::History,
    runs: &[(&Path, Run)],
    arguments: &AddArgs,
) -> Result<Vec<Added>, UsageError> {
    let how = Adding {
        allow_dirty: arguments.allow_dirty,
        new_anchor: arguments.new_anchor,
        again: arguments.again,
    };
    let add = |(path, run): &(&Path, Run)| {
        let added = history.add(run, how);
        added.map_err(|refused| UsageError(format!("{}: {refused}", path.display())))
    };
    runs.iter().map(add).collect()
}

fn open(path: &Path, options: &OpenOptions) -> Result<File, UsageError> {
    options
        .open(path)
        .map_err(|error| UsageError(format!("{} cannot be opened: {error}", path.display())))
}

/// Waits until nobody else holds the file; it is let go of when it is closed.
fn lock(
    file: &File,
    path: &Path,
    attempt: fn(&File) -> Result<(), TryLockError>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match attempt(file) {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_LOOK);
            }
            Err(TryLockError::WouldBlock) => anyhow::bail!(
                "{} has been held by another process for {}",
                path.display(),
                humantime::format_duration(LOCK_WAIT)
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("{} cannot be locked", path.display()));
            }
        }
    }
}

/// The history with the length of its file in bytes.
fn read_history(file: &mut File, path: &Path) -> Result<(history::History, u64), UsageError> {
    let refused = |why: String| UsageError(format!("{}: {why}", path.display()));
    let mut text = String::new();
    file.read_to_string(&mut text)
        .map_err(|error| refused(error.to_string()))?;
    let history = history::History::parse(&text).map_err(|error| refused(error.to_string()))?;
    Ok((history, text.len() as u64))
}

/// Appends all or nothing, and returns when it is on the disk. Says so where it could do neither.
fn append(file: &mut File, text: &str, length: u64, path: &Path) -> anyhow::Result<()> {
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    let Err(error) = written else { return Ok(()) };
    let shown = path.display();
    let undone = file.set_len(length);
    Err(error).with_context(|| match undone {
        Ok(()) => format!("{shown} was not changed"),
        Err(undoing) => format!(
            "{shown} may end in a part of the new lines, because it could not be cut back to {length} bytes \
             ({undoing})"
        ),
    })
}

/// A new file is there after a power cut only if its folder was written, too.
fn sync_folder(path: &Path) -> anyhow::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("{} cannot be written to disk", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that is open for reading can neither be written nor cut.
    #[test]
    fn a_file_that_could_not_be_cut_back_is_not_called_unchanged() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("history.jsonl");
        std::fs::write(&path, "a line\n").expect("written");
        let mut read_only = File::open(&path).expect("opened");
        let error = append(&mut read_only, "another\n", 7, &path).expect_err("it is refused");
        let said = format!("{error:#}");
        assert!(!said.contains("was not changed"), "{said}");
        assert!(said.contains("could not be cut back to 7 bytes"), "{said}");
    }
}
