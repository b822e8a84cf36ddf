//! Every option of `lab bench`, and every value that its help offers, is run at least once: small
//! legs, with all servers, and a test that fails when the help offers what no leg runs.

#[path = "options/covered.rs"]
mod covered;
#[path = "options/external.rs"]
mod external;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use reports::result::{Ack, AuditVerdict, QueueKind, Run};

/// The lab's own servers, promising all they can, on quorum queues.
const DURABLE: &[&str] = &[
    "--stack",
    "servers",
    "--queue-type",
    "quorum",
    "--appendfsync",
    "always",
    "--innodb-flush-log-at-trx-commit",
    "1",
    "--ack",
    "confirmed",
    "--engine",
    "lua-single-key",
    "--requests",
    "300",
    "--concurrency",
    "20",
    "--connections",
    "5",
    "--timeout",
    "20s",
    "--rounds",
    "1",
    "--seed",
    "7",
    "--driver",
    "grpc",
    "--driver-threads",
    "2",
    "--expect",
    "errors==0",
    "--save",
    "durable",
    "--details",
    "--hgrm",
];

/// The same, promising next to nothing.
const QUICK: &[&str] = &[
    "--stack",
    "servers",
    "--queue-type",
    "classic",
    "--appendfsync",
    "no",
    "--innodb-flush-log-at-trx-commit",
    "0",
    "--ack",
    "published",
    "--engine",
    "lua-single-key",
    "--requests",
    "300",
    "--timeout",
    "20s",
    "--allow-volatile",
    "--set",
    "mq.order_batch_size=50",
    "--keep",
];

/// Servers of somebody else, with the database's middle way of committing.
const EXTERNAL: &[&str] = &[
    "--stack",
    "external",
    "--queue-type",
    "classic",
    "--engine",
    "lua-single-key",
    "--engine",
    "sharded-slots",
    "--requests",
    "300",
    "--timeout",
    "20s",
];

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

/// The result of a run of `smoke` in which nothing went wrong.
fn bench(folder: &Path, arguments: &[&str], more: &[String]) -> Run {
    let json = folder.join("result.json");
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
    lab.args(["bench", "smoke", "--no-install"])
        .args(arguments)
        .args(more)
        .arg("--out")
        .arg(folder)
        .arg("--json")
        .arg(&json)
        .stdin(Stdio::null());
    let Output {
        status,
        stdout,
        stderr,
    } = lab.output().expect("lab starts");
    let said = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    let said = said.concat();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(!said.contains("warning: "), "{said}");
    let text = std::fs::read_to_string(json).expect("written");
    let result = Run::from_json(&text).expect("own result");
    for leg in &result.legs {
        let measured = leg.measured().expect("measured");
        let outcomes = measured.outcomes();
        assert_eq!(
            (outcomes.accepted, outcomes.total()),
            (300, 300),
            "{:?}",
            measured.statuses
        );
        let audit = leg.audit.as_ref().expect("audited");
        assert_eq!(audit.verdict, AuditVerdict::Passed, "{audit:?}");
    }
    result
}

/// What the servers say of themselves.
fn setting<'a>(result: &'a Run, name: &str) -> &'a str {
    let settings = &result.stack.settings;
    let found = settings.iter().find(|(key, _)| key.ends_with(name));
    found.unwrap_or_else(|| panic!("no {name}: {settings:?}")).1
}

#[test]
fn a_leg_on_quorum_queues_and_servers_that_flush_everything_ends_with_a_passed_audit() {
    if !has_servers() {
        return;
    }
    let result = bench(&fresh_folder("durable"), DURABLE, &[]);
    assert_eq!(setting(&result, ".queue_type"), "quorum");
    assert_eq!(setting(&result, ".appendfsync"), "always");
    assert_eq!(setting(&result, ".innodb_flush_log_at_trx_commit"), "1");
    assert_eq!(result.durability.ack, Ack::Confirmed);
    assert_eq!(result.durability.queue, QueueKind::Quorum);
    assert_eq!(result.durability.redis_aof.as_deref(), Some("always"));
    assert_eq!(result.durability.db_flush.as_deref(), Some("1"));
    assert_eq!(result.legs.len(), 1);
    assert_eq!(result.seed, 7);
}

#[test]
fn a_leg_on_servers_that_flush_nothing_says_so_and_keeps_its_data_if_asked_to() {
    if !has_servers() {
        return;
    }
    let folder = fresh_folder("quick");
    let scratch = folder.join("scratch");
    let more = ["--scratch".to_owned(), scratch.display().to_string()];
    let result = bench(&folder, QUICK, &more);
    assert_eq!(setting(&result, ".queue_type"), "classic");
    assert_eq!(setting(&result, ".appendfsync"), "no");
    assert_eq!(setting(&result, ".innodb_flush_log_at_trx_commit"), "0");
    assert_eq!(result.durability.ack, Ack::Published);
    let overrides = &result.stack.overrides;
    assert_eq!(overrides["SECKILL__MQ__ORDER_BATCH_SIZE"], "50");
    assert_eq!(overrides["SECKILL__ENGINE__ALLOW_VOLATILE"], "true");
    let run = std::fs::read_dir(&scratch).expect("readable").next();
    let logs = run.expect("kept").expect("readable").path().join("logs");
    assert!(logs.join("rabbitmq.log").is_file(), "{}", logs.display());
    std::fs::remove_dir_all(&scratch).expect("removed");
}
