//! Runs without any server: what `auto` falls back to, what it skips, what is refused, and that a
//! killed lab leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use reports::result::AuditVerdict;
use scenarios::usage::proc;

use crate::{fresh_folder, lab, measured, only_result, text, told};

/// Longest time until all that a killed lab has started is gone.
const GONE_LIMIT: Duration = Duration::from_secs(5);

/// On a machine that seems to have no servers at all.
fn bare_lab(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = lab(folder, arguments);
    command.env("LAB_SEARCH_PATH", "");
    command
}

#[test]
fn auto_without_servers_ends_with_a_table_on_engines_that_need_none_and_says_what_it_skipped() {
    let folder = fresh_folder("embedded_run");
    let arguments = ["bench", "smoke", "--requests", "500"];
    let Output {
        status,
        stdout,
        stderr,
    } = bare_lab(&folder, &arguments).output().expect("lab starts");
    let (tables, log) = (text(&stdout), text(&stderr));
    assert_eq!(status.code(), Some(0), "{tables}\n{log}");
    let says = |start: &str| log.lines().any(|line| line.starts_with(start));
    assert!(
        says("stack: embedded: one process with every role on one SQLite "),
        "{log}"
    );
    assert!(
        says("skipped on this stack: lua-single-key (needs redis)"),
        "{log}"
    );
    assert!(says("in their place: preallocated, database-row"), "{log}");
    assert!(!says("warning: "), "{log}");
    assert!(tables.contains("preallocated"), "{tables}");
    assert!(tables.to_lowercase().contains("embedded"), "{tables}");

    let result = only_result(&folder);
    assert!(result.complete && result.error.is_none());
    assert_eq!(result.stack.kind, "embedded");
    let skipped = |skipped: bool| {
        let subjects = result.subjects.iter();
        let found = subjects.filter(move |it| it.skipped_why.is_some() == skipped);
        found.map(|it| it.id.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(skipped(true), ["lua-single-key"]);
    assert_eq!(skipped(false), ["preallocated", "database-row"]);
    assert_eq!(result.stack.settings["sqlite.synchronous"], "full");
    for leg in &result.legs {
        assert_eq!(told(leg), (500, 500), "{:?}", measured(leg).statuses);
        assert_eq!(
            leg.audit.as_ref().expect("audited").verdict,
            AuditVerdict::Passed
        );
        assert_eq!(leg.durable.as_ref().expect("sampled").missing, 0);
        let processes: Vec<&str> = measured(leg).usage.keys().map(String::as_str).collect();
        assert_eq!(processes, ["all", "driver", "lab"]);
    }
}

#[test]
fn null_runs_without_servers_and_is_not_judged() {
    let folder = fresh_folder("embedded_null");
    let arguments = [
        "bench",
        "smoke",
        "--requests",
        "500",
        "--stack",
        "embedded",
        "--engine",
        "null",
    ];
    let Output {
        status,
        stdout,
        stderr,
    } = bare_lab(&folder, &arguments).output().expect("lab starts");
    assert_eq!(
        status.code(),
        Some(0),
        "{}\n{}",
        text(&stdout),
        text(&stderr)
    );
    let result = only_result(&folder);
    assert_eq!(
        result.legs[0].audit.as_ref().expect("said").verdict,
        AuditVerdict::NotApplicable
    );
    assert!(
        result.subjects.len() == 1 && result.stack.why.contains("as asked for"),
        "{:?}",
        result.stack
    );
}

#[test]
fn an_engine_that_needs_redis_is_refused_where_there_is_none() {
    let folder = fresh_folder("embedded_refused");
    let arguments = [
        "bench",
        "smoke",
        "--stack",
        "embedded",
        "--engine",
        "null",
        "--engine",
        "lua-single-key",
    ];
    let output = lab(&folder, &arguments).output().expect("lab starts");
    let log = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{log}");
    let last = log.lines().last().unwrap_or_default();
    let said = "error: engine lua-single-key cannot run on the embedded stack: it needs redis; engines that can: null, ";
    assert!(last.starts_with(said), "{log}");
    assert_eq!(
        std::fs::read_dir(&folder).expect("readable").count(),
        0,
        "nothing was run"
    );
}

#[test]
fn a_killed_lab_leaves_no_process_and_no_file() {
    let folder = fresh_folder("embedded_killed");
    let scratch = fresh_folder("embedded_killed_scratch");
    let arguments = [
        "bench",
        "laptop",
        "--stack",
        "embedded",
        "--engine",
        "preallocated",
        "--requests",
        "10000000",
    ];
    let mut child = lab(&folder, &arguments)
        .arg("--scratch")
        .arg(&scratch)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("lab starts");
    let lines = BufReader::new(child.stderr.take().expect("piped"))
        .lines()
        .map_while(Result::ok);
    let mut log = Vec::new();
    let under_way = lines.into_iter().any(|line| {
        let under_way = line.contains(" of 10,000,000 ");
        log.push(line);
        under_way
    });
    assert!(under_way, "no progress: {log:?}");
    let run = std::fs::read_dir(&scratch)
        .expect("readable")
        .next()
        .expect("a folder")
        .expect("readable");
    let name = run.file_name().to_string_lossy().into_owned();
    let tag = format!(
        "LAB_RUN_ID={}",
        name.strip_prefix("lab-").expect("its run id")
    );
    let members = || {
        proc::all()
            .iter()
            .filter(|process| proc::carries(process.pid, &tag))
            .count()
    };
    // The system and the driver.
    assert_eq!(members(), 2);
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");
    let deadline = Instant::now() + GONE_LIMIT;
    while members() > 0 || run.path().exists() {
        assert!(
            Instant::now() < deadline,
            "{} processes, folder there: {}",
            members(),
            run.path().exists()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}
