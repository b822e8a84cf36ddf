//! What `lab test --nightly` runs: every test of the workspace that is marked as nightly, then random
//! bytes for every parser, for longer than by day, then the tests with repetitions. Those with a broker
//! are run on each type of order queue, with all that are marked among them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Marks a test that is too long for every run; the reason follows.
const MARK: &str = "#[ignore = \"nightly: ";
/// Where the tests with a broker are, below the workspace.
const CRASHES: &str = "scenarios/tests/crash";
/// How long each parser is given random bytes, and the variable that says so to the crate `fuzzing`.
const TRY_MS: &str = "30000";
const TRY_MS_VARIABLE: &str = "BOLERO_RANDOM_TEST_TIME_MS";
/// As `lab bench --queue-type` knows them.
const QUEUE_TYPES: [&str; 2] = ["classic", "quorum"];

/// One call of cargo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub env: Vec<(&'static str, String)>,
    pub args: Vec<String>,
}

impl std::fmt::Display for Step {
    /// As one can type it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}={value} ")?;
        }
        write!(f, "cargo {}", self.args.join(" "))
    }
}

/// All of it, with `repeat` rounds of what is repeated.
///
/// # Errors
/// When a source file of the workspace cannot be read.
pub(super) fn steps(workspace: &Path, repeat: u32) -> anyhow::Result<Vec<Step>> {
    let rounds = repeat.to_string();
    let named = |(package, names): (String, Vec<String>), env, options: &[&str]| {
        let mut args = test_of(&package);
        args.extend(options.iter().map(|option| (*option).to_owned()));
        args.extend(names);
        Step { env, args }
    };
    let marked = tests(workspace, marked_in)?.into_iter().map(|of_package| {
        // Other tests are ignored for other reasons, so these are named.
        let env = environment(&[("CRASH_ROUNDS", &rounds)]);
        named(of_package, env, &["--", "--ignored", "--nocapture"])
    });
    let trying = tests(workspace, trying_in)?.into_iter().map(|of_package| {
        let env = environment(&[(TRY_MS_VARIABLE, TRY_MS)]);
        named(of_package, env, &["--", "--nocapture"])
    });
    let repeated = |target: &str, more: &[(&'static str, &str)], which: &[&str]| {
        let rounds = [("CRASH_ROUNDS", &*rounds), ("EPOCH_ROUNDS", &*rounds)];
        let mut args = test_of("scenarios");
        args.extend(["--test", target, "--"].map(str::to_owned));
        args.extend(
            [which, &["--nocapture"]]
                .concat()
                .into_iter()
                .map(str::to_owned),
        );
        Step {
            env: environment(&[more, &rounds].concat()),
            args,
        }
    };
    let crashes = QUEUE_TYPES.map(|kind| {
        let kind = [("CRASH_QUEUE_TYPE", kind)];
        repeated("crash", &kind, &["--include-ignored"])
    });
    Ok(marked
        .chain(trying)
        .chain(crashes)
        .chain([repeated("embedded", &[], &[])])
        .collect())
}

fn test_of(package: &str) -> Vec<String> {
    ["test", "--no-fail-fast", "--package", package]
        .map(str::to_owned)
        .to_vec()
}

/// At night a server that is missing is a failure.
fn environment(more: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let all = [&[("REQUIRE_SERVERS", "1")], more].concat();
    all.into_iter()
        .map(|(name, value)| (name, value.to_owned()))
        .collect()
}

/// The names of the tests that `find` finds in the files of each package, but of those with a broker.
fn tests(
    workspace: &Path,
    find: fn(&str) -> Vec<String>,
) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    collect(workspace, "", find, &mut all)?;
    all.values_mut().for_each(|names| names.sort());
    Ok(all)
}

/// Looks through `folder`, which belongs to `package` unless it is the root of another.
fn collect(
    folder: &Path,
    package: &str,
    find: fn(&str) -> Vec<String>,
    all: &mut BTreeMap<String, Vec<String>>,
) -> anyhow::Result<()> {
    let own = package_at(folder);
    let package = own.as_deref().unwrap_or(package);
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') && !path.ends_with(CRASHES) {
                collect(&path, package, find, all)?;
            }
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("{} cannot be read", path.display()))?;
            let names = find(&text);
            if !names.is_empty() {
                all.entry(package.to_owned()).or_default().extend(names);
            }
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = || {
        let entries = std::fs::read_dir(folder)?;
        entries
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<_>>>()
    };
    read().with_context(|| format!("{} cannot be read", folder.display()))
}

/// The name of the package whose manifest is in `folder`.
fn package_at(folder: &Path) -> Option<String> {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    let manifest: toml::Table = manifest.parse().ok()?;
    Some(manifest.get("package")?.get("name")?.as_str()?.to_owned())
}

/// The names of the tests that give random bytes to a parser: those that call the crate `fuzzing`.
fn trying_in(text: &str) -> Vec<String> {
    let is_imported = text.contains("use fuzzing::");
    let is_call = |line: &str| {
        let is_plain = ["check(", "check_text("]
            .iter()
            .any(|call| line.starts_with(call));
        line.starts_with("fuzzing::check") || (is_imported && is_plain)
    };
    let (mut names, mut name) = (Vec::new(), "");
    for line in text.lines().map(str::trim_start) {
        if let Some(rest) = line.strip_prefix("fn ") {
            name = rest.split(['(', '<']).next().unwrap_or_default();
        } else if is_call(line) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The names of the functions that carry the mark.
fn marked_in(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_marked = false;
    for line in text.lines().map(str::trim_start) {
        is_marked |= line.starts_with(MARK);
        let signature = line.strip_prefix("async ").unwrap_or(line);
        if is_marked && let Some(rest) = signature.strip_prefix("fn ") {
            names.extend(rest.split(['(', '<']).next().map(str::to_owned));
            is_marked = false;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_tests_are_found_with_their_package_and_others_are_not() {
        let workspace = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = workspace.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        let marked = format!(
            "#[test]\n{MARK}long\"]\nfn longer() {{}}\n\n#[tokio::test]\n{MARK}longer\"]\n\
             async fn much_longer()\n{{}}\n"
        );
        write("Cargo.toml", "[workspace]\n");
        write("one/Cargo.toml", "[package]\nname = \"first\"\n");
        write("one/tests/deep/a.rs", &marked);
        write("one/target/b.rs", &marked);
        // These run with the others of their kind.
        write("scenarios/Cargo.toml", "[package]\nname = \"scenarios\"\n");
        write("scenarios/tests/crash/a.rs", &marked);
        write("two/Cargo.toml", "[package]\nname = \"second\"\n");
        write("two/src/lib.rs", "#[ignore = \"by hand\"]\nfn other() {}\n");
        let found = super::tests(workspace.path(), marked_in).expect("readable");
        let names = vec!["longer".to_owned(), "much_longer".to_owned()];
        assert_eq!(found, BTreeMap::from([("first".to_owned(), names)]));
        let first = &steps(workspace.path(), 2).expect("readable")[0];
        assert_eq!(
            first.to_string(),
            "REQUIRE_SERVERS=1 CRASH_ROUNDS=2 cargo test --no-fail-fast --package first -- \
             --ignored --nocapture longer much_longer"
        );
    }
    /// All that are ignored are included.
    #[test]
    fn no_test_with_a_broker_is_ignored_for_another_reason() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("in a workspace");
        for file in entries(&root.join(CRASHES)).expect("readable") {
            let text = std::fs::read_to_string(&file).expect("readable");
            for line in text.lines().filter(|line| line.contains("#[ignore")) {
                assert!(line.starts_with(MARK), "{}: {line}", file.display());
            }
        }
    }

    #[test]
    fn tests_of_random_bytes_are_found_whether_they_import_what_tries_them_or_name_it() {
        let imported = "use fuzzing::{check, check_text};\n#[test]\nfn one() {\n    check(&[], |_| ());\n}\n\
             #[test]\nfn other() {\n    checked();\n}\n";
        assert_eq!(trying_in(imported), ["one"]);
        let named = "#[test]\nfn one() {\n    fuzzing::check_text(&[\"\"], |_| ());\n}\n";
        assert_eq!(trying_in(named), ["one"]);
        assert!(trying_in("fn one() {\n    check(1);\n}\n").is_empty());
    }

    #[test]
    fn parsers_are_tried_for_longer_than_by_day_in_every_package_that_tries_any() {
        let workspace = crate::bench::system_binary::workspace().expect("a test runs in it");
        let steps = steps(&workspace, 2).expect("readable");
        let tries = |package: &str| {
            let manifest = workspace.join(package).join("Cargo.toml");
            let manifest = std::fs::read_to_string(manifest).expect("readable");
            manifest.contains("\nfuzzing.workspace = true\n")
        };
        let packages: Vec<_> = [
            "database",
            "engines",
            "system",
            "loadgen",
            "scenarios",
            "reports",
        ]
        .into_iter()
        .filter(|package| tries(package))
        .collect();
        assert!(packages.len() >= 3, "{packages:?}");
        let longer = ("BOLERO_RANDOM_TEST_TIME_MS", "30000".to_owned());
        for package in packages {
            let is_of_it = |step: &&Step| {
                step.env.contains(&longer) && step.args.iter().any(|argument| argument == package)
            };
            assert!(
                steps.iter().any(|step| is_of_it(&step)),
                "{package}: {steps:?}"
            );
        }
        let token = "a_token_is_believed_only_as_it_was_issued";
        let named = |step: &Step| step.args.iter().any(|argument| argument == token);
        let of_tokens: Vec<_> = steps.iter().filter(|step| named(step)).collect();
        assert_eq!(of_tokens.len(), 1, "{steps:?}");
        assert!(of_tokens[0].env.contains(&longer), "{steps:?}");
    }
}
