//! Where ghz is, and how it is put there: built from its source with Go, which checks it against
//! Go's own checksum database.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use servers::programs::program;

use crate::kept;

const MODULE: &str = "github.com/bojand/ghz";
/// What `lab setup --ghz` installs.
const VERSION: &str = "v0.120.0";
/// Where Go's own archive is unpacked, which need not be on PATH.
const GO_HOME: &str = "/usr/local/go/bin/go";
/// What a ghz that was built from its source says instead of its version.
const NO_VERSION: &str = "dev";

/// A ghz that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ghz {
    program: PathBuf,
    version: String,
}

impl Ghz {
    /// The one on PATH, else the one that `lab setup --ghz` has installed.
    ///
    /// # Errors
    /// Says how to get one.
    pub fn find() -> anyhow::Result<Self> {
        let found = program(&["ghz"]).or_else(|| installed().filter(|path| path.is_file()));
        let found = found.context(
            "ghz is not on PATH; `lab setup --ghz` builds it with Go, or see https://ghz.sh",
        )?;
        Self::at(found)
    }

    fn at(program: PathBuf) -> anyhow::Result<Self> {
        let output = Command::new(&program)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        // It prints its version on either stream, depending on how it was built.
        let text = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&text).trim().to_owned();
        ensure!(
            output.status.success() && !told.is_empty(),
            "{} does not tell its version",
            program.display()
        );
        let version = match told.as_str() {
            NO_VERSION => built_from(&program).unwrap_or(told),
            _ => told,
        };
        Ok(Self { program, version })
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// As in `v0.120.0`; `dev` where it cannot be found out.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// Of the lab's own, by its folder; of another, Go can tell.
fn built_from(program: &Path) -> Option<String> {
    if installed().as_deref() == Some(program) {
        return Some(VERSION.to_owned());
    }
    let mut ask = Command::new(go()?);
    let output = ask.args(["version", "-m"]).arg(program).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    version_of_module(&text)
}

/// From `mod github.com/bojand/ghz v0.120.0 h1:…` among the lines of `go version -m`.
fn version_of_module(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let is_module = words.next() == Some("mod") && words.next() == Some(MODULE);
        is_module.then(|| words.next().map(str::to_owned)).flatten()
    })
}

fn go() -> Option<PathBuf> {
    let home = || Some(PathBuf::from(GO_HOME)).filter(|path| path.is_file());
    program(&["go"]).or_else(home)
}

/// The lab's own.
fn installed() -> Option<PathBuf> {
    Some(kept::folder(&format!("ghz-{VERSION}"))?.join("ghz"))
}

/// `lab setup --ghz`: the ghz that is there, or one that is built now. It blocks, for some minutes
/// when nothing was downloaded before, and prints the command before it runs it.
///
/// # Errors
/// Where Go is missing, says where to get it.
pub fn install() -> anyhow::Result<Ghz> {
    if let Ok(ghz) = Ghz::find() {
        return Ok(ghz);
    }
    let go = go().context(
        "ghz is built with Go, which is not on PATH: install it (https://go.dev/dl, or the package \
         golang-go), or put a ghz on PATH",
    )?;
    let path = installed().context("there is no home folder to keep ghz in")?;
    let folder = path.parent().context("no folder")?;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    let source = format!("{MODULE}/cmd/ghz@{VERSION}");
    eprintln!(
        "GOBIN={} {} install {source}",
        folder.display(),
        go.display()
    );
    let status = Command::new(&go)
        .args(["install", &source])
        .env("GOBIN", folder)
        // So that no C compiler is needed.
        .env("CGO_ENABLED", "0")
        .current_dir(folder)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("{} cannot be started", go.display()))?;
    ensure!(status.success(), "go install {source} failed ({status})");
    Ghz::at(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_tells_the_version_of_what_it_has_built() {
        let text = "/x/ghz: go1.26.8\n\tpath\tgithub.com/bojand/ghz/cmd/ghz\n\
                    \tmod\tgithub.com/bojand/ghz\tv0.120.0\th1:abc=\n\tdep\tmod v1 h1:x\n";
        assert_eq!(version_of_module(text).as_deref(), Some("v0.120.0"));
        assert_eq!(version_of_module("not a Go binary"), None);
    }
}
