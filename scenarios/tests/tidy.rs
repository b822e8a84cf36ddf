//! What lints cannot say about the workspace: how long files may get, and which modules must not
//! know each other.

use std::path::{Path, PathBuf};

/// No file is ever longer.
const LINES_MAX: usize = 600;
/// Longer files need a reason, listed below.
const LINES_WITHOUT_REASON: usize = 400;
/// `(path, why it is better in one piece)`.
const LONG_FILES: &[(&str, &str)] = &[];

/// Tasks of roles that no supervisor watches: `(path, how many, why nobody needs to)`.
const UNWATCHED: &[(&str, usize, &str)] = &[
    (
        "system/src/accounts/access.rs",
        1,
        "what was not read lately is not believed",
    ),
    ("system/src/admin/state.rs", 1, "one look of a probe"),
    (
        "system/src/broker/amqp/consumer.rs",
        1,
        "closes one channel",
    ),
    (
        "system/src/broker/amqp/publisher.rs",
        1,
        "one confirm that nobody waits for",
    ),
    ("system/src/incarnation.rs", 1, "the role waits for `ended`"),
    (
        "system/src/roles/create_consumer/membership.rs",
        1,
        "`changed` fails",
    ),
    (
        "system/src/roles/create_consumer/settle.rs",
        1,
        "the role waits for its end",
    ),
    (
        "system/src/roles/create_consumer/tasks.rs",
        1,
        "one that has ended is begun again",
    ),
    ("system/src/roles/gateway/serving.rs", 1, "one client"),
    (
        "system/src/roles/order/changer.rs",
        1,
        "releases that it does not mark are done again by the cancel-consumer",
    ),
    (
        "system/src/roles/reconciler/watch.rs",
        1,
        "whoever asks looks, too",
    ),
    ("system/src/roles/seckill/group_commit.rs", 1, "one batch"),
    (
        "system/src/roles/seckill/group_commit/batch.rs",
        1,
        "one publish",
    ),
    (
        "system/src/roles/seckill/past_sales.rs",
        1,
        "the role waits for `ended`",
    ),
    (
        "system/src/shutdown.rs",
        1,
        "waits for a signal, whose end is the end",
    ),
    ("system/src/terms.rs", 1, "the role waits for `ended`"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("in a workspace")
        .to_path_buf()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("readable").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

fn all_files() -> Vec<(String, String)> {
    let root = root();
    let mut paths = Vec::new();
    rust_files(&root, &mut paths);
    assert!(
        paths.len() > 20,
        "this is not the workspace: {}",
        root.display()
    );
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("readable");
            let name = path
                .strip_prefix(&root)
                .expect("inside")
                .to_string_lossy()
                .into_owned();
            (name, text)
        })
        .collect()
}

#[test]
fn no_file_is_too_long_to_read() {
    let mut faults = Vec::new();
    for (name, text) in all_files() {
        let lines = text.lines().count();
        let has_reason = LONG_FILES.iter().any(|(long, _)| *long == name);
        if lines > LINES_MAX || (lines > LINES_WITHOUT_REASON && !has_reason) {
            faults.push(format!("{name}: {lines} lines"));
        }
        if has_reason && lines <= LINES_WITHOUT_REASON {
            faults.push(format!("{name} is listed as long, but has {lines} lines"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_owns_in_its_first_line() {
    let silent: Vec<String> = all_files()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(name, _)| name)
        .collect();
    assert!(silent.is_empty(), "no header: {}", silent.join(", "));
}

#[test]
fn modules_are_files_beside_their_folder() {
    let wrong: Vec<String> = all_files()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name.ends_with("/mod.rs"))
        .collect();
    assert!(
        wrong.is_empty(),
        "use foo.rs and foo/ instead: {}",
        wrong.join(", ")
    );
}

/// The role that runs all the others in one process, for which it has to know them.
const EVERY_ROLE: &str = "all";

/// A role is a process; what two of them share belongs outside of `roles`.
#[test]
fn roles_do_not_import_one_another() {
    let folder = "system/src/roles/";
    let role_of = |name: &str| -> Option<String> {
        let rest = name.strip_prefix(folder)?;
        Some(rest.split(['/', '.']).next().unwrap_or(rest).to_owned())
    };
    let files: Vec<(String, String, String)> = all_files()
        .into_iter()
        .filter_map(|(name, text)| Some((role_of(&name)?, name, text)))
        .collect();
    let roles: Vec<&String> = files.iter().map(|(role, ..)| role).collect();
    assert!(!roles.is_empty(), "no roles in {folder}");
    let mut faults = Vec::new();
    for (role, name, text) in files.iter().filter(|(role, ..)| role != EVERY_ROLE) {
        for other in roles.iter().filter(|other| **other != role) {
            for path in [
                format!("roles::{other}"),
                format!("super::{other}::"),
                format!("super::super::{other}::"),
            ] {
                if mentions(text, &path) && !name.ends_with(&format!("{role}/{other}.rs")) {
                    faults.push(format!("{name} uses {path}"));
                }
            }
        }
    }
    faults.sort();
    faults.dedup();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Outside of comments.
fn mentions(text: &str, path: &str) -> bool {
    text.lines()
        .map(str::trim_start)
        .any(|line| !line.starts_with("//") && line.contains(path))
}

/// bind-then-recheck (R2): only the process that owns a generation makes its binding, so the client
/// library must not repeat a binding by itself.
#[test]
fn the_broker_client_recovers_no_topology_by_itself() {
    let (topology_recovery, here) = ("enable_auto_recover", "scenarios/tests/tidy.rs");
    let users: Vec<String> = all_files()
        .into_iter()
        .filter(|(name, text)| name != here && mentions(text, topology_recovery))
        .map(|(name, _)| name)
        .collect();
    assert!(
        users.is_empty(),
        "{topology_recovery} in {}",
        users.join(", ")
    );
}

/// The lab removes the keys of a leg with the client that an engine uses, too. Nothing that judges
/// may: every verdict is black-box.
#[test]
fn only_the_clean_up_speaks_to_redis_with_a_client() {
    let users: Vec<String> = all_files()
        .into_iter()
        .filter(|(name, text)| name.starts_with("scenarios/src/") && text.contains("use redis"))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(users, ["scenarios/src/bench/redis_cleanup.rs"]);
}

/// The arrows of the architecture, which Cargo enforces only as long as no dependency is added.
#[test]
fn the_lab_shares_no_code_with_the_system() {
    for (manifest, forbidden) in [
        (
            "scenarios/Cargo.toml",
            vec!["system", "engines", "database", "fred"],
        ),
        (
            "reports/Cargo.toml",
            vec!["system", "engines", "loadgen", "scenarios"],
        ),
        (
            "engines/Cargo.toml",
            vec!["system", "loadgen", "reports", "servers"],
        ),
        (
            "engines/broken/Cargo.toml",
            vec!["system", "loadgen", "reports", "scenarios", "servers"],
        ),
        (
            "database/Cargo.toml",
            vec!["engines", "system", "loadgen", "reports", "scenarios"],
        ),
        ("loadgen/Cargo.toml", vec!["system", "engines", "scenarios"]),
        (
            "servers/Cargo.toml",
            vec![
                "database",
                "engines",
                "system",
                "loadgen",
                "reports",
                "scenarios",
            ],
        ),
        (
            "system/Cargo.toml",
            vec!["broken-engines", "loadgen", "reports", "servers"],
        ),
    ] {
        let text = std::fs::read_to_string(root().join(manifest)).expect("readable");
        let table: toml::Table = toml::from_str(&text).expect("valid TOML");
        let dependencies = table["dependencies"].as_table().expect("a table");
        for name in forbidden {
            assert!(
                !dependencies.contains_key(name),
                "{manifest} must not depend on {name}"
            );
        }
    }
}

/// fence-wait (R1): the times of heartbeats and wants are written for people. Clocks step, so nothing
/// compares them and nothing reckons with them.
#[test]
fn no_time_in_the_database_decides_whether_a_lease_runs() {
    const COLUMNS: [&str; 2] = ["heartbeat_at_ms", "w.at_ms"];
    const RECKONS: [char; 6] = ['<', '>', '+', '-', '*', '/'];
    let mut faults = Vec::new();
    for (name, text) in all_files() {
        if !name.starts_with("system/src/") && !name.starts_with("engines/src/") {
            continue;
        }
        // Tests shift the clocks.
        let text = text.split("#[cfg(test)]").next().unwrap_or(&text);
        for (at, column) in COLUMNS.iter().flat_map(|column| text.match_indices(column)) {
            let (before, after) = (&text[..at], &text[at + column.len()..]);
            if before.trim_end().ends_with(RECKONS) || after.trim_start().starts_with(RECKONS) {
                let line = before.lines().count();
                faults.push(format!("{name}:{line}: {column}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A part of a role that ends unasked has to end the role, or be begun again: half a role that goes
/// on looks alive.
#[test]
fn no_task_of_a_role_can_end_without_anybody_hearing_of_it() {
    const SPAWN: &str = "tokio::spawn(";
    let mut found = std::collections::BTreeMap::<String, usize>::new();
    for (name, text) in all_files() {
        if !name.starts_with("system/src/") || name.contains("tests") {
            continue;
        }
        let text = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or(&text);
        for (at, _) in text.match_indices(SPAWN) {
            let task = text[at + SPAWN.len()..].trim_start();
            let is_watched = ["supervisor", "shared.supervisor"]
                .iter()
                .any(|start| task.starts_with(start));
            if !is_watched {
                *found.entry(name.clone()).or_default() += 1;
            }
        }
    }
    let known = UNWATCHED
        .iter()
        .map(|(name, count, _)| ((*name).to_owned(), *count));
    assert_eq!(found, known.collect());
}
