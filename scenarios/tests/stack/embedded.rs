//! The stack without servers: what it says about itself, what it gives to roles, and that nothing
//! of it stays.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use scenarios::stack::{Stack, StackKind, StackOptions};
use scenarios::testing;

use crate::processes::Family;
use crate::{GONE_LIMIT, shell_role, up, used};

fn options() -> StackOptions {
    StackOptions {
        kind: StackKind::Embedded,
        ..testing::options()
    }
}

#[tokio::test]
async fn the_embedded_stack_starts_nothing_names_its_durability_and_leaves_no_file() {
    let stack = Stack::start(&options()).await.expect("it needs nothing");
    assert_eq!((stack.kind(), stack.is_embedded()), ("embedded", true));
    assert!(
        stack.why().contains("as asked for with --stack embedded"),
        "{}",
        stack.why()
    );
    let settings = stack.settings();
    assert_eq!(
        (
            settings["sqlite.journal_mode"].as_str(),
            settings["sqlite.synchronous"].as_str()
        ),
        ("wal", "full")
    );
    assert!(settings["sqlite.version"].starts_with("3."), "{settings:?}");
    assert!(used(&stack).is_empty() && stack.server_pid("redis").is_none());
    assert_eq!(
        (stack.redis_url(), stack.amqp_url()),
        (String::new(), String::new())
    );

    let url = stack.database_url("leg");
    let file = url.strip_prefix("sqlite://").expect("a file").to_owned();
    assert_eq!(file, stack.scratch().join("leg.db").display().to_string());
    let script = format!(r#"touch {file} {file}-wal; echo '{{"ready":true}}'; exec sleep 60"#);
    let role = stack
        .spawn_role(&shell_role("all", &script))
        .await
        .expect("ready");
    assert!(used(&stack)["all"].peak_rss_bytes > 0);
    stack.check().await.expect("all is well");
    let family = Family::of(&[role.pid()]);
    let scratch = stack.scratch().to_path_buf();
    stack.stop().await.expect("an orderly end");
    family.assert_gone_within(Duration::ZERO);
    assert!(!scratch.exists(), "{} is left", scratch.display());
    drop(role);
}

/// `lab up` on a machine that seems to have no servers at all.
fn lab_without_servers() -> Command {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
    lab.args(["up", "--no-install"])
        .env("LAB_SEARCH_PATH", "")
        .stderr(Stdio::piped());
    lab
}

#[test]
fn auto_without_servers_falls_back_says_so_and_a_kill_leaves_nothing() {
    let (mut lab, lines, run_id) = up(&mut lab_without_servers());
    let scratch = std::env::temp_dir().join(format!("lab-{run_id}"));
    assert_eq!(
        lines[0],
        format!(
            "SECKILL__DATABASE__URL=sqlite://{}/seckill.db",
            scratch.display()
        )
    );
    assert_eq!(lines.len(), 2, "no address of a server: {lines:?}");
    std::fs::write(scratch.join("seckill.db-wal"), "half a commit").expect("the folder is there");
    let family = Family::below(lab.id(), ("LAB_RUN_ID", &run_id));
    lab.kill().expect("SIGKILL");
    lab.wait().expect("its end");
    family.assert_gone_within(GONE_LIMIT);
    let deadline = std::time::Instant::now() + GONE_LIMIT;
    while scratch.exists() {
        assert!(
            std::time::Instant::now() < deadline,
            "{} is left",
            scratch.display()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut said = String::new();
    lab.stderr
        .take()
        .expect("piped")
        .read_to_string(&mut said)
        .expect("UTF-8");
    let line = said
        .lines()
        .find(|line| line.starts_with("stack: embedded: "))
        .unwrap_or_else(|| panic!("{said}"));
    assert!(
        line.contains("auto cannot have the servers: missing: redis-server, rabbitmq-server"),
        "{line}"
    );
}

#[test]
fn servers_that_were_asked_for_are_not_replaced() {
    for arguments in [["--stack", "servers"], ["--stack", "auto"]] {
        let output = lab_without_servers()
            .arg("--redis-cluster")
            .args(arguments)
            .output()
            .expect("lab");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(
            error.starts_with("error: missing: redis-server, rabbitmq-server"),
            "{error}"
        );
    }
}
