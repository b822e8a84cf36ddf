//! Buyers who cancel, pay and buy again while unpaid orders expire, and beside it every role killed
//! with SIGKILL and started again, one after the other: all of it goes on, and in the end each unit is
//! where the rows say it is.

use crate::churning::{self, THINK, UNPAID, after_the_yes};
use crate::load::{Crowd, Load};
use crate::orders::in_each_round;
use crate::sale::PRODUCT;
use crate::world::World;
use reports::result::Operation;
use scenarios::stack::Role;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// More than is sold.
pub const TOTAL: i64 = 100_000;
const TIME_TO_PAY_S: i64 = 2;
/// So many that a debug build keeps up on a busy machine.
const CROWD: Crowd = Crowd {
    seed: 83,
    users: 50_000,
    concurrency: 16,
};
pub const VOID: &str = "SELECT COUNT(*) FROM orders WHERE status = 4";

/// The roles in the order in which they are killed.
const KILLED: [&str; 5] = [
    "seckill",
    "order",
    "create-consumer",
    "cancel-consumer",
    "reconciler",
];

/// Waits until there is more of everything.
pub async fn goes_on(world: &World, load: &Load) {
    churning::goes_on(load, async |sql| world.number(sql).await).await;
}

pub async fn start(world: &mut World, name: &str) -> Role {
    match name {
        "seckill" => world.seckill().await,
        "order" => {
            let role = world.role(name).await;
            // Later ones listen on the address of the first one.
            let address = role.listen().expect("it listens");
            world.set("SECKILL__ORDER__LISTEN", address);
            role
        }
        name => world.role(name).await,
    }
}

/// Kills and starts again one role after the other while the load goes on; says which took longest.
async fn kill_each(world: &mut World, load: &Load, roles: &mut [Role]) -> (Duration, &'static str) {
    let mut longest = (Duration::ZERO, "");
    for (name, role) in KILLED.into_iter().zip(roles) {
        role.kill().await.expect("killed");
        let killed = Instant::now();
        *role = start(world, name).await;
        goes_on(world, load).await;
        longest = longest.max((killed.elapsed(), name));
    }
    longest
}

/// Orders that are not paid expire soon.
pub fn expires(world: &mut World) {
    world.set("SECKILL__ORDER__TIME_TO_PAY_S", TIME_TO_PAY_S);
    world.time_to_pay_ms = Some(TIME_TO_PAY_S * 1_000);
}

/// The buyers; `orders` is where the order service listens.
pub fn load(world: &World, orders: SocketAddr) -> Load {
    let after = after_the_yes(orders);
    let told = world.told.clone();
    Load::churning(world.address(), PRODUCT, (CROWD, THINK), after, told)
}

/// Whoever has not paid loses the order; then nothing moves any more, and the audit passes.
pub async fn comes_to_rest(world: &World) {
    world.open(1).await;
    world.quiet().await;
    world.until_number(UNPAID, 0).await;
    world.nothing_is_left().await;
    world.audit().await;
}

async fn with_each_role_killed(engine: &str, name: &str) {
    in_each_round(engine, name, TOTAL, async |mut world| {
        world.set("SECKILL__SECKILL__ENGINE", engine);
        expires(&mut world);
        let mut roles = Vec::new();
        for name in KILLED {
            roles.push(start(&mut world, name).await);
        }
        let orders = roles[1].listen().expect("it listens");
        world.open(1).await;
        let load = load(&world, orders);
        goes_on(&world, &load).await;
        let (longest, killed) = kill_each(&mut world, &load, &mut roles).await;
        let phase = load.finish().await;

        comes_to_rest(&world).await;
        for operation in [Operation::Cancel, Operation::Pay] {
            let done = phase.operations[&operation].counts.accepted;
            assert!(done > 0, "{operation}");
        }
        let again = phase.buy_again.as_ref().expect("some bought again");
        assert!(again.hist.count > 0, "{again:?}");
        eprintln!(
            "{engine}: audit passed; {} bought, {} bought again, {} holds voided; everything went on {longest:?} \
             after {killed} was killed at the latest",
            phase.operations[&Operation::Buy].counts.accepted,
            again.hist.count,
            world.number(VOID).await,
        );
    })
    .await;
}

#[tokio::test]
async fn lua_single_key_keeps_every_unit_while_orders_churn_and_each_role_is_killed() {
    with_each_role_killed("lua-single-key", "churn_lua").await;
}

#[tokio::test]
#[ignore = "nightly: another engine under the same churn"]
async fn sharded_slots_keeps_every_unit_while_orders_churn_and_each_role_is_killed() {
    with_each_role_killed("sharded-slots?slots=4", "churn_slots").await;
}

#[tokio::test]
#[ignore = "nightly: another engine under the same churn"]
async fn database_row_keeps_every_unit_while_orders_churn_and_each_role_is_killed() {
    with_each_role_killed("database-row", "churn_row").await;
}

#[tokio::test]
#[ignore = "nightly: another engine under the same churn"]
async fn preallocated_keeps_every_unit_while_orders_churn_and_each_role_is_killed() {
    with_each_role_killed("preallocated?block=200", "churn_leases").await;
}

#[tokio::test]
#[ignore = "nightly: another engine under the same churn"]
async fn optimistic_row_keeps_every_unit_while_orders_churn_and_each_role_is_killed() {
    with_each_role_killed("optimistic-row", "churn_optimistic").await;
}
