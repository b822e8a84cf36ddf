//! Recorded summaries read, counts compared, and every refusal in its words.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::*;

/// As gungraun-runner 0.20.0 prints it; `PACKAGE`, `FUNCTION` and `COUNT` stand for what differs.
const SUMMARY: &str = include_str!("summary.json");

fn summary(package: &str, function: &str, count: &str) -> String {
    SUMMARY
        .trim()
        .replace("PACKAGE", package)
        .replace("FUNCTION", function)
        .replace("\"COUNT\"", count)
}

fn counted(counts: &[(&str, u64)]) -> Counts {
    let instructions = counts
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count));
    Counts {
        instructions: instructions.collect(),
    }
}

fn refusal(text: &str) -> String {
    format!("{:#}", summary::read(text).expect_err("refused"))
}

#[test]
fn a_recorded_summary_gives_the_instructions_of_each_bench() {
    let lines = [
        "skipped: somebody else's line".to_owned(),
        summary("engines", "spin", "700051"),
        summary("system", "batch_of_256", "12345678"),
    ];
    let expected = [
        ("engines/spin/rounds", 700_051),
        ("system/batch_of_256/rounds", 12_345_678),
    ];
    let read = summary::read(&lines.join("\n")).expect("readable");
    assert_eq!(read, counted(&expected));
}

#[test]
fn what_is_cut_off_of_another_version_or_without_a_count_is_refused() {
    let whole = summary("engines", "spin", "7");
    let cut = refusal(&whole[..whole.len() / 2]);
    assert!(
        cut.starts_with("a summary of gungraun cannot be read"),
        "{cut}"
    );
    let future = whole.replace("\"version\":\"7\"", "\"version\":\"8\"");
    assert_eq!(
        refusal(&future),
        "a summary of gungraun has version 8; known: 7"
    );
    let other_tool = whole.replace("\"tool\":\"Callgrind\"", "\"tool\":\"DHAT\"");
    assert_eq!(
        refusal(&other_tool),
        "engines/spin/rounds has no count of instructions"
    );
    assert_eq!(
        refusal(&summary("engines", "spin", "0")),
        "engines/spin/rounds has counted no instruction"
    );
    assert_eq!(
        refusal(&format!("{whole}\n{whole}")),
        "there are two counts of engines/spin/rounds"
    );
}

#[test]
fn a_package_that_counted_nothing_is_an_error_and_so_is_a_bench_that_failed() {
    let output = |code: i32, stdout: String, stderr: &str| Output {
        status: ExitStatus::from_raw(code << 8),
        stdout: stdout.into_bytes(),
        stderr: stderr.as_bytes().to_vec(),
    };
    let one = output(0, summary("engines", "spin", "7"), "");
    assert_eq!(
        read(&one, &["engines"]).expect("read"),
        counted(&[("engines/spin/rounds", 7)])
    );
    let error = read(&one, &["engines", "system"]).expect_err("nothing of system");
    assert_eq!(error.to_string(), "the bench of system has counted nothing");
    let failed = output(101, String::new(), "a\nerror: no such thing\n");
    let error = read(&failed, &["engines"]).expect_err("it failed");
    assert!(
        format!("{error}").ends_with("error: no such thing"),
        "{error}"
    );
    // A gate says it in one line.
    assert_eq!(
        not_measured(&error),
        "instruction counts: not measured (the benches failed (exit status: 101):)"
    );
}

#[test]
fn the_worst_ratio_is_found_and_what_one_side_lacks_is_listed() {
    let base = counted(&[("a", 1_000), ("b", 200), ("gone", 5)]);
    let head = counted(&[("a", 1_049), ("b", 150), ("new", 9)]);
    let compared = compare(&base, &head);
    assert_eq!(compared.ratios.len(), 2);
    assert_eq!(compared.worst(), Some(("a", 1.049)));
    assert_eq!(
        compared.to_string(),
        "instruction counts: 2 compared, the worst +4.90 % instructions (a); in base only: gone; \
         in head only: new"
    );
}

#[test]
fn nothing_in_common_is_said() {
    let head = counted(&[("a", 105_000), ("b", 105_010), ("c", 110_000)]);
    let none = compare(&Counts::default(), &head);
    assert_eq!(none.worst(), None);
    assert_eq!(
        none.to_string(),
        "instruction counts: nothing in common; in head only: a, b, c"
    );
}

#[test]
fn a_tree_without_such_a_bench_is_refused_before_anything_is_built() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = folder.path().join("target");
    let error = counts(folder.path(), &target).expect_err("there is none");
    assert_eq!(
        not_measured(&error),
        "instruction counts: not measured (no bench `instructions` in any of engines, system, \
         loadgen)"
    );
    assert!(!target.exists());
}

#[test]
fn the_release_comes_from_the_trees_lock() {
    let lock = include_str!("../../../../Cargo.lock");
    let version = locked_version(lock).expect("gungraun is in it");
    assert_eq!(version, servers::counting::RUNNER_VERSION);
    assert_eq!(locked_version("[[package]]\nname = \"other\"\n"), None);
}
