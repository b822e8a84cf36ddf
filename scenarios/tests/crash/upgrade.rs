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
use scenarios::regress::commit::{NoProgram, program_of};
use scenarios::stack::Role;
use std::path::PathBuf;

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
    match program_of(&workspace, COMMIT_BEFORE) {
        Ok(program) => Some(program.path),
        Err(NoProgram::NoCommit(why)) => {
            servers::ignored(&format!("{why}; {BEFORE} can name the binary of a release"));
            None
        }
        Err(error) => panic!("{error}"),
    }
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
