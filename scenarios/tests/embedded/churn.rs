//! Buyers who cancel, pay and buy again on the embedded stack while unpaid orders expire, and its one
//! process, with every role in it, killed with SIGKILL and started again.

use crate::EmbeddedWorld;
use crate::cancels::LEFT;
use crate::churning::{THINK, UNPAID, after_the_yes, goes_on};
use crate::load::{Crowd, Load};
use crate::repetitions;
use crate::sale::PRODUCT;
use reports::result::Operation;
use scenarios::stack::Role;

const TIME_TO_PAY_S: i64 = 2;
const CROWD: Crowd = Crowd {
    seed: 89,
    users: 50_000,
    concurrency: 16,
};
/// Kills of one round.
const KILLS: u64 = 3;
fn load(world: &EmbeddedWorld, all: &Role, seed: u64) -> Load {
    let orders = after_the_yes(all.orders().expect("it listens"));
    let crowd = Crowd { seed, ..CROWD };
    let address = all.listen().expect("it listens");
    Load::churning(address, PRODUCT, (crowd, THINK), orders, world.told.clone())
}

async fn churns(engine: &'static str) {
    let (rounds, seed) = repetitions::from_environment();
    for round in 1..=rounds.div_ceil(3) {
        let mut world = EmbeddedWorld::new(engine).await;
        world.time_to_pay_s = Some(TIME_TO_PAY_S);
        let mut done = 0;
        for kill in 0..=KILLS {
            let mut all = world.all(None).await;
            let load = load(&world, &all, CROWD.seed + seed + round * 10 + kill);
            goes_on(&load, async |sql| world.number(sql).await).await;
            if kill < KILLS {
                all.kill().await.expect("killed");
            }
            let phase = load.finish().await;
            for operation in [Operation::Cancel, Operation::Pay] {
                done += phase.operations[&operation].counts.accepted;
            }
            if kill == KILLS {
                world.until_number(UNPAID, 0).await;
                world.until_number(LEFT, 0).await;
                all.stop().await.expect("stopped in order");
            }
        }
        world.audit().await;
        eprintln!("{engine}, round {round}: audit passed; {done} cancelled or paid");
        world.stack.stop().await.expect("an orderly end");
    }
}

#[tokio::test]
async fn preallocated_keeps_every_unit_on_a_file_while_orders_churn_and_the_process_is_killed() {
    churns("preallocated?block=500").await;
}

#[tokio::test]
#[ignore = "nightly: the other engine of the embedded stack"]
async fn database_row_keeps_every_unit_on_a_file_while_orders_churn_and_the_process_is_killed() {
    churns("database-row").await;
}
