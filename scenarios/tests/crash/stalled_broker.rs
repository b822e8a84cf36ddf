//! A broker that is connected and takes nothing: frozen, out of memory, or with a full queue. What
//! cannot be published is not sold to nobody, and nobody is told "sold out" because of it.

use crate::fresh_world;
use crate::load::{Answer, Crowd, Load};
use crate::wait::{until, until_at_least};
use crate::world::{SOMEBODY, World};
use reports::result::Phase;
use servers::{Frozen, RabbitMqServer};
use std::time::{Duration, Instant};

/// Small, so that a broker that stalls for a few publish deadlines would sell it out to nobody.
const TOTAL: i64 = 400;
const LANES: i64 = 4;
const LARGEST_BATCH: i64 = 16;
/// Of 1 or 2 units each.
const CROWD: Crowd = Crowd {
    seed: 43,
    users: 2_000,
    concurrency: 500,
};
/// Units that batches which cannot be published may hold.
const HELD_MOST: i64 = 2 * LANES * LARGEST_BATCH;
/// Pause between two looks at the stock while the broker is stalled.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const SOLD: &str = "SELECT CAST(COALESCE(SUM(quantity), 0) AS SIGNED) FROM orders WHERE live = 1";

fn with_small_batches(world: &mut World) {
    world.set("SECKILL__SECKILL__THREADS", 1);
    world.set("SECKILL__GROUP_COMMIT__MAX_IN_FLIGHT", LANES);
    world.set("SECKILL__GROUP_COMMIT__MAX_BATCH", LARGEST_BATCH);
}

/// Looks on for `time`: no more than `held_most` units are held. Whoever has an order is told so.
/// Then the buyers of `load` go home; none of them was told "sold out".
async fn nothing_is_sold_to_nobody(
    world: &World,
    load: Load,
    order: i64,
    held_most: i64,
    time: Duration,
) -> Phase {
    let begun = Instant::now();
    while begun.elapsed() < time {
        let stock = world.stock().await.expect("it answers");
        assert!(
            stock.open_units <= held_most && stock.remaining >= TOTAL - 1 - held_most,
            "after {:?} more than {held_most} units are held: {stock:?}",
            begun.elapsed()
        );
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    assert_eq!(world.buy(SOMEBODY, 1).await.order(), order);
    let told = load.finish().await;
    let sold_out = told
        .statuses
        .iter()
        .find(|(words, _)| words.contains("sold out"));
    assert_eq!(sold_out, None, "of {:?}", told.statuses);
    told
}

/// The broker takes messages again: every unit is sold to somebody.
async fn everything_is_sold(world: &World) {
    let load = world.load(Crowd {
        concurrency: 32,
        ..CROWD
    });
    let sold = async || world.number(SOLD).await;
    until_at_least("everything is sold", TOTAL, sold).await;
    load.finish().await;
    world.audit().await;
}

#[tokio::test]
async fn a_frozen_broker_does_not_sell_out_the_sale_to_nobody() {
    let mut world = fresh_world!("broker_frozen", TOTAL, start_alone);
    with_small_batches(&mut world);
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let order = world.buy(SOMEBODY, 1).await.order();
    world.quiet().await;
    let broker = world.stack.server_pid("rabbitmq");
    let frozen = Frozen::freeze(broker.expect("a private broker"));
    let load = world.load(CROWD);
    nothing_is_sold_to_nobody(&world, load, order, HELD_MOST, Duration::from_secs(10)).await;
    frozen.thaw();
    everything_is_sold(&world).await;
}

/// What a stalled broker keeps from its buyers may come back, so it is not gone yet.
#[tokio::test]
async fn while_the_last_units_are_held_for_nobody_they_are_not_called_sold_out() {
    const FEW: i64 = 20;
    let mut world = fresh_world!("last_units", FEW, start_alone);
    with_small_batches(&mut world);
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let broker = world.stack.server_pid("rabbitmq");
    let frozen = Frozen::freeze(broker.expect("a private broker"));
    let load = world.load(Crowd {
        concurrency: 32,
        ..CROWD
    });
    until("all units are held", async || match world.stock().await {
        Ok(stock) if stock.remaining == 0 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    // They are told "unknown" at their deadline, long after the lanes are in doubt.
    load.finish().await;
    for newcomer in 0..20 {
        let answer = world.buy(SOMEBODY + newcomer, 1).await;
        assert!(matches!(answer, Answer::Unavailable(_)), "{answer:?}");
    }
    frozen.thaw();
    let mut buyer = SOMEBODY;
    until("sold out", async || {
        buyer += 1;
        match world.buy(buyer, 1).await {
            Answer::No(why) if why.contains("sold out") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    world.until_number(SOLD, FEW).await;
    world.audit().await;
}

#[tokio::test]
async fn a_broker_without_memory_does_not_sell_out_the_sale_to_nobody() {
    let mut world = fresh_world!("broker_alarm", TOTAL);
    let broker = RabbitMqServer::start().await;
    let broker = broker.expect("the stack has one too");
    world.set("SECKILL__MQ__URL", broker.url());
    with_small_batches(&mut world);
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let order = world.buy(SOMEBODY, 1).await.order();
    world.quiet().await;
    broker.set_memory_alarm(true).await.expect("the alarm");
    let load = world.load(CROWD);
    nothing_is_sold_to_nobody(&world, load, order, HELD_MOST, Duration::from_secs(5)).await;
    broker.set_memory_alarm(false).await.expect("no alarm");
    everything_is_sold(&world).await;
}

#[tokio::test]
async fn a_full_order_queue_does_not_sell_out_the_sale_to_nobody() {
    const QUEUE_MAX: i64 = 2;
    let mut world = fresh_world!("queue_full", TOTAL);
    world.set("SECKILL__MQ__QUEUE_MAX_MESSAGES", QUEUE_MAX);
    with_small_batches(&mut world);
    let _reconciler = world.role("reconciler").await;
    let mut consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let order = world.buy(SOMEBODY, 1).await.order();
    world.quiet().await;
    consumer.stop().await.expect("stopped in order");
    let load = world.load(CROWD);
    // What is in the queue is held, too.
    let held_most = HELD_MOST + 2 * QUEUE_MAX * LARGEST_BATCH;
    nothing_is_sold_to_nobody(&world, load, order, held_most, Duration::from_secs(5)).await;
    let _consumer = world.role("create-consumer").await;
    everything_is_sold(&world).await;
}
