//! Builds of the system from one commit after the other, all in the same folder, so that two commits
//! whose sources make the same program make the same bytes. The folder lies outside of the workspace,
//! because cargo and rustup also obey the files of the folders above: a base is built by its own
//! configuration and toolchain, and not by the head's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use sha2::{Digest, Sha256};

use super::RegressError;
use super::instructions::{Counts, counts};
use super::source::{Source, check_out};
use crate::bench::Program;
use crate::bench::system_binary::PROFILE;
use crate::kept;
use crate::provenance::hex;

/// Digits of a hash that name a folder.
const NAME_DIGITS: usize = 16;

/// Variables by whose beginnings a build is changed.
const BUILD_VARIABLES: [&str; 12] = [
    "CARGO_PROFILE_",
    "CARGO_BUILD_",
    "CARGO_TARGET_",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTFLAGS",
    "RUSTC",
    "CC",
    "CXX",
    "AR",
    "CFLAGS",
    "CXXFLAGS",
    "LDFLAGS",
];
/// What cargo tells the lab about itself, and rustup about the toolchain of the folder that it was
/// called in.
const OF_THE_LAB: [&str; 5] = [
    "CARGO",
    "CARGO_TARGET_DIR",
    "CARGO_TARGET_TMPDIR",
    "RUSTC",
    "RUSTUP_TOOLCHAIN",
];

/// Where builds are made and kept. While it lives, nobody else uses the folder.
#[derive(Debug)]
pub(super) struct Builder {
    workspace: PathBuf,
    folder: PathBuf,
    _lock: std::fs::File,
}

impl Builder {
    /// In the user's cache. Waits while another comparison builds there.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub(super) fn new(workspace: &Path) -> anyhow::Result<Self> {
        let path = workspace
            .canonicalize()
            .unwrap_or_else(|_| workspace.to_path_buf());
        let name = hex(Sha256::digest(path.as_os_str().as_encoded_bytes()));
        let folder = kept::folder(&format!("regress-{}", &name[..NAME_DIGITS]));
        let folder = folder.context("there is no home folder to build in; set XDG_CACHE_HOME")?;
        Self::at(workspace, &folder)
    }

    pub(super) fn at(workspace: &Path, folder: &Path) -> anyhow::Result<Self> {
        let unwritable = || format!("{} cannot be written", folder.display());
        std::fs::create_dir_all(folder).with_context(unwritable)?;
        let lock = std::fs::File::create(folder.join("lock")).with_context(unwritable)?;
        if lock.try_lock().is_err() {
            eprintln!(
                "another comparison builds in {}; waiting for it",
                folder.display()
            );
            lock.lock().with_context(unwritable)?;
        }
        Ok(Self {
            workspace: workspace.to_path_buf(),
            folder: folder.to_path_buf(),
            _lock: lock,
        })
    }

    /// The one folder in which every commit is built.
    pub(super) fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    pub(super) fn target(&self) -> PathBuf {
        self.folder.join("target")
    }

    /// The system built from a source. What was built once in the same way is kept.
    ///
    /// # Errors
    /// [`RegressError`] when it does not build.
    pub(super) fn program(&self, source: &Source) -> anyhow::Result<Program> {
        check_out(&self.workspace, &self.tree(), &source.commit)?;
        let kept = self.kept("built", source)?;
        let path = match std::fs::read_to_string(&kept).ok().map(PathBuf::from) {
            Some(path) if path.is_file() => path,
            _ => {
                let path = self.built(source)?;
                keep(&kept, &path.display().to_string())?;
                path
            }
        };
        let mut program = Program::at(&path)?;
        // The binary itself was built without its commit, so that equal programs are equal bytes.
        program.build.commit = source.commit[..12].to_owned();
        program.build.dirty = source.is_dirty;
        Ok(program)
    }

    /// Instruction counts of a source. What was counted once with this compiler is kept.
    ///
    /// # Errors
    /// When a tool for it is missing, or a benchmark does not build or run.
    pub(super) fn counts(&self, source: &Source) -> anyhow::Result<Counts> {
        check_out(&self.workspace, &self.tree(), &source.commit)?;
        let kept = self.kept("counted", source)?;
        if let Ok(text) = std::fs::read_to_string(&kept)
            && let Ok(instructions) = serde_json::from_str(&text)
        {
            return Ok(Counts { instructions });
        }
        let counts = counts(&self.tree(), &self.folder.join("counting"))?;
        keep(&kept, &serde_json::to_string(&counts.instructions)?)?;
        Ok(counts)
    }

    /// The file that says what came of a source which is checked out: named by the commit and by all
    /// that a build depends on beside it, the compiler, the environment and cargo's configuration.
    fn kept(&self, what: &str, source: &Source) -> anyhow::Result<PathBuf> {
        let mut rustc = Command::new("rustc");
        rustc.arg("-vV").current_dir(self.tree());
        OF_THE_LAB.iter().for_each(|name| {
            rustc.env_remove(name);
        });
        let rustc = rustc.output().context("rustc cannot be started")?.stdout;
        let mut hasher = Sha256::new();
        hasher.update(&rustc);
        hasher.update(PROFILE);
        for (name, value) in environment() {
            hasher.update([0]);
            hasher.update(name.as_encoded_bytes());
            hasher.update([0]);
            hasher.update(value.as_encoded_bytes());
        }
        for file in configuration(&self.tree()) {
            hasher.update([0]);
            hasher.update(file);
        }
        let how = hex(hasher.finalize());
        let name = format!("{}-{}", source.commit, &how[..NAME_DIGITS]);
        Ok(self.folder.join(what).join(name))
    }

    fn built(&self, source: &Source) -> anyhow::Result<PathBuf> {
        let (tree, target) = (self.tree(), self.target());
        let binary = target.join(PROFILE).join("seckill");
        // What an earlier commit left there must not be taken for this one's.
        drop(std::fs::remove_file(&binary));
        let mut command = Command::new("cargo");
        OF_THE_LAB.iter().for_each(|name| {
            command.env_remove(name);
        });
        command
            .current_dir(&tree)
            .args([
                "build",
                "--locked",
                "--package",
                "system",
                "--bin",
                "seckill",
            ])
            .arg("--target-dir")
            .arg(&target)
            .env("IDENTITY_COMMIT", "")
            .env("CARGO_INCREMENTAL", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if PROFILE == "release" {
            command.arg("--release");
        }
        with_remapped_paths(&mut command, &[(&tree, "."), (&target, "target")]);
        let status = command.status().context("cargo cannot be started")?;
        if !status.success() {
            let refusal = format!(
                "{} ({}) does not build ({status}); cargo's own words are above",
                source.name,
                &source.commit[..12]
            );
            return Err(RegressError(refusal).into());
        }
        if !binary.is_file() {
            return Err(RegressError(format!(
                "{} was built, but not to {}; a build.target in cargo's configuration, or CARGO_BUILD_TARGET, is not \
                 supported here",
                source.name,
                binary.display()
            ))
            .into());
        }
        self.copied(&binary)
    }

    /// A copy under the hash of its bytes, which the next build does not replace.
    fn copied(&self, binary: &Path) -> anyhow::Result<PathBuf> {
        let unreadable = || format!("{} cannot be read", binary.display());
        let mut file = std::fs::File::open(binary).with_context(unreadable)?;
        let mut hasher = Sha256::new();
        std::io::copy(&mut file, &mut hasher).with_context(unreadable)?;
        let sha256 = hex(hasher.finalize());
        let folder = self.folder.join("binaries").join(&sha256[..NAME_DIGITS]);
        let copy = folder.join("seckill");
        if !copy.is_file() {
            std::fs::create_dir_all(&folder)
                .and_then(|()| std::fs::copy(binary, folder.join("partial")))
                .and_then(|_| std::fs::rename(folder.join("partial"), &copy))
                .with_context(|| format!("{} cannot be written", copy.display()))?;
        }
        Ok(copy)
    }
}

fn keep(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, text))
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// Variables that change what a build makes, in order.
fn environment() -> Vec<(OsString, OsString)> {
    let changes_builds = |name: &OsString| {
        let name = name.to_string_lossy();
        let is_own = OF_THE_LAB.contains(&&*name);
        !is_own && BUILD_VARIABLES.iter().any(|start| name.starts_with(start))
    };
    let mut all: Vec<_> = std::env::vars_os()
        .filter(|(name, _)| changes_builds(name))
        .collect();
    all.sort();
    all
}

/// Cargo's files of configuration that apply in a folder.
fn configuration(folder: &Path) -> Vec<Vec<u8>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let above = folder.ancestors().map(|folder| folder.join(".cargo"));
    let folders = above.chain(home);
    folders
        .flat_map(|folder| ["config.toml", "config"].map(|name| folder.join(name)))
        .filter_map(|path| std::fs::read(path).ok())
        .collect()
}

/// Keeps the paths of this machine out of the binary. Flags of the environment come first; they would
/// otherwise replace those of the configuration, and these.
fn with_remapped_paths(command: &mut Command, paths: &[(&Path, &str)]) {
    let remap =
        |(path, name): &(&Path, &str)| format!("--remap-path-prefix={}={name}", path.display());
    let flags: Vec<String> = paths.iter().map(remap).collect();
    match std::env::var("RUSTFLAGS") {
        Ok(own) if !own.is_empty() => {
            let encoded = own.split_whitespace().map(str::to_owned).chain(flags);
            let encoded: Vec<String> = encoded.collect();
            command.env("CARGO_ENCODED_RUSTFLAGS", encoded.join("\u{1f}"));
        }
        _ => {
            let quoted = flags.iter().map(|flag| format!("{flag:?}"));
            let list = quoted.collect::<Vec<_>>().join(", ");
            command
                .arg("--config")
                .arg(format!("build.rustflags=[{list}]"));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::regress::source::resolved;

    pub const MAIN: &str = r#"fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("engines") => println!("[]"),
        Some("version") => println!("{{\"contract\":1}}"),
        _ => std::process::exit(2),
    }
}
"#;

    fn must(folder: &Path, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        let status = command.current_dir(folder).args(arguments).status();
        assert!(
            status.expect("started").success(),
            "{program} {arguments:?}"
        );
    }

    pub fn commit(root: &Path, main: &str, message: &str) -> Source {
        std::fs::write(root.join("system/src/main.rs"), main).expect("written");
        must(root, "git", &["add", "."]);
        must(root, "git", &["commit", "--quiet", "--message", message]);
        resolved(root, "HEAD").expect("a commit")
    }

    /// A repository whose `system` builds in a second.
    pub fn repository(root: &Path) {
        let folder = root.join("system/src");
        std::fs::create_dir_all(folder).expect("made");
        let put = |path: &str, text: &str| std::fs::write(root.join(path), text).expect("written");
        put(
            "Cargo.toml",
            "[workspace]\nmembers = [\"system\"]\nresolver = \"3\"\n",
        );
        put(
            "system/Cargo.toml",
            "[package]\nname = \"system\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
             [[bin]]\nname = \"seckill\"\npath = \"src/main.rs\"\n",
        );
        put(
            "Cargo.lock",
            "version = 4\n\n[[package]]\nname = \"system\"\nversion = \"0.1.0\"\n",
        );
        put(".gitignore", "target\n");
        must(root, "git", &["init", "--quiet", "--initial-branch=main"]);
        must(root, "git", &["config", "user.name", "Ada"]);
        must(root, "git", &["config", "user.email", "ada@localhost"]);
    }

    #[test]
    fn what_makes_the_same_program_makes_the_same_bytes_and_what_does_not_build_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        repository(root);
        let builder = Builder::at(root, &root.join("target/regress")).expect("a folder");
        let first = commit(root, MAIN, "one");
        std::fs::write(root.join("README.md"), "not a source").expect("written");
        let second = commit(root, MAIN, "two");
        let third = commit(root, &MAIN.replace("exit(2)", "exit(3)"), "three");
        let broken = commit(root, "fn main() { nothing() }", "four");
        let programs = [&first, &second, &third, &first]
            .map(|source| builder.program(source).expect("it builds"));
        let hashes = programs.each_ref().map(|it| it.build.sha256.as_str());
        assert_eq!(hashes[0], hashes[1], "no source differs");
        assert_ne!(hashes[0], hashes[2]);
        assert_eq!(programs[0].path, programs[3].path, "what was built is kept");
        assert_eq!(programs[1].build.commit, second.commit[..12]);
        assert_eq!(programs[0].build.contract, Some(1));
        let bytes = std::fs::read(&programs[0].path).expect("readable");
        let tree = builder.tree().display().to_string();
        let names_it = bytes.windows(tree.len()).any(|it| it == tree.as_bytes());
        assert!(!names_it, "the binary names {tree}");
        let refused = builder
            .program(&broken)
            .expect_err("it does not build")
            .to_string();
        assert!(refused.contains(&broken.commit[..12]), "{refused}");
        assert!(refused.contains("does not build"), "{refused}");
    }
}
