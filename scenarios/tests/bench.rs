//! Whole runs of `lab bench`, with real servers and without any: the result of a successful run,
//! what is refused, and what remains of a run that ends early.

#[path = "bench/after_yes.rs"]
mod after_yes;
#[path = "bench/embedded.rs"]
mod embedded;
#[path = "bench/lost_order.rs"]
mod lost_order;
#[path = "bench/matrix.rs"]
mod matrix;
#[path = "bench/over_http.rs"]
mod over_http;
#[path = "bench/phases.rs"]
mod phases;
#[path = "bench/unsafe_counter.rs"]
mod unsafe_counter;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use reports::result::{AuditVerdict, Leg, Phase, Run, metric};

/// Longest time that an interrupted run may take to end.
const END_LIMIT: Duration = Duration::from_secs(60);
/// Building the system is part of the first run.
const START_LIMIT: Duration = Duration::from_secs(900);

fn has_servers() -> bool {
    let missing = scenarios::setup::find().missing();
    if !missing.is_empty() {
        servers::ignored(&format!("{} missing", missing.join(", ")));
    }
    missing.is_empty()
}

fn fresh_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // What an earlier run of this test left.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("made");
    folder
}

fn lab(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command
        .args(arguments)
        .arg("--no-install")
        .arg("--out")
        .arg(folder)
        .stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn only_result(folder: &Path) -> Run {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("readable")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    let endings: Vec<_> = files
        .iter()
        .filter_map(|path| path.extension()?.to_str())
        .collect();
    assert_eq!(endings, ["html", "json", "md"], "{files:?}");
    must_be_valid(&files[1]);
    Run::from_json(&std::fs::read_to_string(&files[1]).expect("readable")).expect("own result")
}

fn leg<'a>(result: &'a Run, engine: &str) -> &'a Leg {
    result
        .legs
        .iter()
        .find(|leg| leg.subject == engine)
        .unwrap_or_else(|| panic!("no leg of {engine}"))
}

/// The phase whose figures stand for a leg.
fn measured(leg: &Leg) -> &Phase {
    leg.measured().expect("measured")
}

/// Accepted orders, and requests that ended in any way.
fn told(leg: &Leg) -> (u64, u64) {
    let outcomes = measured(leg).outcomes();
    (outcomes.accepted, outcomes.total())
}

/// Fails unless a result is what the schema in the tree says.
fn must_be_valid(path: &Path) {
    let schema =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/schema/result-2.schema.json");
    let read = |path: &Path| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(path).expect("readable")).expect("JSON")
    };
    let validator = jsonschema::validator_for(&read(&schema)).expect("a schema");
    let faults: Vec<String> = validator
        .iter_errors(&read(path))
        .map(|fault| format!("{}: {fault}", fault.instance_path))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_small_run_ends_with_tables_files_and_a_passed_audit() {
    if !has_servers() {
        return;
    }
    let folder = fresh_folder("small_run");
    let arguments = [
        "bench",
        "smoke",
        "--requests",
        "500",
        "--engine",
        "lua-single-key",
        "--engine",
        "null",
    ];
    let Output {
        status,
        stdout,
        stderr,
    } = lab(&folder, &arguments).output().expect("lab starts");
    let (tables, log) = (text(&stdout), text(&stderr));
    assert_eq!(status.code(), Some(0), "{tables}\n{log}");
    assert!(
        tables.contains("lua-single-key") && tables.contains("null"),
        "{tables}"
    );
    // The results of this test lie deep, and a path is never cut.
    let folded = tables.lines().filter(|line| !line.contains("small_run"));
    let widest = folded.map(|line| line.chars().count()).max();
    assert!(
        widest <= Some(80) && tables.lines().count() <= 24,
        "{tables}"
    );

    let result = only_result(&folder);
    assert!(result.complete && result.error.is_none());
    let sold = leg(&result, "lua-single-key");
    assert_eq!(told(sold), (500, 500), "{:?}", measured(sold).statuses);
    assert_eq!(
        sold.audit.as_ref().expect("audited").verdict,
        AuditVerdict::Passed
    );
    assert!(sold.drain_ns.is_some() && sold.committed_at_last_reply.is_some());
    let durable = sold.durable.as_ref().expect("sampled");
    assert_eq!((durable.samples, durable.missing), (5, 0), "{durable:?}");
    assert!(durable.poll_gap_p99_ns > 0, "{durable:?}");
    for id in [
        "p99_ms",
        "cpu_us_per_request",
        "cpu_us_per_order_drained",
        "disk_bytes_per_order",
    ] {
        assert!(metric(id).expect("known").of(sold) > Some(0.0), "{id}");
    }
    for process in [
        "driver",
        "lab",
        "seckill",
        "create-consumer",
        "reconciler",
        "redis",
        "rabbitmq",
        "mariadb",
    ] {
        assert!(
            measured(sold).usage.contains_key(process),
            "{process}: {:?}",
            measured(sold).usage.keys()
        );
    }
    let null = leg(&result, "null");
    assert_eq!(
        null.audit.as_ref().expect("said").verdict,
        AuditVerdict::NotApplicable
    );
    assert!(
        result.stack.settings.contains_key("redis.appendfsync"),
        "{:?}",
        result.stack.settings
    );
}

#[test]
fn an_unknown_engine_is_wrong_usage_and_lists_the_known_ones() {
    let folder = fresh_folder("unknown_engine");
    let output = lab(&folder, &["bench", "smoke", "--engine", "redsi"])
        .output()
        .expect("lab starts");
    let log = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{log}");
    let last = log.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("error: unknown engine \"redsi\"; known: null, "),
        "{log}"
    );
    assert!(last.contains("lua-single-key"), "{log}");
}

#[test]
fn a_cluster_runs_engines_that_can_use_it_and_refuses_those_that_want_one_redis() {
    if !has_servers() {
        return;
    }
    let folder = fresh_folder("cluster");
    let of = |engine: &str| {
        let arguments = [
            "bench",
            "smoke",
            "--redis-cluster",
            "--requests",
            "500",
            "--engine",
            engine,
        ];
        lab(&folder, &arguments).output().expect("lab starts")
    };
    let refused = of("lua-single-key");
    let log = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{log}");
    let last = log.lines().last().unwrap_or_default();
    let said = "error: engine lua-single-key cannot run on a Redis Cluster: it needs a single redis, not a cluster; ";
    assert!(
        last.starts_with(said) && last.contains("sharded-slots"),
        "{log}"
    );

    let Output {
        status,
        stdout,
        stderr,
    } = of("sharded-slots?slots=6");
    assert_eq!(
        status.code(),
        Some(0),
        "{}\n{}",
        text(&stdout),
        text(&stderr)
    );
    assert!(!text(&stderr).contains("warning: "), "{}", text(&stderr));
    let result = only_result(&folder);
    let sold = leg(&result, "sharded-slots?slots=6");
    assert_eq!(told(sold), (500, 500));
    assert_eq!(
        sold.audit.as_ref().expect("audited").verdict,
        AuditVerdict::Passed
    );
    assert_eq!(result.stack.settings["redis.cluster_nodes"], "3");
    assert!(
        measured(sold).usage["redis"].peak_rss_bytes > 0,
        "{:?}",
        measured(sold).usage.keys()
    );
}

#[test]
fn ctrl_c_ends_the_leg_and_still_writes_what_was_measured() {
    if !has_servers() {
        return;
    }
    let folder = fresh_folder("interrupted");
    // Far more requests than can be answered before the interrupt.
    let arguments = [
        "bench",
        "laptop",
        "--requests",
        "10000000",
        "-c",
        "50",
        "--connections",
        "10",
    ];
    let mut child = lab(&folder, &arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("lab starts");
    let stderr = BufReader::new(child.stderr.take().expect("piped"));
    let started = Instant::now();
    let mut asked = false;
    let mut log = Vec::new();
    for line in stderr.lines() {
        let line = line.expect("UTF-8");
        let under_way = line.contains(" of 10,000,000 ");
        log.push(line);
        if under_way && !asked {
            interrupt(&child);
            asked = true;
        }
        assert!(started.elapsed() < START_LIMIT, "no progress: {log:?}");
    }
    let status = ended(&mut child).unwrap_or_else(|| panic!("lab did not end: {log:?}"));
    assert_eq!(status, Some(1), "{log:?}");
    let result = only_result(&folder);
    assert!(!result.complete);
    assert_eq!(result.legs[0].error.as_deref(), Some("interrupted"));
    assert!(
        told(&result.legs[0]).0 > 0 && measured(&result.legs[0]).headline_latencies().count() > 0,
        "{:?}",
        result.legs[0].error
    );
}

fn interrupt(child: &Child) {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is running");
}

/// The exit code once the process has ended; none if it does not end.
fn ended(child: &mut Child) -> Option<Option<i32>> {
    let started = Instant::now();
    while started.elapsed() < END_LIMIT {
        if let Some(status) = child.try_wait().expect("own child") {
            return Some(status.code());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // So that the test leaves no process behind.
    let _ = child.kill();
    let _ = child.wait();
    None
}
