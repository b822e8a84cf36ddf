//! Two releases at once: while orders churn, each role is replaced by the next release's, in the order
//! that docs/deployment.md names, and then by the one before again. Everything goes on, and nothing is
//! lost, void or parked on the way.
//!
//! The one before is the last state that passed every test before there were accounts, the gateway and
//! their tables, or the binary that `SECKILL_BEFORE` names.

use crate::churn::{TOTAL, VOID, comes_to_rest, expires, goes_on, load, start};
use crate::load::Load;
use crate::program::program;
use crate::world::{PATIENCE, SOMEBODY, World};
use scenarios::bench::system_binary::workspace;
use scenarios::stack::Role;
use std::path::{Path, PathBuf};
use std::process::Command;

const BEFORE: &str = "SECKILL_BEFORE";
/// Whoever adds a migration that roles of it have not met moves it on.
const COMMIT_BEFORE: &str = "61c128049491cedcc8a0b0e3810d061df8d83bdd";
/// Whoever reads goes before whoever writes.
const ORDER: [&str; 5] = [
    "create-consumer",
    "cancel-consumer",
    "reconciler",
    "order",
    "seckill",
];
const PARKED: &str = "SELECT COUNT(*) FROM parked";

/// The binary of the release before; `None`, and why is printed, where there is no history.
fn before() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(BEFORE) {
        return Some(path.into());
    }
    let workspace = workspace().expect("a test runs in the workspace");
    let is_there = git(&workspace, &["cat-file", "-e", COMMIT_BEFORE]).is_some();
    if !is_there {
        servers::ignored(&format!(
            "{COMMIT_BEFORE} is not in this history; {BEFORE} can name the binary of a release"
        ));
        return None;
    }
    Some(built(&workspace, COMMIT_BEFORE))
}

/// What git says, without the end of the line; `None` if it refuses.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .output();
    let output = output.ok().filter(|output| output.status.success())?.stdout;
    Some(String::from_utf8(output).ok()?.trim().to_owned())
}

fn built(workspace: &Path, commit: &str) -> PathBuf {
    let sources = tempfile::tempdir().expect("a temporary folder");
    let folder = sources.path().to_str().expect("UTF-8");
    let cloned = ["clone", "--quiet", "--shared", "--no-checkout", ".", folder];
    git(workspace, &cloned).expect("cloned");
    git(sources.path(), &["checkout", "--quiet", commit]).expect("checked out");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("before");
    let status = Command::new("cargo")
        .current_dir(&sources)
        .args(["build", "--locked", "--package", "system"])
        .args(["--bin", "seckill", "--target-dir"])
        .arg(&target)
        .status()
        .expect("cargo starts");
    assert!(status.success(), "{commit} does not build");
    target.join("debug/seckill")
}

/// Replaces one role after the other; the load finds each of them where it was before.
async fn replace(world: &mut World, load: &Load, roles: &mut [Role], order: &[usize]) {
    for place in order {
        let role = &mut roles[*place];
        role.stop().await.expect("an orderly end");
        *role = start(world, ORDER[*place]).await;
        goes_on(world, load).await;
    }
}

/// A second publisher, of the release that is coming, beside the first.
async fn both_sell(world: &World, buyer: i64) {
    let mut second = world.second_seckill().await;
    let address = second.listen().expect("it listens");
    world.buy_at(address, buyer, 1, PATIENCE).await.order();
    world.buy(buyer + 1, 1).await.order();
    second.stop().await.expect("an orderly end");
}

#[tokio::test]
#[ignore = "nightly: builds the release before this one"]
async fn roles_of_two_releases_sell_and_cancel_side_by_side_there_and_back() {
    let Some(before) = before() else { return };
    let world = World::start_with(before.clone(), "upgrade", TOTAL).await;
    let Some(mut world) = world else { return };
    expires(&mut world);
    let mut roles = Vec::new();
    for name in ORDER {
        roles.push(start(&mut world, name).await);
    }
    world.open(1).await;
    let load = load(&world, roles[3].listen().expect("it listens"));
    goes_on(&world, &load).await;

    world.program = program();
    world.run(&["migrate"]).await.expect("migrated");
    goes_on(&world, &load).await;
    replace(&mut world, &load, &mut roles, &[0, 1, 2, 3]).await;
    both_sell(&world, SOMEBODY).await;
    replace(&mut world, &load, &mut roles, &[4]).await;

    world.program = before;
    both_sell(&world, SOMEBODY + 2).await;
    replace(&mut world, &load, &mut roles, &[4, 3, 2, 1, 0]).await;
    load.finish().await;
    comes_to_rest(&world).await;
    for nothing in [PARKED, VOID] {
        assert_eq!(world.number(nothing).await, 0, "{nothing}");
    }
}
