//! Scenarios that are unknown, missing or wrong are refused with the file, the line and what is
//! allowed.

use std::path::PathBuf;

use crate::refused_in_one_line;

fn scenario_file(name: &str, from: &str, to: &str) -> PathBuf {
    let smoke = include_str!("../../catalog/smoke.toml");
    assert!(smoke.contains(from), "smoke.toml has no {from}");
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, smoke.replacen(from, to, 1)).expect("written");
    path
}

#[test]
fn an_unknown_scenario_lists_the_known_ones() {
    let error = refused_in_one_line(&["bench", "smok", "--dry-run"], 2);
    let known: Vec<&str> = scenarios::catalog::EMBEDDED
        .iter()
        .map(|(name, _)| *name)
        .collect();
    let known = known.join(", ");
    assert_eq!(
        error,
        format!("error: unknown scenario \"smok\"; known: {known}, or the path of a .toml file")
    );
}

#[test]
fn a_scenario_file_that_is_not_there_is_named() {
    let error = refused_in_one_line(&["bench", "./nowhere.toml", "--dry-run"], 2);
    assert!(
        error.contains("./nowhere.toml: the scenario file cannot be read"),
        "{error}"
    );
}

#[test]
fn an_unknown_key_is_refused_with_file_line_and_what_is_allowed() {
    let path = scenario_file("unknown_key.toml", "rounds = 1", "round = 1");
    let error = refused_in_one_line(&["bench", path.to_str().expect("UTF-8"), "--dry-run"], 2);
    assert!(
        error.contains("unknown_key.toml:6: unknown field `round`"),
        "{error}"
    );
    assert!(
        error.contains("`rounds`") && error.contains("`engines`"),
        "{error}"
    );
}

#[test]
fn a_scenario_with_zero_requests_is_refused_with_its_line() {
    let path = scenario_file("zero_requests.toml", "requests = 2_000", "requests = 0");
    let error = refused_in_one_line(&["bench", path.to_str().expect("UTF-8"), "--dry-run"], 2);
    assert!(
        error.contains("zero_requests.toml:30: requests = 0 is out of range; allowed: 1 to"),
        "{error}"
    );
}
