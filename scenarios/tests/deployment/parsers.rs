//! The programs that these files are written for read them: Compose's own parser, the schemas that
//! Kubernetes publishes, promtool.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::{manifests, output, program, read, root};

/// The package that carries the schemas of Kubernetes.
const KUBERNETES_SCHEMAS: &str = "kubernetes-validate==1.37.0";
/// The oldest release that the manifests are for, and the newest that these schemas are of.
const KUBERNETES: [&str; 2] = ["1.30.0", "1.37.0"];

/// `docker-compose.yml` with all profiles, as Compose understands it.
fn compose(go: &Path) -> Value {
    let mut command = Command::new(go);
    command
        .current_dir(root().join("scenarios/tests/deployment/compose"))
        .args(["run", ".", "../../../../docker-compose.yml"]);
    serde_json::from_str(&output(&mut command)).expect("JSON")
}

fn has_item(list: &Value, wanted: impl Fn(&Value) -> bool) -> bool {
    list.as_array()
        .is_some_and(|items| items.iter().any(wanted))
}

#[test]
#[ignore = "nightly: needs Go and its module proxy"]
fn compose_reads_what_is_meant() {
    let Some(go) = program("go") else {
        return;
    };
    let project = compose(&go);
    let services = project["services"].as_object().expect("services");
    let mut roles = 0;
    for (name, service) in services {
        // What a client or another container finds is bound to loopback, or not at all.
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name}: {port}");
        }
        let environment = service["environment"].as_object();
        for (variable, value) in environment.into_iter().flatten() {
            let is_secret = variable.contains("PASSWORD") || variable.contains("SECRET");
            let is_file = value
                .as_str()
                .is_some_and(|it| it.starts_with("/run/secrets/"));
            assert!(!is_secret || is_file, "{name}: {variable}");
        }
        if !service["image"]
            .as_str()
            .is_some_and(|it| it.starts_with("seckill:"))
        {
            continue;
        }
        roles += 1;
        assert_eq!(service["read_only"], true, "{name}");
        assert!(has_item(&service["cap_drop"], |it| it == "ALL"), "{name}");
        let is_checked = service["healthcheck"]["test"].is_array();
        assert_eq!(is_checked, name != "migrate", "{name}");
        for file in ["seckill.toml", "jwt_key"] {
            let is_there = |secret: &Value| secret["source"] == file;
            assert!(has_item(&service["secrets"], is_there), "{name}: {file}");
        }
        let waits = &service["depends_on"];
        let is_last = |it: &Value| it["condition"] == "service_completed_successfully";
        assert!(
            name == "migrate" || is_last(&waits["migrate"]),
            "{name}: {waits}"
        );
    }
    assert_eq!(roles, 12);
    let profiles = |name: &str| services[name]["profiles"][0].as_str().map(str::to_owned);
    assert_eq!(profiles("mysql").as_deref(), Some("mysql8"));
    assert_eq!(profiles("redis-3").as_deref(), Some("redis-cluster"));
    assert_eq!(profiles("grafana").as_deref(), Some("observability"));
    assert_eq!(profiles("mariadb"), None);
}

/// A Python of its own with the schemas in it.
fn validator(python: &Path, folder: &Path) -> std::path::PathBuf {
    output(Command::new(python).args(["-m", "venv"]).arg(folder));
    let pip = folder.join("bin/pip");
    output(Command::new(pip).args(["install", "--quiet", KUBERNETES_SCHEMAS]));
    folder.join("bin/kubernetes-validate")
}

#[test]
#[ignore = "nightly: needs Python and PyPI"]
fn kubernetes_takes_every_manifest() {
    let Some(python) = program("python3") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let validator = validator(&python, &folder.path().join("python"));
    // A kustomization is for kubectl, and no server has its schema.
    let files: Vec<_> = manifests()
        .into_iter()
        .filter(|path| !path.ends_with("kustomization.yaml"))
        .collect();
    for version in KUBERNETES {
        let mut command = Command::new(&validator);
        output(command.args(["--strict", "-k", version]).args(&files));
    }
    let wrong = folder.path().join("wrong.yaml");
    let text = read("deploy/kubernetes/seckill.yaml");
    std::fs::write(&wrong, text.replace("replicas:", "replica:")).expect("written");
    let mut command = Command::new(&validator);
    let ended = command
        .arg("--strict")
        .arg(&wrong)
        .output()
        .expect("it runs");
    assert!(
        !ended.status.success(),
        "a field that there is not is refused"
    );
}

#[test]
#[ignore = "nightly: needs promtool"]
fn prometheus_takes_its_files_and_the_alerts_do_what_is_expected() {
    let Some(promtool) = program("promtool") else {
        return;
    };
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&promtool);
        let folder = root().join("deploy/prometheus");
        output(command.current_dir(folder).args(arguments));
    };
    run(&["check", "config", "prometheus.yml"]);
    run(&["check", "rules", "alerts.yml"]);
    run(&["test", "rules", "alerts_test.yml"]);
}
