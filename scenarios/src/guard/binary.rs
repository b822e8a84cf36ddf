//! Where the `lab` executable is that acts as the guard: this one, the one beside this test, or a
//! fresh build.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::bench::system_binary;

const NAME: &str = "lab";

/// The executable; built with cargo when a test needs it and nobody has built it yet.
pub fn command() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe().context("this binary does not know where it is")?;
    if here.file_name().is_some_and(|name| name == NAME) {
        return Ok(here);
    }
    // The file was replaced while it ran; the kernel still has it.
    if here.file_name().is_some_and(|name| name == "lab (deleted)") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    let beside = target_folder(&here)?.join(NAME);
    if beside.is_file() {
        Ok(beside)
    } else {
        build()
    }
}

/// A test's binary lies one folder deeper than the programs, in `deps`, and an example in
/// `examples`.
fn target_folder(here: &Path) -> anyhow::Result<PathBuf> {
    let folder = here.parent().context("this binary has no folder")?;
    let is_below = folder.ends_with("deps") || folder.ends_with("examples");
    Ok(if is_below {
        folder.parent().context("no folder above")?
    } else {
        folder
    }
    .to_path_buf())
}

/// Builds it into the folder that this binary comes from.
pub(super) fn build() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe().context("this binary does not know where it is")?;
    let folder = target_folder(&here)?;
    let workspace = system_binary::workspace()
        .context("the guard needs the lab binary, and this is not its workspace")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace).args([
        "build",
        "--quiet",
        "--package",
        "scenarios",
        "--bin",
        NAME,
    ]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    if let Some(target) = folder.parent() {
        command.arg("--target-dir").arg(target);
    }
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("cargo cannot be started")?;
    ensure!(
        status.success(),
        "building the lab binary, which acts as the guard, failed ({status})"
    );
    let lab = folder.join(NAME);
    ensure!(
        lab.is_file(),
        "the lab binary was built, but is not at {}",
        lab.display()
    );
    Ok(lab)
}
