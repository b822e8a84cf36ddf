//! The programs that count instructions: where valgrind and gungraun's runner are, and how the
//! runner is put there: built from its source by cargo. Valgrind is a package, and so the business
//! of set-up.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use servers::counting::{RUNNER, RUNNER_VERSION, VALGRIND, runner_version};
use servers::programs::program;

use crate::kept;

/// What a missing program is installed with.
const SET_UP: &str = "`lab setup --instructions` installs it";

/// Both of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    pub valgrind: PathBuf,
    pub runner: PathBuf,
}

impl Counter {
    /// Programs that count for benches which were built with release `version` of gungraun: a
    /// runner of any other refuses them.
    ///
    /// # Errors
    /// Says in a few words what is missing, and how to get it.
    pub fn find(version: &str) -> anyhow::Result<Self> {
        let valgrind = valgrind()?;
        let on_path = program(&[RUNNER]);
        let candidates = on_path.clone().into_iter().chain(installed(version));
        let fitting = candidates
            .into_iter()
            .find(|path| runner_version(path).as_deref() == Some(version));
        let runner = fitting.with_context(|| match (on_path, version) {
            (Some(path), _) => format!(
                "{} is not release {version}, which the benches are built with",
                path.display()
            ),
            (None, RUNNER_VERSION) => format!("no {RUNNER}; {SET_UP}"),
            (None, _) => {
                format!("no {RUNNER} of release {version}, which the benches are built with")
            }
        })?;
        Ok(Self { valgrind, runner })
    }

    /// PATH with both programs in front, as the benches look for them there.
    ///
    /// # Errors
    /// Where one lies in a folder with a colon in its name.
    pub fn path(&self) -> anyhow::Result<std::ffi::OsString> {
        let mut folders: Vec<PathBuf> = [&self.runner, &self.valgrind]
            .iter()
            .filter_map(|program| Some(program.parent()?.to_owned()))
            .collect();
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        folders.extend(std::env::split_paths(&inherited));
        std::env::join_paths(folders).context("a folder cannot be put on PATH")
    }
}

/// # Errors
/// Says that it is missing, and how to get it.
pub fn valgrind() -> anyhow::Result<PathBuf> {
    program(&[VALGRIND]).with_context(|| format!("no {VALGRIND}; {SET_UP}"))
}

/// The lab's own runner.
fn installed(version: &str) -> Option<PathBuf> {
    let path = folder(version)?.join("bin").join(RUNNER);
    path.is_file().then_some(path)
}

fn folder(version: &str) -> Option<PathBuf> {
    kept::folder(&format!("{RUNNER}-{version}"))
}

/// `lab setup --instructions`, once valgrind is there: the runner that is there, or one that is
/// built now. It blocks, for a minute or two when it builds, and prints the command before it runs
/// it.
///
/// # Errors
/// When cargo is missing, or cannot build it.
pub fn install() -> anyhow::Result<Counter> {
    if let Ok(counter) = Counter::find(RUNNER_VERSION) {
        return Ok(counter);
    }
    let root = folder(RUNNER_VERSION).context("there is no home folder to keep the runner in")?;
    build(&root)?;
    Counter::find(RUNNER_VERSION)
}

fn build(root: &Path) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let args = ["install", RUNNER, "--version", RUNNER_VERSION, "--locked"];
    eprintln!("cargo {} --root {}", args.join(" "), root.display());
    let status = Command::new(&cargo)
        .args(args)
        .arg("--root")
        .arg(root)
        .stdin(Stdio::null())
        .status()
        .context("cargo cannot be started")?;
    ensure!(
        status.success(),
        "cargo install {RUNNER} failed ({status}); see above"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_that_is_not_there_is_named() {
        let Err(error) = Counter::find("0.0.1") else {
            panic!("there is no such release");
        };
        let said = format!("{error:#}");
        assert!(
            said.contains("0.0.1") || said.starts_with("no valgrind"),
            "{said}"
        );
    }

    #[test]
    fn both_programs_come_first_on_the_path() {
        let counter = Counter {
            valgrind: "/v/valgrind".into(),
            runner: "/r/bin/gungraun-runner".into(),
        };
        let path = counter.path().expect("a path");
        let first: Vec<_> = std::env::split_paths(&path).take(2).collect();
        assert_eq!(first, [PathBuf::from("/r/bin"), PathBuf::from("/v")]);
    }
}
