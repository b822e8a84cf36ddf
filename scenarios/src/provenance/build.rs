//! The identity of a binary: what it says about itself, and the hash of its file, which nobody can
//! get wrong.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::Context;
use reports::result::Build;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::hash::hex;

/// Number of the contract between lab and system that this lab keeps.
const CONTRACT: u32 = 1;

/// What `lab --version` prints behind its name.
pub const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("BUILD_SOURCES"),
    ", ",
    env!("BUILD_PROFILE"),
    ", rustc ",
    env!("BUILD_RUSTC"),
    ")"
);

/// Whose binary it is, and therefore who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramKind {
    /// This lab's own, which knows itself.
    Lab,
    /// A system, which answers `version --json`. Another project's may not know the question; then
    /// only its path and its hash are known.
    System,
}

/// As `seckill version --json` prints it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    version: String,
    commit: String,
    dirty: bool,
    profile: String,
    rustc: String,
    contract: Option<u32>,
}

/// The identity of the binary at `path`. The file is read only once as long as it does not change.
///
/// # Errors
/// When the file cannot be read.
pub fn build_of(path: &Path, kind: ProgramKind) -> anyhow::Result<Build> {
    let told = match kind {
        ProgramKind::Lab => this_lab(),
        ProgramKind::System => ask(path).unwrap_or_default(),
    };
    Ok(Build {
        version: told.version,
        commit: told.commit,
        dirty: told.dirty,
        profile: told.profile,
        rustc: told.rustc,
        path: without_home(path, std::env::home_dir().as_deref()),
        sha256: sha256_of(path)?,
        contract: told.contract,
    })
}

/// Why this lab cannot work with a binary: it keeps another contract (command line, inspection, and
/// the tables that are audited) than this lab's own or the one before. None for a binary that says
/// nothing about it.
pub fn contract_refusal(build: &Build) -> Option<String> {
    let contract = build.contract?;
    let before = CONTRACT.saturating_sub(1);
    let is_spoken = contract == CONTRACT || contract == before;
    (!is_spoken).then(|| {
        format!(
            "the binary keeps contract {contract} between lab and system, and this lab speaks {before} and {CONTRACT}; \
             use the lab that belongs to it"
        )
    })
}

fn this_lab() -> Told {
    Told {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: env!("BUILD_COMMIT").to_owned(),
        dirty: env!("BUILD_DIRTY") == "true",
        profile: env!("BUILD_PROFILE").to_owned(),
        rustc: env!("BUILD_RUSTC").to_owned(),
        contract: Some(CONTRACT),
    }
}

fn ask(path: &Path) -> Option<Told> {
    let mut command = Command::new(path);
    let output = command
        .args(["version", "--json"])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let answer = output.status.success().then_some(output.stdout)?;
    serde_json::from_slice(&answer).ok()
}

/// A home folder names its owner, which is nobody's business.
fn without_home(path: &Path, home: Option<&Path>) -> String {
    // The root folder is some accounts' home, and says nothing about anybody.
    let home = home.filter(|home| home.components().count() > 1);
    match home.and_then(|home| path.strip_prefix(home).ok()) {
        Some(rest) => Path::new("~").join(rest).display().to_string(),
        None => path.display().to_string(),
    }
}

/// A file as it was: path, length, and when it was written last.
type Seen = (PathBuf, u64, SystemTime);

fn sha256_of(path: &Path) -> anyhow::Result<String> {
    static KNOWN: Mutex<Option<HashMap<Seen, String>>> = Mutex::new(None);
    let unreadable = || format!("{} cannot be read", path.display());
    let mut file = File::open(path).with_context(unreadable)?;
    let metadata = file.metadata().with_context(unreadable)?;
    let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let seen = (path.to_path_buf(), metadata.len(), written);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    if let Some(sha256) = known.get(&seen) {
        return Ok(sha256.clone());
    }
    let mut hasher = Sha256::new();
    std::io::copy(&mut file, &mut hasher).with_context(unreadable)?;
    let sha256 = hex(hasher.finalize());
    known.insert(seen, sha256.clone());
    Ok(sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by a process of its own: what this one writes, a child of another test could still
    /// have open, and an open file cannot be run.
    fn program(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("program");
        let script = r#"printf '%s' "$1" > "$0" && chmod 755 "$0""#;
        let mut sh = Command::new("sh");
        let status = sh.args(["-c", script]).arg(&path).arg(text).status();
        assert!(status.expect("sh").success());
        path
    }

    #[test]
    fn a_binary_tells_what_it_is_and_its_file_is_hashed() {
        let folder = tempfile::tempdir().expect("a folder");
        let answer = r#"{"version":"0.3.0","commit":"abc","dirty":true,"profile":"release","rustc":"1.95.0","contract":1,"more":0}"#;
        let path = program(folder.path(), &format!("#!/bin/sh\necho '{answer}'\n"));
        let build = build_of(&path, ProgramKind::System).expect("readable");
        assert_eq!(
            (build.version.as_str(), build.commit.as_str(), build.dirty),
            ("0.3.0", "abc", true)
        );
        assert_eq!(build.contract, Some(1));
        assert_eq!(build.sha256.len(), 64);
        // Written anew: it is another one, although its path is the same.
        program(folder.path(), "#!/bin/sh\necho '{}'\necho a longer one\n");
        let other = build_of(&path, ProgramKind::System).expect("readable");
        assert_ne!(other.sha256, build.sha256);
    }

    #[test]
    fn of_a_program_that_does_not_know_the_question_only_the_file_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = program(folder.path(), "#!/bin/sh\necho usage: fly\nexit 2\n");
        let build = build_of(&path, ProgramKind::System).expect("readable");
        assert_eq!(
            (build.version.as_str(), build.rustc.as_str(), build.contract),
            ("", "", None)
        );
        assert!(build.path.ends_with("/program") && build.sha256.len() == 64);
        let missing = folder.path().join("missing");
        let refused = build_of(&missing, ProgramKind::System).expect_err("no such file");
        assert!(refused.to_string().contains("missing"), "{refused}");
    }

    #[test]
    fn a_binary_of_another_contract_is_refused_with_both_numbers() {
        let of = |contract| {
            contract_refusal(&Build {
                contract,
                ..Build::default()
            })
        };
        for fitting in [None, Some(CONTRACT), Some(CONTRACT - 1)] {
            assert_eq!(of(fitting), None);
        }
        let refused = of(Some(CONTRACT + 1)).expect("refused");
        let later = CONTRACT + 1;
        assert!(refused.contains(&format!("contract {later} ")), "{refused}");
        assert!(refused.contains(&format!("and {CONTRACT};")), "{refused}");
    }

    #[test]
    fn this_lab_knows_itself() {
        let own = std::env::current_exe().expect("a path");
        let build = build_of(&own, ProgramKind::Lab).expect("readable");
        let profile = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        assert_eq!(build.profile, profile);
        assert!(build.rustc.starts_with("1."), "{build:?}");
        assert_eq!(build.contract, Some(CONTRACT));
    }

    #[test]
    fn known_hashes_are_those_that_everybody_knows() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = program(folder.path(), "abc");
        assert_eq!(
            sha256_of(&path).expect("readable"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_path_does_not_name_whose_home_it_is_in() {
        let shown = |path: &str, home: &str| without_home(Path::new(path), Some(Path::new(home)));
        assert_eq!(shown("/home/ada/lab/seckill", "/home/ada"), "~/lab/seckill");
        assert_eq!(
            shown("/home/adam/seckill", "/home/ada"),
            "/home/adam/seckill"
        );
        assert_eq!(shown("/opt/seckill", "/"), "/opt/seckill");
    }
}
