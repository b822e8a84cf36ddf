//! The files of CI: workflows and the composite action are YAML that asks for no more than it needs,
//! pins what it uses and ends in time; what they and the guides have the lab do, the lab can do.

#[path = "workflows/commands.rs"]
mod commands;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use servers::programs::program;

const WORKFLOWS: &str = ".github/workflows";
const ACTION: &str = "action.yml";
/// What the hosted runners allow a job, minutes.
const JOB_MINUTES_MAX: u64 = 360;
/// Characters of a commit's name: tags and branches can be moved.
const COMMIT_CHARACTERS: usize = 40;
/// Permissions that a job may have beyond reading the repository.
const EXTRA_PERMISSIONS: &[(&str, &str, &str)] = &[
    ("gate.yml", "actions", "read"),
    ("gate.yml", "pull-requests", "write"),
];

const ACTIONLINT: &str = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12";
/// Where Go's own archive is unpacked, which need not be on PATH.
const GO_HOME: &str = "/usr/local/go/bin/go";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("in a workspace")
        .to_path_buf()
}

fn read(name: &str) -> String {
    let path = root().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of the workflows, `gate.yml`.
fn workflows() -> Vec<String> {
    let entries = std::fs::read_dir(root().join(WORKFLOWS)).expect("readable");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("readable").file_name())
        .map(|name| name.into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

fn yaml(name: &str, text: &str) -> Value {
    let source = config::File::from_str(text, config::FileFormat::Yaml);
    let read = config::Config::builder().add_source(source).build();
    let read = read.and_then(config::Config::try_deserialize);
    read.unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn workflow(name: &str) -> Value {
    yaml(name, &read(&format!("{WORKFLOWS}/{name}")))
}

fn objects(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn steps(job: &Value) -> impl Iterator<Item = &Value> {
    job["steps"].as_array().into_iter().flatten()
}

#[test]
fn tests_gate_and_nightly_have_a_workflow_each() {
    assert_eq!(workflows(), ["gate.yml", "nightly.yml", "test.yml"]);
}

#[test]
fn a_workflow_may_read_the_repository_and_little_else() {
    for name in workflows() {
        let workflow = workflow(&name);
        assert_eq!(
            workflow["permissions"],
            json!({ "contents": "read" }),
            "{name}"
        );
        for (job, body) in objects(&workflow["jobs"]) {
            for (what, level) in objects(&body["permissions"]) {
                let level = level.as_str().unwrap_or_default();
                let wanted = (name.as_str(), what.as_str(), level);
                assert!(EXTRA_PERMISSIONS.contains(&wanted), "{job} of {wanted:?}");
            }
        }
    }
}

/// Whoever may write runs nothing that a pull request can change.
#[test]
fn a_job_that_may_write_checks_nothing_out() {
    for name in workflows() {
        for (job, body) in objects(&workflow(&name)["jobs"]) {
            let may_write = objects(&body["permissions"]).any(|(_, level)| level == "write");
            let checks_out = steps(body).any(|step| {
                let uses = step["uses"].as_str().unwrap_or_default();
                uses.starts_with("actions/checkout") || uses.starts_with("./")
            });
            assert!(!(may_write && checks_out), "{name}: {job}");
        }
    }
}

#[test]
fn every_job_ends_in_time_and_gives_way_to_the_next_push() {
    for name in workflows() {
        let workflow = workflow(&name);
        assert!(workflow["concurrency"]["group"].is_string(), "{name}");
        for (job, body) in objects(&workflow["jobs"]) {
            let minutes = body["timeout-minutes"].as_u64();
            assert!(
                minutes.is_some_and(|minutes| minutes < JOB_MINUTES_MAX),
                "{name}: {job} has {minutes:?} minutes"
            );
        }
    }
}

#[test]
fn every_action_that_is_used_is_pinned_to_a_commit() {
    let mut texts: Vec<_> = workflows()
        .into_iter()
        .map(|name| format!("{WORKFLOWS}/{name}"))
        .collect();
    texts.push(ACTION.to_owned());
    for name in texts {
        for line in read(&name).lines().map(str::trim) {
            let Some((_, used)) = line.split_once("uses: ") else {
                continue;
            };
            let pin = used.split(' ').next().and_then(|used| used.split_once('@'));
            let is_commit = |pin: &str| {
                pin.len() == COMMIT_CHARACTERS && pin.chars().all(|char| char.is_ascii_hexdigit())
            };
            let is_pinned = used == "./" || pin.is_some_and(|(_, pin)| is_commit(pin));
            assert!(is_pinned, "{name}: {line}");
            assert!(used == "./" || line.contains(" # v"), "{name}: {line}");
        }
    }
}

/// Its script gets every input as a variable: as part of the script it could be a command.
#[test]
fn the_action_gives_its_inputs_to_its_script_as_variables() {
    let action = yaml(ACTION, &read(ACTION));
    let steps: Vec<&Value> = steps(&action["runs"]).collect();
    for (name, _) in objects(&action["inputs"]) {
        let given = json!(format!("${{{{ inputs.{name} }}}}"));
        let is_given = |step: &&Value| objects(&step["env"]).any(|(_, value)| *value == given);
        assert!(steps.iter().any(is_given), "{name} is not given on");
    }
    for step in steps {
        let script = step["run"].as_str().expect("a script");
        assert!(!script.contains("${{"), "{script}");
    }
}

#[test]
#[ignore = "nightly: needs Go, and its module proxy"]
fn actionlint_finds_nothing_in_the_workflows() {
    let home = || Some(PathBuf::from(GO_HOME)).filter(|path| path.is_file());
    let Some(go) = program(&["go"]).or_else(home) else {
        return servers::ignored("Go is missing, and actionlint is built with it");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let built = Command::new(go)
        .args(["install", ACTIONLINT])
        .env("GOBIN", folder.path())
        // So that no C compiler is needed.
        .env("CGO_ENABLED", "0")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .status()
        .expect("go starts");
    assert!(built.success(), "go install {ACTIONLINT} failed");
    let files = workflows()
        .into_iter()
        .map(|name| format!("{WORKFLOWS}/{name}"));
    let output = Command::new(folder.path().join("actionlint"))
        .args(files)
        .current_dir(root())
        .output()
        .expect("actionlint starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}
