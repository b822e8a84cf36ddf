//! The system's binary: where it is, how it is built, and which engines it knows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::scenario::Scenario;

/// As this binary was built; the system is built the same way.
pub const PROFILE: &str = if cfg!(debug_assertions) {
    "debug"
} else {
    "release"
};

/// Environment variable with the path of the system's binary, which is then not built.
pub const PROGRAM_VARIABLE: &str = "LAB_SECKILL";

/// The setting without which the roles refuse an unsafe engine.
pub(super) const ALLOW_UNSAFE: &str = "SECKILL__ENGINE__ALLOW_UNSAFE";

/// One engine, as `seckill engines --json` lists it. Further fields are ignored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EngineEntry {
    pub name: String,
    #[serde(default)]
    pub about: String,
    #[serde(default)]
    pub needs: Vec<String>,
    #[serde(default)]
    pub params: Vec<ParamEntry>,
    #[serde(default)]
    pub guarantees: serde_json::Value,
    /// It breaks the contract on purpose.
    #[serde(default, rename = "unsafe")]
    pub is_unsafe: bool,
}

/// One parameter of an engine.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ParamEntry {
    pub name: String,
    /// Type and bounds in words, `integer 1..=1024`.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// Its value when it is not given.
    #[serde(default)]
    pub default: String,
    #[serde(default)]
    pub about: String,
}

/// Prefix in the name of a guarantee that the engine asks for instead of giving it.
const ASKS: &str = "needs_";

impl EngineEntry {
    /// The guarantees that the engine gives, in words: `survives process kill`.
    pub fn promises(&self) -> Vec<String> {
        self.flags()
            .filter(|name| !name.starts_with(ASKS))
            .map(in_words)
            .collect()
    }

    /// What the engine asks of its surroundings besides servers: `user affinity`.
    pub fn asks(&self) -> Vec<String> {
        self.flags()
            .filter_map(|name| name.strip_prefix(ASKS))
            .map(in_words)
            .collect()
    }

    /// Every guarantee and whether it is given.
    pub fn guarantee_flags(&self) -> BTreeMap<String, bool> {
        let all = self.guarantees.as_object().into_iter().flatten();
        all.filter_map(|(name, given)| Some((name.clone(), given.as_bool()?)))
            .collect()
    }

    fn flags(&self) -> impl Iterator<Item = &str> {
        let all = self.guarantees.as_object().into_iter().flatten();
        all.filter(|(_, given)| given.as_bool() == Some(true))
            .map(|(name, _)| name.as_str())
    }
}

fn in_words(name: &str) -> String {
    name.replace('_', " ")
}

/// The workspace that holds this binary or the current folder.
pub fn workspace() -> Option<PathBuf> {
    let starts = [std::env::current_exe().ok(), std::env::current_dir().ok()];
    let is_root = |folder: &Path| {
        folder.join("Cargo.toml").is_file()
            && folder.join("system/Cargo.toml").is_file()
            && folder.join("scenarios/Cargo.toml").is_file()
    };
    starts.into_iter().flatten().find_map(|start| {
        start
            .ancestors()
            .find(|folder| is_root(folder))
            .map(Path::to_path_buf)
    })
}

/// Builds the system's binary with the profile of this binary, and returns its path. Outside the
/// workspace it is expected beside this binary.
pub fn build() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os(PROGRAM_VARIABLE) {
        let path = PathBuf::from(path);
        ensure!(
            path.is_file(),
            "{PROGRAM_VARIABLE} names {}, which is not a file",
            path.display()
        );
        return Ok(path);
    }
    let here = std::env::current_exe().context("this binary does not know where it is")?;
    // A test's binary lies one folder deeper, in `deps`.
    let mut folder = here
        .parent()
        .context("this binary has no folder")?
        .to_path_buf();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let program = folder.join("seckill");
    if let Some(workspace) = workspace() {
        cargo_build(&workspace, &folder)?;
    }
    ensure!(
        program.is_file(),
        "the system's binary is not at {}; set {PROGRAM_VARIABLE} to its path",
        program.display()
    );
    Ok(program)
}

/// Where `cargo test --workspace` puts the system's binary before it runs the tests; without a folder
/// of builds, nowhere.
pub fn of_tests() -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    let builds = here.parent()?.parent()?;
    Some(builds.join("debug/seckill"))
}

fn cargo_build(workspace: &Path, folder: &Path) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(workspace)
        .args(["build", "--package", "system", "--bin", "seckill"]);
    if PROFILE == "release" {
        command.arg("--release");
    }
    if let Some(target) = folder.parent().filter(|_| folder.ends_with(PROFILE)) {
        command.arg("--target-dir").arg(target);
    }
    // Standard output belongs to the lab's own result.
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let status = command
        .status()
        .context("cargo cannot be started to build the system's binary")?;
    ensure!(
        status.success(),
        "building the system's binary failed ({status})"
    );
    Ok(())
}

/// Asks the binary itself, so that engines which another project's `main` registers are listed too.
pub fn engines(program: &Path) -> anyhow::Result<Vec<EngineEntry>> {
    let output = ask(program, "engines", &["--json".to_owned()])?;
    ensure!(
        output.status.success(),
        "seckill engines failed: {}",
        last_words(&output)
    );
    serde_json::from_slice(&output.stdout)
        .context("seckill engines printed something other than its list")
}

/// Why the binary refuses one of these engines (`name?key=value`) for a sale of `stock` units; none
/// if it accepts them all. Only the binary knows the names, parameters and values that are allowed.
pub(super) fn refusal(
    program: &Path,
    scenario: &Scenario,
    stock: i64,
    overrides: &BTreeMap<String, String>,
) -> anyhow::Result<Option<String>> {
    let engines = scenario.engines.iter();
    let checks = engines.map(|engine| format!("--check={engine}"));
    let mut arguments: Vec<String> = checks.chain([format!("--stock={stock}")]).collect();
    let by_setting = overrides.get(ALLOW_UNSAFE);
    if scenario.unsafe_engines || by_setting.is_some_and(|value| value == "true") {
        arguments.push("--allow-unsafe".to_owned());
    }
    let output = ask(program, "engines", &arguments)?;
    Ok(refused(&output))
}

/// Why the binary refuses one of these settings of the roles (`SECKILL__SECTION__KEY` and value);
/// none if it accepts them all. Only the binary knows which there are, and what each one takes.
pub fn settings_refusal(
    program: &Path,
    overrides: &BTreeMap<String, String>,
) -> anyhow::Result<Option<String>> {
    if overrides.is_empty() {
        return Ok(None);
    }
    let pairs = overrides.iter();
    let pairs = pairs.map(|(key, value)| format!("--check={key}={value}"));
    let output = ask(program, "settings", &pairs.collect::<Vec<_>>())?;
    Ok(refused(&output))
}

fn refused(output: &Output) -> Option<String> {
    let words = last_words(output);
    (!output.status.success()).then(|| words.strip_prefix("error: ").unwrap_or(&words).to_owned())
}

fn ask(program: &Path, what: &str, arguments: &[String]) -> anyhow::Result<Output> {
    let mut command = Command::new(program);
    command.arg(what).args(arguments).stdin(Stdio::null());
    command
        .output()
        .with_context(|| format!("{} cannot be started", program.display()))
}

fn last_words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// `lua-single-key` of `lua-single-key?x=1`.
pub fn engine_name(specification: &str) -> &str {
    specification.split('?').next().unwrap_or(specification)
}
