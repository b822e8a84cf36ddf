//! Buyers who cancel, pay and buy again on the embedded stack while unpaid orders expire, and its one
//! process, with every role in it, killed with SIGKILL and started again.

use crate::EmbeddedWorld;
use crate::cancels::LEFT;
use crate::load::{Crowd, Load};
use crate::repetitions;
use crate::sale::PRODUCT;
use crate::wait::until_at_least;
use loadgen::plan::{Delay, Orders};
use reports::result::Operation;
use scenarios::stack::Role;
use std::time::Duration;

const TIME_TO_PAY_S: i64 = 2;
const CROWD: Crowd = Crowd {
    seed: 89,
    users: 50_000,
    concurrency: 16,
};
const THINK: Duration = Duration::from_millis(150);
/// Kills of one round.
const KILLS: u64 = 3;
/// What has to go on after each kill, and how it is counted.
const GOES_ON: [&str; 4] = [
    "SELECT COUNT(*) FROM orders",
    "SELECT COUNT(*) FROM orders WHERE status = 2 AND expired = 0",
    "SELECT COUNT(*) FROM orders WHERE status = 1",
    "SELECT COUNT(*) FROM orders WHERE status = 2 AND expired = 1",
];
/// So many more of each.
const MORE: i64 = 10;
const UNPAID: &str = "SELECT COUNT(*) FROM orders WHERE status = 0 AND live = 1";

fn load(world: &EmbeddedWorld, all: &Role, seed: u64) -> Load {
    let orders = Orders {
        address: all.orders().expect("it listens").to_string(),
        connections: 2,
        cancel: 0.4,
        pay: 0.3,
        cancel_and_pay: 0.1,
        again: 0.7,
        twice: 0.2,
        delay: Delay {
            min: Duration::from_millis(200),
            max: Duration::from_millis(800),
        },
    };
    let crowd = Crowd { seed, ..CROWD };
    let address = all.listen().expect("it listens");
    Load::churning(address, PRODUCT, (crowd, THINK), orders, world.told.clone())
}

/// Waits until there is more of everything.
async fn goes_on(world: &EmbeddedWorld, load: &Load) {
    let mut wanted = Vec::new();
    for sql in GOES_ON {
        wanted.push((sql, world.number(sql).await + MORE));
    }
    load.sells(MORE.unsigned_abs()).await;
    for (sql, wanted) in wanted {
        until_at_least(sql, wanted, async || world.number(sql).await).await;
    }
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
            goes_on(&world, &load).await;
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
