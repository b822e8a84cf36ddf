//! The command line as its users meet it: exit codes, one clear sentence per error, and the plan
//! that `--dry-run` prints.

#[path = "cli/compare.rs"]
mod compare;
#[path = "cli/dry_run.rs"]
mod dry_run;
#[path = "cli/history.rs"]
mod history;
#[path = "cli/listings.rs"]
mod listings;
#[path = "cli/load.rs"]
mod load;
#[path = "cli/report.rs"]
mod report;
#[path = "cli/scenario_files.rs"]
mod scenario_files;
#[path = "cli/setup.rs"]
mod setup;
#[path = "cli/show.rs"]
mod show;
#[path = "cli/wrong_usage.rs"]
mod wrong_usage;

use std::process::{Command, Output};

fn lab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(arguments)
        .output()
        .expect("lab starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Standard error of a command that must end with this exit code and without a result.
fn refused(arguments: &[&str], exit_code: i32) -> String {
    let output = lab(arguments);
    let error = text(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(exit_code),
        "{arguments:?}: {error}"
    );
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    assert!(error.starts_with("error: "), "{arguments:?}: {error}");
    error
}

/// The same for an error that is one sentence in one line.
fn refused_in_one_line(arguments: &[&str], exit_code: i32) -> String {
    let error = refused(arguments, exit_code);
    assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
    error.trim_end().to_owned()
}

/// The last line that a refused plan prints; before it, cargo may say what it builds.
fn refused_plan(arguments: &[&str]) -> String {
    let output = lab(&[&["bench", "--dry-run"], arguments].concat());
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(2), ""),
        "{arguments:?}"
    );
    text(&output.stderr)
        .lines()
        .last()
        .expect("an error")
        .to_owned()
}

fn plan(arguments: &[&str]) -> String {
    let output = lab(&[&["bench", "--dry-run"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}
