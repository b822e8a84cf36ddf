//! The private servers with real binaries: they come up, answer, say what is wrong, and are gone
//! afterwards, however their owner ended. Nothing else on the machine is touched.

#[path = "stack/cluster.rs"]
mod cluster;
#[path = "stack/embedded.rs"]
mod embedded;
#[path = "stack/limits.rs"]
mod limits;
#[path = "stack/processes.rs"]
mod processes;
#[path = "stack/tmpfs.rs"]
mod tmpfs;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reports::result::{Sees, UsageByProcess, UsageSource};
use rustix::process::{Pid, Signal, kill_process};
use scenarios::stack::{RoleSpec, Stack, StackOptions};
use scenarios::testing;
use scenarios::usage::Counters;
use servers::RedisServer;
use sqlx::Connection;

use processes::Family;
use tmpfs::Tmpfs;

/// What every process of a stack has used since it was started.
fn used(stack: &Stack) -> UsageByProcess {
    stack.counters().since(&Counters::new())
}

/// What the issue promises for a killed lab.
const GONE_LIMIT: Duration = Duration::from_secs(5);

fn shell_role(name: &str, script: &str) -> RoleSpec {
    RoleSpec {
        name: name.to_owned(),
        program: PathBuf::from("/bin/sh"),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: Vec::new(),
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("not 0");
    kill_process(pid, signal).expect("delivered");
}

/// A `lab up` that has started a stack, the lines of its standard output, and the id of its run.
fn up(command: &mut Command) -> (Child, Vec<String>, String) {
    let mut lab = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("lab");
    let mut seen = Vec::new();
    let mut run_id = None;
    for line in BufReader::new(lab.stdout.take().expect("its output"))
        .lines()
        .map_while(Result::ok)
    {
        run_id = line.strip_prefix("LAB_RUN_ID=").map(str::to_owned);
        seen.push(line);
        if run_id.is_some() {
            break;
        }
    }
    let run_id = run_id.unwrap_or_else(|| panic!("lab up ended: {seen:?}"));
    (lab, seen, run_id)
}

async fn assert_all_answer(stack: &Stack) {
    let mut database = sqlx::MySqlConnection::connect(&stack.database_url("mysql"))
        .await
        .expect("a database");
    let one: i32 = sqlx::query_scalar("SELECT 1")
        .fetch_one(&mut database)
        .await
        .expect("an answer");
    assert_eq!(one, 1);
    let url = stack.amqp_url();
    let broker = lapin::Connection::connect(&url, lapin::ConnectionProperties::default())
        .await
        .expect("a broker");
    broker.close(200, "seen".into()).await.expect("closed");
    let redis = stack
        .redis_url()
        .trim_start_matches("redis://")
        .trim_end_matches('/')
        .to_owned();
    tokio::net::TcpStream::connect(redis)
        .await
        .expect("a Redis");
}

#[tokio::test]
async fn servers_come_up_answer_and_are_gone_after_stop_with_epmd() {
    let nothing = Counters::new();
    let Some(stack) = testing::own_stack(&testing::options()).await else {
        return;
    };
    eprintln!("ready after (ms): {:?}", stack.start_ms());
    assert_all_answer(&stack).await;
    stack.check().await.expect("all is well");
    let settings = stack.settings();
    assert_eq!(settings["redis.appendfsync"], "everysec");
    assert_eq!(settings["redis.appendonly"], "yes");
    assert_eq!(settings["rabbitmq.queue_type"], "classic");
    let flush = settings
        .iter()
        .find(|(name, _)| name.ends_with(".innodb_flush_log_at_trx_commit"));
    assert_eq!(flush.expect("stated").1, "1");
    assert!(settings.contains_key("redis.version") && settings.contains_key("rabbitmq.version"));
    let counted = stack.counters().since(&nothing);
    assert_eq!(counted.len(), 3, "{counted:?}");
    for (name, usage) in &counted {
        assert!(
            usage.cpu_ns() > 0 && usage.peak_rss_bytes > 0,
            "{name}: {usage:?}"
        );
        assert_eq!(usage.source, Some(UsageSource::ProcessClock), "{name}");
        assert!(usage.busiest_thread.is_some(), "{name}: {usage:?}");
        assert!(usage.written_bytes > Some(0), "{name}: {usage:?}");
    }
    assert_eq!(stack.sees(), Sees::All);

    let family = Family::below(std::process::id(), stack.tag());
    assert!(family.has("epmd"), "{family:?}");
    // It writes over its environment, so it is named here.
    let redis = Family::of(&[stack.server_pid("redis").expect("private")]);
    let scratch = stack.scratch().to_path_buf();
    stack.stop().await.expect("an orderly end");
    family.assert_gone_within(Duration::ZERO);
    redis.assert_gone_within(Duration::ZERO);
    assert!(!scratch.exists(), "{} is left", scratch.display());
}

#[tokio::test]
async fn a_server_that_dies_is_named_with_its_last_words_and_a_dropped_stack_leaves_nothing() {
    let Some(stack) = testing::own_stack(&testing::options()).await else {
        return;
    };
    signal(stack.server_pid("redis").expect("private"), Signal::KILL);
    let deadline = std::time::Instant::now() + GONE_LIMIT;
    let error = loop {
        match stack.check().await {
            Err(error) => break error.to_string(),
            Ok(()) => assert!(std::time::Instant::now() < deadline, "nobody noticed"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(
        error.contains("redis died") && error.contains("signal: 9"),
        "{error}"
    );
    assert!(error.contains("Ready to accept connections"), "{error}");
    let family = Family::below(std::process::id(), stack.tag());
    let scratch = stack.scratch().to_path_buf();
    drop(stack);
    family.assert_gone_within(Duration::ZERO);
    assert!(!scratch.exists());
}

#[test]
fn a_lab_killed_with_sigkill_leaves_no_process_and_no_folder_and_other_servers_alone() {
    if testing::stack().is_none() {
        return;
    }
    // A Redis of another run, on another port.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let Some(foreign) = runtime.block_on(RedisServer::start()) else {
        return;
    };
    let (mut lab, _, run_id) =
        up(Command::new(env!("CARGO_BIN_EXE_lab")).args(["up", "--no-install"]));
    let family = Family::below(lab.id(), ("LAB_RUN_ID", &run_id));
    for name in ["epmd", "beam.smp", "redis-server", "lab"] {
        assert!(family.has(name), "no {name} in {family:?}");
    }
    lab.kill().expect("SIGKILL");
    lab.wait().expect("its end");
    family.assert_gone_within(GONE_LIMIT);
    assert!(!std::env::temp_dir().join(format!("lab-{run_id}")).exists());
    let answer = std::net::TcpStream::connect(("127.0.0.1", foreign.port()));
    answer.expect("the other run's Redis is alive");
}

/// MariaDB deletes every temporary table it finds where it keeps its own, also those of a server
/// that is at work.
#[test]
fn nothing_of_a_stack_lies_outside_its_scratch_folder() {
    if testing::stack().is_none() {
        return;
    }
    let scratch = tempfile::tempdir().expect("a folder");
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
    lab.env("TMPDIR", "/nowhere")
        .args(["up", "--no-install", "--scratch"])
        .arg(scratch.path());
    let (mut lab, ..) = up(&mut lab);
    signal(lab.id(), Signal::INT);
    assert!(lab.wait().expect("its end").success());
}

#[tokio::test]
async fn a_server_that_fails_to_start_shows_its_log() {
    if RedisServer::start().await.is_none() {
        return;
    }
    let mut options = testing::options();
    options.durability.appendfsync = "sometimes".to_owned();
    let Err(error) = Stack::start(&options).await else {
        panic!("Redis does not know this policy")
    };
    let error = format!("{error:#}");
    assert!(error.contains("redis failed to start"), "{error}");
    assert!(
        error.contains("| >>> 'appendfsync \"sometimes\"'"),
        "{error}"
    );
}

#[tokio::test]
async fn a_scratch_folder_without_room_is_refused_with_both_numbers() {
    let Some(small) = Tmpfs::mount(64) else {
        return;
    };
    let options = StackOptions {
        scratch: Some(small.path()),
        ..testing::options()
    };
    let Err(error) = Stack::start(&options).await else {
        panic!("64 MiB are enough?")
    };
    let error = format!("{error:#}");
    assert!(
        error.contains("64 MiB free") && error.contains("at least 768 MiB"),
        "{error}"
    );
    assert!(
        error.contains(&small.path().display().to_string()),
        "{error}"
    );
    assert_eq!(
        std::fs::read_dir(small.path()).expect("readable").count(),
        0
    );
}

#[tokio::test]
async fn a_scratch_folder_that_fills_up_is_noticed_with_path_and_bytes() {
    let Some(small) = Tmpfs::mount(900) else {
        return;
    };
    let options = StackOptions {
        scratch: Some(small.path()),
        ..testing::options()
    };
    let Some(stack) = testing::own_stack(&options).await else {
        return;
    };
    assert_eq!(stack.settings()["scratch.file_system"], "tmpfs");
    stack.check().await.expect("there is room");
    small.fill_up_to(20 << 20);
    let error = stack.check().await.expect_err("it is full").to_string();
    assert!(
        error.contains(&stack.scratch().display().to_string()),
        "{error}"
    );
    assert!(
        error.contains("bytes)") && error.contains("a run needs at least 48 MiB"),
        "{error}"
    );
    stack.stop().await.expect("an orderly end");
}

#[tokio::test]
async fn a_role_is_ready_measured_and_stopped() {
    let Some(stack) = testing::stack() else {
        return;
    };
    let ready = r#"echo '{"ready":true,"role":"sleeper","listen":"127.0.0.1:9"}'; exec sleep 60 </dev/null"#;
    let mut role = stack
        .spawn_role(&shell_role("sleeper", ready))
        .await
        .expect("ready");
    assert_eq!(role.listen().expect("an address").port(), 9);
    assert!(used(stack)["sleeper"].peak_rss_bytes > 0);
    let error = role
        .stop()
        .await
        .expect_err("sleep dies of SIGTERM")
        .to_string();
    assert!(error.contains("sleeper ended with signal: 15"), "{error}");
    stack.check().await.expect("a stopped role is no fault");

    let orderly = r#"trap 'exit 0' TERM; echo '{"ready":true}'; while :; do sleep 0.01; done"#;
    let mut role = stack
        .spawn_role(&shell_role("orderly", orderly))
        .await
        .expect("ready");
    role.stop().await.expect("an orderly end");
    assert!(used(stack).contains_key("orderly"), "what it used is kept");
}

#[tokio::test]
async fn a_role_that_was_killed_and_started_again_keeps_what_it_used() {
    let Some(stack) = testing::stack() else {
        return;
    };
    let burns = r#"echo '{"ready":true}'; while :; do :; done"#;
    let before = stack.counters();
    let mut sum_ns = 0;
    for _ in 0..2 {
        let spec = shell_role("burns", burns);
        let mut role = stack.spawn_role(&spec).await.expect("ready");
        let deadline = Instant::now() + Duration::from_secs(20);
        let enough_ns = sum_ns + 30_000_000;
        while sum_ns < enough_ns {
            assert!(Instant::now() < deadline, "{sum_ns} of {enough_ns} ns");
            tokio::time::sleep(Duration::from_millis(5)).await;
            let now_ns = stack.counters().since(&before)["burns"].cpu_ns();
            assert!(now_ns >= sum_ns, "{now_ns} after {sum_ns}");
            sum_ns = now_ns;
        }
        role.kill().await.expect("killed");
    }
    assert!(stack.counters().since(&before)["burns"].cpu_ns() >= sum_ns);
}

#[tokio::test]
async fn a_role_that_does_not_start_says_why() {
    let Some(stack) = testing::stack() else {
        return;
    };
    let script = "echo 'error: no such engine' >&2; exit 1";
    let error = stack
        .spawn_role(&shell_role("broken", script))
        .await
        .expect_err("it ended")
        .to_string();
    assert!(
        error.contains("broken ended before it was ready (exit status: 1)"),
        "{error}"
    );
    assert!(error.contains("| error: no such engine"), "{error}");
    let error = stack
        .run_to_end(&shell_role("migrate", script))
        .await
        .expect_err("it failed")
        .to_string();
    assert!(
        error.contains("migrate failed (exit status: 1)") && error.contains("no such engine"),
        "{error}"
    );
    let output = stack
        .run_to_end(&shell_role("migrate", "echo done; echo talk >&2"))
        .await
        .expect("it ended well");
    assert_eq!(output, "done\n");
}

#[tokio::test]
async fn a_killed_role_is_gone_and_can_be_started_again() {
    let Some(stack) = testing::stack() else {
        return;
    };
    let spec = shell_role("again", r#"echo '{"ready":true}'; exec sleep 60"#);
    let mut first = stack.spawn_role(&spec).await.expect("ready");
    let family = Family::of(&[first.pid()]);
    first.kill().await.expect("killed");
    family.assert_gone_within(Duration::ZERO);
    let second = stack.spawn_role(&spec).await.expect("ready once more");
    assert_ne!(first.pid(), second.pid());
    let family = Family::of(&[second.pid()]);
    drop(second);
    drop(first);
    family.assert_gone_within(Duration::ZERO);
}
