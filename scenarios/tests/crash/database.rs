//! The database hangs: nothing is parked, nothing is lost, and no buyer and no stopping process
//! waits for it longer than its time-out.

use crate::fresh_world;
use crate::load::{Answer, Crowd};
use crate::wait::until;
use crate::world::{SOMEBODY, World};
use servers::Frozen;
use std::time::{Duration, Instant};

const STOP_LIMIT: Duration = Duration::from_secs(10);

fn database_pid(world: &World) -> u32 {
    let pids = ["mariadb", "mysql"].map(|name| world.stack.server_pid(name));
    pids.into_iter()
        .flatten()
        .next()
        .expect("a private database")
}

#[tokio::test]
async fn while_the_database_hangs_orders_are_accepted_until_the_lease_runs_out_and_then_clearly_turned_away()
 {
    let mut world = fresh_world!("hangs", 100_000, start_alone);
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let load = world.load(Crowd {
        seed: 29,
        users: 50_000,
        concurrency: 16,
    });
    world.sells(&load, 100).await;

    let frozen = Frozen::freeze(database_pid(&world));
    world.buy(SOMEBODY, 1).await.order();
    let mut buyer = SOMEBODY;
    let why = until("the lease runs out", async || {
        buyer += 1;
        match world.buy(buyer, 1).await {
            Answer::Unavailable(why) => Ok(why),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(why, "UNAVAILABLE: this instance has no lease; try again");
    frozen.thaw();

    world.open(1).await;
    world.sells(&load, 100).await;
    load.finish().await;
    world.audit().await;
    assert_eq!(world.number("SELECT COUNT(*) FROM parked").await, 0);
    assert_eq!(
        world.number("SELECT newest_epoch FROM sales").await,
        1,
        "Redis lost nothing"
    );
}

#[tokio::test]
async fn a_process_that_is_stopped_does_not_wait_for_a_database_that_hangs() {
    let mut world = fresh_world!("stops", 100_000, start_alone);
    let mut reconciler = world.role("reconciler").await;
    let mut consumer = world.role("create-consumer").await;
    let mut seckill = world.seckill().await;
    world.open(1).await;
    let load = world.load(Crowd {
        seed: 31,
        users: 50_000,
        concurrency: 16,
    });
    world.sells(&load, 100).await;

    let frozen = Frozen::freeze(database_pid(&world));
    world.sells(&load, 100).await;
    let begin = Instant::now();
    let stops =
        futures_util::future::join3(seckill.stop(), consumer.stop(), reconciler.stop()).await;
    let took = begin.elapsed();
    load.finish().await;
    frozen.thaw();
    for stopped in [stops.0, stops.1, stops.2] {
        stopped.expect("stopped in order");
    }
    assert!(took < STOP_LIMIT, "it took {took:?}");

    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    world.audit().await;
}
