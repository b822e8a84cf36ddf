//! What matters most, on quorum queues, whatever `CRASH_QUEUE_TYPE` says for the other tests.

use crate::load::Crowd;
use crate::queue_type::QUORUM;
use crate::{consumer, fencing, fresh_world, missing_queue};

/// A world whose order queues are quorum queues.
macro_rules! quorum_world {
    ($name:expr, $total:expr) => {{
        let mut world = fresh_world!($name, $total);
        world.set("SECKILL__MQ__QUEUE_TYPE", QUORUM);
        world
    }};
}

/// Services and consumers come and go: queues are emptied, fenced and deleted, and the sale goes on.
#[tokio::test]
async fn on_quorum_queues_a_killed_service_and_a_killed_consumer_lose_nothing_and_their_queue_goes()
{
    let mut world = quorum_world!("quorum", 50_000);
    let _reconciler = world.role("reconciler").await;
    let mut consumer = world.role("create-consumer").await;
    let mut seckill = world.seckill().await;
    world.open(1).await;
    let load = world.load(Crowd {
        seed: 43,
        users: 20_000,
        concurrency: 48,
    });
    world.sells(&load, 200).await;
    consumer.kill().await.expect("killed");
    let _consumer = world.role("create-consumer").await;
    world.sells(&load, 200).await;
    seckill.kill().await.expect("killed");
    let mut seckill = world.seckill().await;
    world.sells(&load, 200).await;
    load.finish().await;
    world.audit().await;
    seckill.stop().await.expect("stopped in order");
    let left = "SELECT COUNT(*) FROM incarnations WHERE state <> 'gone' OR queue <> ''";
    world.until_number(left, 0).await;
}

#[tokio::test]
async fn on_quorum_queues_a_consumer_that_dies_before_it_acknowledges_loses_and_doubles_nothing() {
    let world = quorum_world!("quorum_after_commit", 50_000);
    consumer::one_after_another_dies_at(world, "consumer.after_commit").await;
}

#[tokio::test]
async fn on_quorum_queues_a_second_consumer_takes_over_where_a_killed_one_stopped() {
    consumer::takes_over(quorum_world!("quorum_takes_over", 50_000)).await;
}

#[tokio::test]
async fn on_quorum_queues_a_service_that_was_frozen_past_its_lease_says_no_more_yes() {
    fencing::is_frozen(quorum_world!("quorum_frozen", 100_000)).await;
}

#[tokio::test]
async fn on_quorum_queues_nobody_is_told_yes_when_the_own_queue_is_gone() {
    missing_queue::own_queue_is_gone(quorum_world!("quorum_gone", 1_000)).await;
}
