//! `lab setup` where it may install nothing: it says where each program is, or in one sentence what
//! is missing and how to get it.

use std::process::Command;

use crate::text;

/// What `lab setup --no-install` says with this option, on a machine whose only programs are in
/// `search_path`.
fn said(option: &[&str], search_path: Option<&str>) -> (Option<i32>, String, String) {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
    lab.args(["setup", "--no-install"]).args(option);
    if let Some(search_path) = search_path {
        let nothing_installed = tempfile::tempdir().expect("a folder");
        lab.env("LAB_SEARCH_PATH", search_path)
            .env("HOME", nothing_installed.path())
            .env_remove("XDG_CACHE_HOME");
    }
    let output = lab.output().expect("lab starts");
    let code = output.status.code();
    (code, text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_machine_with_nothing_is_told_what_is_missing_and_nothing_is_installed() {
    let (code, out, error) = said(&[], Some(""));
    assert_eq!(
        (code, out.as_str(), error.lines().count()),
        (Some(1), "", 1),
        "{error}"
    );
    let missing = "missing: redis-server, rabbitmq-server, mariadbd or mysqld; ";
    assert!(error.starts_with(&format!("error: {missing}")), "{error}");
}

#[test]
fn what_is_there_is_listed_with_its_place() {
    if !scenarios::setup::find().missing().is_empty() {
        servers::ignored("not every server is installed");
        return;
    }
    let (code, out, error) = said(&[], None);
    assert_eq!(code, Some(0), "{error}");
    let names: Vec<&str> = out
        .lines()
        .filter_map(|line| line.split("  ").next())
        .collect();
    assert_eq!(
        names,
        ["redis-server", "rabbitmq-server", "database server"]
    );
    // What no other command needs is found, or said how to get; never built here.
    for (option, found, how) in [
        ("--ghz", "ghz", "`lab setup --ghz` builds it"),
        ("--instructions", "valgrind", "`lab setup --instructions`"),
    ] {
        let (code, more, error) = said(&[option], None);
        match code {
            Some(0) => {
                let last = more.strip_prefix(&out).expect("behind the servers");
                assert!(last.starts_with(found), "{more}");
            }
            _ => assert!(code == Some(1) && error.contains(how), "{option}: {error}"),
        }
    }
}
