//! The files for containers, Kubernetes, nginx and Prometheus say what this system is, and the
//! programs that read them take them. A program that is not installed fails at night and is passed
//! over otherwise (`REQUIRE_SERVERS`).

mod balanced;
mod parsers;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every role that is started for customers, and what makes its tables.
const ROLES: [&str; 10] = [
    "auth",
    "cancel-consumer",
    "create-consumer",
    "gateway",
    "migrate",
    "order",
    "product",
    "reconciler",
    "seckill",
    "user",
];
/// What a role may take to end (docs/deployment.md, "Stopping").
const DRAIN_S: u64 = 10;
/// How a name ends where a histogram is looked at.
const OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_sum", "_count"];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("in a workspace")
        .to_path_buf()
}

pub(crate) fn read(name: &str) -> String {
    let path = root().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// This program, unless it is missing.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let found = servers::programs::program(&[name]);
    if found.is_none() {
        servers::ignored(&format!("{name} is not installed"));
    }
    found
}

/// What `command` prints; it has to succeed.
pub(crate) fn output(command: &mut Command) -> String {
    let ended = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let complained = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{command:?}\n{said}\n{complained}");
    said
}

/// The manifests by name.
pub(crate) fn manifests() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("deploy/kubernetes")).expect("a folder");
    let mut found: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    found.sort();
    found
}

/// What stands in brackets behind `key` on lines of its own.
fn in_brackets<'t>(text: &'t str, key: &str) -> BTreeSet<&'t str> {
    let of_line = |line: &'t str| line.trim().strip_prefix(key)?.strip_suffix(']');
    text.lines().filter_map(of_line).collect()
}

/// Names of metrics.
fn metrics(text: &str) -> BTreeSet<&str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.starts_with("seckill_") || word.starts_with("process_"))
        .collect()
}

#[test]
fn compose_and_kubernetes_start_every_role() {
    let expected = BTreeSet::from(ROLES);
    let compose = read("docker-compose.yml");
    let started: BTreeSet<_> = in_brackets(&compose, "command: [")
        .into_iter()
        .filter(|command| ROLES.contains(command))
        .collect();
    assert_eq!(started, expected, "docker-compose.yml");
    let manifests: String = ["gateway", "migrate", "seckill", "services", "workers"]
        .map(|name| read(&format!("deploy/kubernetes/{name}.yaml")))
        .concat();
    assert_eq!(
        in_brackets(&manifests, "args: ["),
        expected,
        "deploy/kubernetes"
    );
}

#[test]
fn whoever_stops_a_role_waits_longer_than_it_may_take_to_end() {
    let mut pods = 0;
    for path in manifests() {
        let text = std::fs::read_to_string(&path).expect("readable");
        for pod in text.split("\n---\n") {
            let number = |key: &str| {
                let (_, rest) = pod.split_once(key)?;
                let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
                digits.parse::<u64>().ok()
            };
            if let Some(grace_s) = number("terminationGracePeriodSeconds: ") {
                let sleep_s = number("sleep: { seconds: ").unwrap_or(0);
                assert!(grace_s >= sleep_s + 2 * DRAIN_S, "{pod}");
                pods += 1;
            }
        }
    }
    assert!(pods >= 9, "{pods}");
    let compose = read("docker-compose.yml");
    let (role, _) = compose
        .split_once("x-environment")
        .expect("the roles' part");
    assert!(
        role.contains(&format!("stop_grace_period: {}s", 2 * DRAIN_S)),
        "{role}"
    );
}

#[test]
fn dashboard_and_alerts_use_no_metric_that_is_not_listed() {
    let document = read("docs/observability.md");
    let listed: BTreeSet<_> = document
        .split('`')
        .filter(|it| metrics(it).len() == 1)
        .collect();
    assert!(listed.len() > 50, "{listed:?}");
    for name in [
        "deploy/grafana/dashboards/seckill.json",
        "deploy/prometheus/alerts.yml",
    ] {
        let text = read(name);
        let used = metrics(&text);
        assert!(used.len() > 15, "{name}: {used:?}");
        for metric in used {
            let base = OF_HISTOGRAMS.iter().find_map(|it| metric.strip_suffix(it));
            let is_listed = listed.contains(metric) || base.is_some_and(|it| listed.contains(it));
            assert!(is_listed, "{name}: {metric}");
        }
    }
}

#[test]
fn no_secret_is_in_the_tree() {
    let ignored = read(".gitignore");
    assert!(
        ignored.lines().any(|line| line == "/deploy/secrets"),
        "{ignored}"
    );
    assert!(read(".dockerignore").lines().any(|line| line == "deploy"));
    let script = root().join("deploy/secrets.sh");
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("secrets.sh");
    std::fs::copy(&script, &copy).expect("copied");
    let run = |arguments: &[&str]| {
        output(Command::new("sh").arg(&copy).args(arguments));
        let secrets = folder.path().join("secrets");
        let text = |name: &str| std::fs::read_to_string(secrets.join(name)).expect(name);
        (text("seckill.toml"), text("jwt_key"), secrets)
    };
    let (settings, key, secrets) = run(&[]);
    let (again, same_key, _) = run(&[]);
    assert_eq!(
        (&settings, &key),
        (&again, &same_key),
        "a second run changes nothing"
    );
    assert_eq!(key.len(), 64);
    let settings: toml::Table = settings.parse().expect("TOML");
    assert!(
        settings["redis"]["url"]
            .as_str()
            .is_some_and(|url| url.ends_with("@redis:6379/"))
    );
    // Every secret that compose mounts is made.
    for line in read("docker-compose.yml").lines() {
        if let Some((_, name)) = line.split_once("file: ./deploy/secrets/") {
            let name = name.trim_end_matches([' ', '}']);
            assert!(secrets.join(name).is_file(), "{name}");
        }
    }
    let (cluster, _, _) = run(&["mariadb", "cluster"]);
    assert!(cluster.contains("redis-cluster://:"), "{cluster}");
}
