//! The broker hangs or dies: an order that was not confirmed in time is unknown, never refused and
//! never accepted.

use crate::forged_events::Queue;
use crate::fresh_world;
use crate::load::{Answer, Crowd};
use crate::queue_type;
use crate::wait::until;
use crate::world::{SOMEBODY, World};
use servers::{Frozen, RabbitMqServer};
use std::sync::atomic::{AtomicI64, Ordering};

#[tokio::test]
async fn a_confirm_that_comes_after_the_deadline_is_answered_unknown_and_a_retry_finds_the_order() {
    let mut world = fresh_world!("late_confirm", 10, start_alone);
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let broker = world.stack.server_pid("rabbitmq");
    let frozen = Frozen::freeze(broker.expect("a private broker"));
    let answer = world.buy(SOMEBODY, 2).await;
    assert!(
        matches!(&answer, Answer::Unknown(why) if why.contains("outcome unknown")),
        "{answer:?}"
    );
    frozen.thaw();
    world
        .until_number("SELECT COUNT(*) FROM orders WHERE live = 1", 1)
        .await;
    let made = world.number("SELECT order_id FROM orders").await;
    assert_eq!(world.buy(SOMEBODY, 2).await.order(), made);
    world.audit().await;
    assert_eq!(world.number("SELECT COUNT(*) FROM orders").await, 1);
}

#[tokio::test]
async fn a_broker_that_is_killed_and_restarted_under_load_loses_nothing_that_was_accepted() {
    let mut world = fresh_world!("broker_killed", 200_000);
    let broker = RabbitMqServer::start().await;
    let broker = broker.expect("the stack has one too");
    world.set("SECKILL__MQ__URL", broker.url());
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let load = world.load(Crowd {
        seed: 37,
        users: 50_000,
        concurrency: 32,
    });
    world.sells(&load, 200).await;
    write_down_queues(&broker).await;
    broker.restart().await.expect("it is back");
    world.sells(&load, 200).await;
    load.finish().await;
    world.audit().await;
    assert_eq!(
        world.number("SELECT newest_epoch FROM sales").await,
        1,
        "Redis lost nothing"
    );
    assert_eq!(world.number("SELECT COUNT(*) FROM parked").await, 0);
    // Buyers went on asking for seconds, but only requests that were under way when the broker died
    // left holds to be voided.
    let voided = world
        .number("SELECT COUNT(*) FROM orders WHERE status = 4")
        .await;
    assert!(voided <= 200, "{voided} holds");
}

/// A queue that was declared a moment ago is part of what a killed node comes back with.
async fn write_down_queues(broker: &RabbitMqServer) {
    if queue_type::from_environment() == queue_type::QUORUM {
        let written = broker.write_down_quorum_queues().await;
        written.expect("written down");
    }
}

/// Nothing is sold that cannot be published, but whoever has an order is told so, always.
#[tokio::test]
async fn while_the_broker_is_away_or_the_sale_is_over_only_buyers_without_an_order_are_refused() {
    let mut world = fresh_world!("told_always", 1_000);
    let broker = RabbitMqServer::start().await;
    let broker = broker.expect("the stack has one too");
    world.set("SECKILL__MQ__URL", broker.url());
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let order = world.buy(SOMEBODY, 2).await.order();
    world.quiet().await;
    write_down_queues(&broker).await;
    broker.kill().await.expect("killed");
    until("nothing is sold any more", async || {
        match world.buy(SOMEBODY + 1, 1).await {
            Answer::Unavailable(why) if why.contains("the order queue is out of reach") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(world.buy(SOMEBODY, 2).await.order(), order);
    broker.restart().await.expect("it is back");
    until("it sells again", async || {
        match world.buy(SOMEBODY + 2, 1).await {
            Answer::Yes(_) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    world.audit().await;
    // For the audit, whoever is refused was told "sold out": the window comes after it.
    world
        .sql("UPDATE products SET sale_ends_at = sale_starts_at + 1")
        .await;
    let newcomers = AtomicI64::new(SOMEBODY + 3);
    until("the window is over", async || {
        match world
            .buy(newcomers.fetch_add(1, Ordering::Relaxed), 1)
            .await
        {
            Answer::No(why) if why.contains("the sale has ended") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(world.buy(SOMEBODY, 2).await.order(), order);
}

#[tokio::test]
async fn an_order_event_that_comes_back_as_unroutable_is_not_accepted() {
    let mut world = fresh_world!("unroutable", 10);
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    unbind(&world, 1).await;
    let answer = world.buy(SOMEBODY, 2).await;
    assert!(matches!(answer, Answer::Unavailable(_)), "{answer:?}");
    // The queue is still there, only nothing reaches it: its publisher takes another one, and
    // nothing is lost with it.
    until("it sells under a new incarnation", async || {
        match world.buy(SOMEBODY, 2).await {
            Answer::Yes(_) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    world.audit().await;
    assert_eq!(world.number("SELECT COUNT(*) FROM orders").await, 1);
    assert_eq!(world.number("SELECT COUNT(*) FROM parked").await, 0);
}

/// Takes the first binding of an incarnation away behind its back.
async fn unbind(world: &World, incarnation: i64) {
    let queue = Queue::open(&world.stack.amqp_url(), world.queue(incarnation)).await;
    let key = format!("order.create.{incarnation}.1");
    queue.unbind(&world.orders_exchange(), &key).await;
}

/// Some messages are returned while others are taken: each answer must be about the buyer's own
/// order.
#[tokio::test]
async fn while_messages_come_back_under_load_all_buyers_are_told_what_became_of_their_own_orders() {
    let mut world = fresh_world!("returned", 200_000);
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let load = world.load(Crowd {
        seed: 41,
        users: 100_000,
        concurrency: 64,
    });
    world.sells(&load, 100).await;
    for incarnation in 1..=4 {
        unbind(&world, incarnation).await;
        let next =
            format!("SELECT COUNT(*) FROM incarnations WHERE id > {incarnation} AND queue <> ''");
        world.until_number(&next, 1).await;
        world.sells(&load, 100).await;
    }
    let told = load.finish().await;
    assert!(
        told.statuses
            .iter()
            .any(|(words, _)| words.contains("try again")),
        "none came back: {:?}",
        told.statuses
    );
    world.audit().await;
}

#[tokio::test]
async fn a_full_order_queue_means_come_back_later_and_loses_nothing() {
    let mut world = fresh_world!("full", 10);
    world.set("SECKILL__MQ__QUEUE_MAX_MESSAGES", 2);
    let _reconciler = world.role("reconciler").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let mut accepted = 0;
    let why = loop {
        match world.buy(SOMEBODY + accepted, 1).await {
            Answer::Yes(_) => accepted += 1,
            Answer::Unavailable(why) => break why,
            other => panic!("{other:?}"),
        }
        assert!(accepted < 10, "the queue takes more than it may");
    };
    assert_eq!(why, "UNAVAILABLE: the order queue is full; try again");
    let _consumer = world.role("create-consumer").await;
    world
        .until_number("SELECT COUNT(*) FROM orders WHERE live = 1", accepted)
        .await;
    until("the turned away buyer is served", async || {
        match world.buy(SOMEBODY + accepted, 1).await {
            Answer::Yes(_) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    world.audit().await;
}
