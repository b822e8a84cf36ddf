//! For build scripts: what a binary can say about the sources and the compiler that it was made
//! with. [`emit`] hands it to the crate as environment variables, which the crate reads with
//! `env!`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Of the build's environment.
const COMMIT: &str = "IDENTITY_COMMIT";

/// Sets, for the crate that is being built:
///
/// - `BUILD_COMMIT`: the commit in twelve digits; empty outside of a git repository.
/// - `BUILD_DIRTY`: `true` if one of `sources` differs from that commit.
/// - `BUILD_SOURCES`: both in words, `c04e9fa45b70 with changes`.
/// - `BUILD_PROFILE`: `release` or `debug`.
/// - `BUILD_RUSTC`: version of the compiler, `1.95.0`.
///
/// A variable `IDENTITY_COMMIT` of the build's own environment takes the place of the commit, as it is and
/// without changes; empty, it makes binaries that do not say from which commit they are, so that
/// equal sources make equal bytes.
///
/// `sources` are the files and folders that the binary is made of, relative to the crate's own
/// folder. Cargo runs the build script again when they change, which builds the crate anew anyway,
/// and after a commit.
pub fn emit(sources: &[&str]) {
    for path in sources {
        println!("cargo:rerun-if-changed={path}");
    }
    println!("cargo:rerun-if-env-changed={COMMIT}");
    let (commit, changes) = match std::env::var(COMMIT) {
        Ok(given) => (given, String::new()),
        Err(_) => from_git(sources),
    };
    let words = match (commit.as_str(), changes.is_empty()) {
        ("", _) => "no commit".to_owned(),
        (commit, true) => commit.to_owned(),
        (commit, false) => format!("{commit} with changes"),
    };
    println!("cargo:rustc-env=BUILD_COMMIT={commit}");
    println!("cargo:rustc-env=BUILD_DIRTY={}", !changes.is_empty());
    println!("cargo:rustc-env=BUILD_SOURCES={words}");
    let profile = std::env::var("PROFILE").unwrap_or_default();
    println!("cargo:rustc-env=BUILD_PROFILE={profile}");
    println!("cargo:rustc-env=BUILD_RUSTC={}", rustc_version());
}

/// The commit in twelve digits, and what differs from it.
fn from_git(sources: &[&str]) -> (String, String) {
    for path in commit_files() {
        println!("cargo:rerun-if-changed={}", path.display());
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default();
    let status = ["status", "--porcelain", "--"];
    let changes = git(&[&status[..], sources].concat()).unwrap_or_default();
    (commit, changes)
}

/// The files one of which changes whenever another commit is checked out or made. Only those that
/// are there: a missing one would have Cargo run the build script every time.
fn commit_files() -> Vec<PathBuf> {
    let reference = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let names = ["HEAD", "logs/HEAD", "packed-refs"].map(str::to_owned);
    names
        .into_iter()
        .chain(reference)
        .filter_map(|name| git(&["rev-parse", "--git-path", &name]))
        .map(PathBuf::from)
        .filter(|path| path.exists())
        .collect()
}

/// What git answers in the crate's own folder; none where it fails or is not there.
fn git(arguments: &[&str]) -> Option<String> {
    answer(Command::new("git").args(arguments))
}

fn rustc_version() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let answer = answer(Command::new(Path::new(&rustc)).arg("--version")).unwrap_or_default();
    let words = answer.strip_prefix("rustc ").unwrap_or(&answer);
    words.split(' ').next().unwrap_or_default().to_owned()
}

fn answer(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}
