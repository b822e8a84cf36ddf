//! Instruction counts of two checked-out trees, and what separates them. They repeat to the last
//! instruction where no hash map is involved, and to about half a percent on the request path, so a
//! few percent are seen where times show none; and they say nothing of waiting, so they inform a
//! gate and decide it only where that is asked for.

mod compared;
mod summary;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail, ensure};

use crate::counter::Counter;

pub use compared::{Compared, STRICT_RATIO_MAX, compare, not_measured};

/// The target of a package that counts.
const BENCH: &str = "instructions";
/// The packages that may have it. A tree without one of them is not at fault: it is older.
const PACKAGES: [&str; 3] = ["engines", "system", "loadgen"];
/// What would change what is counted, or where it goes.
const FOREIGN_VARIABLES: [&str; 2] = ["GUNGRAUN_", "IAI_CALLGRIND_"];
/// The last lines of what cargo said, in an error.
const LINES_SHOWN: usize = 12;

/// What the benches of one tree have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instructions by `package/function/case`; none is 0.
    pub instructions: BTreeMap<String, u64>,
}

/// Runs the instruction benches of the workspace at `tree`, built under `target_dir`. It blocks,
/// for some minutes where their release build is not there yet.
///
/// # Errors
/// When valgrind, or the runner of the tree's release of gungraun, is not installed; when the tree
/// has no such bench; when one does not build or run. A gate tells it as [`not_measured`].
pub fn counts(tree: &Path, target_dir: &Path) -> anyhow::Result<Counts> {
    let packages: Vec<&str> = PACKAGES
        .into_iter()
        .filter(|package| has_bench(tree, package))
        .collect();
    ensure!(
        !packages.is_empty(),
        "no bench `{BENCH}` in any of {}",
        PACKAGES.join(", ")
    );
    let counter = Counter::find(&gungraun_version(tree)?)?;
    std::fs::create_dir_all(target_dir)
        .with_context(|| format!("{} cannot be made", target_dir.display()))?;
    // A home of its own, so that nothing is compared with an earlier count.
    let home = tempfile::tempdir_in(target_dir).context("no temporary folder")?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if FOREIGN_VARIABLES.iter().any(|it| text.starts_with(it)) {
            cargo.env_remove(&name);
        }
    }
    cargo.args(["bench", "--locked"]);
    for package in &packages {
        cargo.args(["--package", package]);
    }
    cargo
        .args(["--bench", BENCH, "--", "--output-format=json"])
        .current_dir(tree)
        .env("PATH", counter.path()?)
        .env("CARGO_TARGET_DIR", target_dir)
        .env("GUNGRAUN_HOME", home.path())
        .stdin(Stdio::null());
    let output = cargo.output().context("cargo cannot be started")?;
    read(&output, &packages)
}

fn has_bench(tree: &Path, package: &str) -> bool {
    let file = tree.join(package).join("benches").join(BENCH);
    file.with_extension("rs").is_file()
}

/// The release in the tree's lock, which the runner has to be of, too.
fn gungraun_version(tree: &Path) -> anyhow::Result<String> {
    let path = tree.join("Cargo.lock");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    locked_version(&text).with_context(|| format!("{} has no gungraun", path.display()))
}

fn locked_version(lock: &str) -> Option<String> {
    let (_, rest) = lock.split_once("name = \"gungraun\"\nversion = \"")?;
    rest.split_once('"').map(|(version, _)| version.to_owned())
}

/// What one call of cargo has counted, each package of `packages` included.
fn read(output: &Output, packages: &[&str]) -> anyhow::Result<Counts> {
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("the benches failed ({}):\n{}", output.status, end_of(&said));
    }
    let counts = summary::read(&String::from_utf8_lossy(&output.stdout))?;
    for package in packages {
        let is_its_own = |name: &String| name.split('/').next() == Some(package);
        ensure!(
            counts.instructions.keys().any(is_its_own),
            "the bench of {package} has counted nothing"
        );
    }
    Ok(counts)
}

fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

impl fmt::Display for Counts {
    /// A line for each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in &self.instructions {
            writeln!(f, "{name:<56} {count:>14}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
