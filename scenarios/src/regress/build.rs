//! Builds of the system from one commit after the other, all in the same folder with the same
//! compiler, so that two commits whose sources make the same program make the same bytes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use sha2::{Digest, Sha256};

use super::RegressError;
use super::instructions::{Counts, counts};
use super::source::{Source, check_out};
use crate::bench::Program;
use crate::bench::system_binary::PROFILE;
use crate::provenance::hex;

/// Digits of a hash that name a folder.
const NAME_DIGITS: usize = 16;

/// Where builds are made and kept, below the workspace's target folder.
#[derive(Clone, Debug)]
pub(super) struct Builder {
    workspace: PathBuf,
    folder: PathBuf,
}

impl Builder {
    pub(super) fn new(workspace: &Path) -> Self {
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| workspace.join("target"));
        Self {
            workspace: workspace.to_path_buf(),
            folder: workspace.join(target).join("regress"),
        }
    }

    /// The one folder in which every commit is built.
    pub(super) fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    pub(super) fn target(&self) -> PathBuf {
        self.folder.join("target")
    }

    /// Puts a source's files into [`Self::tree`].
    pub(super) fn check_out(&self, source: &Source) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("{} cannot be made", self.folder.display()))?;
        check_out(&self.workspace, &self.tree(), &source.commit)
    }

    /// The system built from a source. What was built once with this compiler is kept.
    ///
    /// # Errors
    /// [`RegressError`] when it does not build.
    pub(super) fn program(&self, source: &Source) -> anyhow::Result<Program> {
        let kept = self.folder.join("built").join(self.key(source)?);
        let path = match std::fs::read_to_string(&kept).ok().map(PathBuf::from) {
            Some(path) if path.is_file() => path,
            _ => {
                let path = self.built(source)?;
                std::fs::create_dir_all(self.folder.join("built"))?;
                std::fs::write(&kept, path.display().to_string())
                    .with_context(|| format!("{} cannot be written", kept.display()))?;
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
        let kept = self.folder.join("counted").join(self.key(source)?);
        if let Ok(text) = std::fs::read_to_string(&kept)
            && let Ok(instructions) = serde_json::from_str(&text)
        {
            return Ok(Counts { instructions });
        }
        self.check_out(source)?;
        let counts = counts(&self.tree(), &self.target())?;
        std::fs::create_dir_all(self.folder.join("counted"))?;
        std::fs::write(&kept, serde_json::to_string(&counts.instructions)?)
            .with_context(|| format!("{} cannot be written", kept.display()))?;
        Ok(counts)
    }

    /// Commit, compiler and profile: what a build depends on.
    fn key(&self, source: &Source) -> anyhow::Result<String> {
        let rustc = Command::new("rustc")
            .arg("-vV")
            .current_dir(&self.workspace)
            .output();
        let rustc = rustc.context("rustc cannot be started")?.stdout;
        let flags = std::env::var_os("RUSTFLAGS").unwrap_or_default();
        let mut hasher = Sha256::new();
        for part in [&rustc, flags.as_encoded_bytes(), PROFILE.as_bytes()] {
            hasher.update(part);
            hasher.update([0]);
        }
        let compiler = hex(hasher.finalize());
        Ok(format!("{}-{}", source.commit, &compiler[..NAME_DIGITS]))
    }

    fn built(&self, source: &Source) -> anyhow::Result<PathBuf> {
        self.check_out(source)?;
        let (tree, target) = (self.tree(), self.target());
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
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
            .env_remove("CARGO_TARGET_DIR")
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
        self.copied(&target.join(PROFILE).join("seckill"))
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
mod tests {
    use super::*;
    use crate::regress::source::resolved;

    const MAIN: &str = r#"fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("engines") => println!("[]"),
        Some("version") => println!("{}", r"{""contract"":1}".replace("\"\"", "\"")),
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

    fn commit(root: &Path, main: &str, message: &str) -> Source {
        std::fs::write(root.join("system/src/main.rs"), main).expect("written");
        must(root, "git", &["add", "."]);
        must(root, "git", &["commit", "--quiet", "--message", message]);
        resolved(root, "HEAD").expect("a commit")
    }

    /// A repository whose `system` builds in a second.
    fn repository(root: &Path) {
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
        let builder = Builder {
            workspace: root.to_path_buf(),
            folder: root.join("target/regress"),
        };
        let first = commit(root, MAIN, "one");
        let second = commit(root, &MAIN.replace("=> println!", "=>  println!"), "two");
        let third = commit(root, &MAIN.replace("exit(2)", "exit(3)"), "three");
        let broken = commit(root, "fn main() { nothing() }", "four");
        let programs = [&first, &second, &third, &first]
            .map(|source| builder.program(source).expect("it builds"));
        let hashes = programs.each_ref().map(|it| it.build.sha256.as_str());
        assert_eq!(hashes[0], hashes[1], "only a space differs");
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
