//! What counts instructions: valgrind and gungraun's runner. Which release fits, what is missing,
//! and the `main` of a bench that needs both.

use crate::programs::{program, version};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// The runner's release must be that of the library in Cargo.lock.
pub const RUNNER_VERSION: &str = "0.20.0";
/// The name of the runner's program and of its package.
pub const RUNNER: &str = "gungraun-runner";
/// The name of valgrind's program and of its package.
pub const VALGRIND: &str = "valgrind";

/// The runner calls a bench again for every single count.
const CALL_OF_THE_RUNNER: &str = "--gungraun-run";

/// The `main` of a bench: counts with `run`, or says in one line why it cannot. `cargo test
/// --all-targets` comes here too, and a test has run the bodies already.
pub fn main(run: impl FnOnce()) -> ExitCode {
    let args: Vec<_> = std::env::args().collect();
    let is_called_with = |wanted| args.iter().any(|arg| arg == wanted);
    if !is_called_with(CALL_OF_THE_RUNNER) {
        let reason = match is_called_with("--bench") {
            true => missing(),
            false => Some("only `cargo bench` counts".to_owned()),
        };
        if let Some(reason) = reason {
            eprintln!("skipped: {reason}");
            return ExitCode::SUCCESS;
        }
    }
    run();
    ExitCode::SUCCESS
}

/// What a bench cannot count without, and how to get it.
fn missing() -> Option<String> {
    if program(&[VALGRIND]).is_none() {
        return Some("valgrind is not installed (apt-get install valgrind)".to_owned());
    }
    let runner = option_env!("GUNGRAUN_RUNNER").unwrap_or(RUNNER);
    let answers = Command::new(runner)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let install = format!("cargo install {RUNNER} --version {RUNNER_VERSION}");
    (!answers).then(|| format!("{runner} is not installed ({install})"))
}

/// The release of the runner at `path`, as in `0.20.0`; `None` if it is no runner.
pub fn runner_version(path: &Path) -> Option<String> {
    let told = version(path);
    told.strip_prefix(RUNNER)
        .map(|release| release.trim().to_owned())
}
