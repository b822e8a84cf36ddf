//! A stack within limits: what it starts is under them, and its control group goes with it, also
//! when the lab cannot remove it.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use reports::result::{LimitsBy, LimitsWanted};
use scenarios::limits::Limits;
use scenarios::stack::{Stack, StackKind, StackOptions};
use scenarios::testing;
use scenarios::usage::proc;

use crate::shell_role;

const MEMORY_BYTES: u64 = 512 << 20;

fn wanted() -> LimitsWanted {
    LimitsWanted {
        cpus: None,
        memory_bytes: Some(MEMORY_BYTES),
    }
}

#[tokio::test]
async fn roles_are_in_the_control_group_of_their_stack_which_goes_with_it() {
    let options = StackOptions {
        kind: StackKind::Embedded,
        limits: wanted(),
        ..testing::options()
    };
    let stack = Stack::start(&options).await.expect("it needs nothing");
    let folders = stack.limits().folders().to_vec();
    if folders.is_empty() {
        eprintln!("ignored: {}", stack.limits().note().expect("a reason"));
        return;
    }
    let applied = stack.limits().applied();
    assert_eq!(applied.memory_bytes, Some(MEMORY_BYTES));
    assert_ne!(applied.by, LimitsBy::None);
    let file = stack.scratch().join("leg.db");
    let script = format!(
        r#"head -c 65536 /dev/zero > {}; echo '{{"ready":true}}'; exec sleep 60"#,
        file.display()
    );
    let role = stack
        .spawn_role(&shell_role("all", &script))
        .await
        .expect("ready");
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", role.pid())).expect("alive");
    let name = folders[0].file_name().expect("a name").to_string_lossy();
    assert!(groups.contains(&*name), "not in {name}: {groups}");
    std::fs::File::open(&file)
        .and_then(|file| file.sync_all())
        .expect("allocated");
    let bytes = stack.disk_bytes().expect("ours to see");
    assert!((65_536..1 << 20).contains(&bytes), "{bytes}");
    stack.stop().await.expect("an orderly end");
    assert!(folders.iter().all(|folder| !folder.exists()), "{folders:?}");
}

#[tokio::test]
async fn servers_are_under_the_limits_of_their_stack_with_all_that_they_start() {
    let options = StackOptions {
        kind: StackKind::Servers,
        limits: LimitsWanted {
            cpus: Some(1.0),
            memory_bytes: Some(2 << 30),
        },
        ..testing::options()
    };
    let Some(stack) = testing::own_stack(&options).await else {
        return;
    };
    let folders = stack.limits().folders().to_vec();
    if folders.is_empty() {
        eprintln!("ignored: {}", stack.limits().note().expect("a reason"));
        return;
    }
    let members = |folder: &PathBuf| -> Vec<u32> {
        let text = std::fs::read_to_string(folder.join("cgroup.procs")).expect("readable");
        text.lines()
            .map(|line| line.parse().expect("a pid"))
            .collect()
    };
    // Erlang's virtual machine is started by a script, and starts others.
    let (name, value) = stack.tag();
    let tag = format!("{name}={value}");
    let tagged = proc::all()
        .into_iter()
        .filter(|one| proc::carries(one.pid, &tag));
    let mut running: Vec<u32> = tagged.map(|one| one.pid).collect();
    running.extend(stack.server_pid("redis"));
    assert!(running.len() > 3, "{running:?}");
    for folder in &folders {
        let members = members(folder);
        // One may have ended since.
        let outside = running.iter().filter(|pid| !members.contains(pid));
        let outside: Vec<u32> = outside
            .filter(|pid| proc::stat(**pid).is_some())
            .copied()
            .collect();
        assert!(
            outside.is_empty(),
            "not in {}: {outside:?}",
            folder.display()
        );
    }
    let bytes = stack.disk_bytes().expect("ours to see");
    assert!(bytes > 1 << 20, "a database has more than {bytes} bytes");
    stack.stop().await.expect("an orderly end");
    assert!(folders.iter().all(|folder| !folder.exists()), "{folders:?}");
}

#[test]
fn behind_a_lab_that_crashed_the_guard_removes_the_control_group() {
    let run_id = format!("limits-test-{}", std::process::id());
    let limits = Limits::apply(&wanted(), &format!("lab-{run_id}")).expect("sensible");
    let folders: Vec<PathBuf> = limits.folders().to_vec();
    if folders.is_empty() {
        eprintln!("ignored: {}", limits.note().expect("a reason"));
        return;
    }
    let mut sleep = Command::new("sleep");
    sleep
        .arg("60")
        .env("LAB_RUN_ID", &run_id)
        .stdin(Stdio::null());
    let mut server = limits.spawn(&mut sleep).expect("sleep");
    // As in a crash: nobody drops anything.
    std::mem::forget(limits);
    let mut guard = Command::new(env!("CARGO_BIN_EXE_lab"));
    guard.arg0("lab").args(["guard", "--run-id", &run_id]);
    for folder in &folders {
        guard.arg("--group").arg(folder);
    }
    // No input at all is a lab that is gone.
    let status = guard.stdin(Stdio::null()).stdout(Stdio::null()).status();
    assert!(status.expect("the guard").success());
    assert!(!server.wait().expect("its end").success());
    assert!(folders.iter().all(|folder| !folder.exists()), "{folders:?}");
}
