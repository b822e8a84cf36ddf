//! What the lab says about itself and its machine: the catalog, the help and the doctor's report.

use std::process::Command;

use crate::{lab, text};

#[test]
fn a_machine_without_servers_is_told_what_is_missing_and_what_still_works() {
    let output = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["doctor", "--no-install"])
        .env("LAB_SEARCH_PATH", "")
        .output()
        .expect("lab starts");
    let report = text(&output.stdout);
    let line = |name: &str| {
        report
            .lines()
            .find(|line| line.trim_start().starts_with(name))
            .unwrap_or_default()
    };
    assert!(
        line("servers ").contains("redis-server, rabbitmq-server, mariadbd or mysqld missing"),
        "{report}"
    );
    assert!(line("embedded ").ends_with(" usable"), "{report}");
    assert!(text(&lab(&["doctor", "--help"]).stdout).contains("LAB_SEARCH_PATH"));
}

#[test]
fn the_catalog_is_listed() {
    let output = lab(&["scenarios"]);
    assert_eq!(output.status.code(), Some(0));
    let list = text(&output.stdout);
    for name in ["smoke", "laptop", "4c4g"] {
        let start = format!("{name} (about ");
        assert!(list.lines().any(|line| line.starts_with(&start)), "{list}");
    }
    assert!(
        list.contains("-c 150 -n 50000 --connections=120 --timeout=2s"),
        "{list}"
    );
}

#[test]
fn help_hides_what_is_not_for_people() {
    let output = lab(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output.stdout);
    for command in [
        "setup",
        "doctor",
        "bench",
        "load",
        "engines",
        "scenarios",
        "audit",
        "test",
        "up",
    ] {
        assert!(
            help.lines()
                .any(|line| line.trim_start().starts_with(command)),
            "no {command} in\n{help}"
        );
    }
    assert!(!help.contains("guard"), "{help}");
}

#[test]
fn the_engines_are_listed_for_people_and_for_programs() {
    let output = lab(&["engines"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let list = text(&output.stdout);
    let output = lab(&["engines", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let entries: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let entries = entries.as_array().expect("a list");
    let names: Vec<&str> = entries
        .iter()
        .map(|entry| entry["name"].as_str().expect("a name"))
        .collect();
    assert!(names.contains(&"lua-single-key"), "{names:?}");
    let listed: Vec<&str> = list.lines().filter(|line| names.contains(line)).collect();
    assert_eq!(listed, names);
}
