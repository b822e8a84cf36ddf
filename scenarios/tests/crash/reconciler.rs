//! The reconciler dies between any two steps of a repair, or runs beside a second one.

use crate::forged_events::{Queue, event};
use crate::fresh_world;
use crate::load::{Answer, Crowd};
use crate::orders::OPENING;
use crate::redis;
use crate::world::{PATIENCE, SOMEBODY, World};
use serde_json::Value;

/// Runs the reconciler with `--once`, which must leave nothing open; returns its summary.
async fn once(world: &World) -> Value {
    let summary = world
        .run(&["reconciler", "--once"])
        .await
        .expect("nothing is left to repair");
    let summary: Value = serde_json::from_str(&summary).expect("one JSON object");
    assert_eq!(summary["left"], 0, "{summary}");
    summary
}

/// Starts a service that reserves for `user`, dies, and leaves the hold behind.
async fn abandon(world: &mut World, user: i64, quantity: i32) {
    let mut seckill = world.armed_seckill("seckill.after_reserve").await;
    world.open(1).await;
    assert!(matches!(
        world.buy(user, quantity).await,
        Answer::Unknown(_)
    ));
    world.crashed(&mut seckill).await;
}

#[tokio::test]
async fn a_reconciler_that_dies_while_voiding_is_finished_by_the_next_one() {
    let mut world = fresh_world!("dies_voiding", 4);
    let _consumer = world.role("create-consumer").await;
    once(&world).await;
    abandon(&mut world, SOMEBODY, 2).await;
    let mut reconciler = world.armed("reconciler", "reconciler.after_mark").await;
    world.crashed(&mut reconciler).await;
    // mark-with-age (R8): a mark outlives the reconciler that made it, and no retry gets past it.
    let mut seckill = world.seckill().await;
    world.open(1).await;
    assert!(
        matches!(world.buy(SOMEBODY, 2).await, Answer::Unavailable(why) if why.contains("is being cleared"))
    );
    seckill.stop().await.expect("stopped in order");

    abandon(&mut world, SOMEBODY + 1, 2).await;
    let mut reconciler = world.armed("reconciler", "reconciler.after_void").await;
    world.crashed(&mut reconciler).await;
    let summary = once(&world).await;
    assert_eq!(summary["holds_released"].as_u64(), Some(2), "{summary}");
    assert_eq!(
        world
            .number("SELECT COUNT(*) FROM orders WHERE status = 4 AND live IS NULL")
            .await,
        2
    );
    assert_eq!(
        world
            .number("SELECT COUNT(*) FROM incarnations WHERE state <> 'gone'")
            .await,
        0
    );

    let _seckill = world.seckill().await;
    assert_eq!(world.open(1).await.remaining, 4);
    world.buy(SOMEBODY, 2).await.order();
    world.buy(SOMEBODY + 2, 2).await.order();
    world.audit().await;
}

#[tokio::test]
async fn a_repair_with_once_deals_with_what_is_too_young_to_be_judged_yet() {
    let mut world = fresh_world!("once", 2);
    // This is longer than it takes to retire the dead service.
    world.set("SECKILL__RECONCILER__GRACE_MS", 3_500);
    let _consumer = world.role("create-consumer").await;
    once(&world).await;
    abandon(&mut world, SOMEBODY, 2).await;
    // Neither its lease nor the grace period of its hold is over.
    let summary = once(&world).await;
    assert_eq!(
        (
            summary["holds_released"].as_u64(),
            summary["incarnations_retired"].as_u64()
        ),
        (Some(1), Some(1))
    );
    let _seckill = world.seckill().await;
    assert_eq!(world.open(1).await.remaining, 2);
    world.buy(SOMEBODY + 1, 2).await.order();
    world.audit().await;
}

#[tokio::test]
async fn orders_that_wait_for_a_slow_consumer_are_not_voided_whatever_their_age() {
    let mut world = fresh_world!("slow_consumer", 100);
    let _reconciler = world.role("reconciler").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    for buyer in 0..10 {
        world.buy(SOMEBODY + buyer, 2).await.order();
    }
    // Once their holds are older than the grace period, a marker is put behind their orders. Until
    // it is committed, it cannot be known whether they will have rows.
    let queue = Queue::open(&world.stack.amqp_url(), world.queue(1)).await;
    queue.deeper_than(queue.depth().await).await;
    assert_eq!(world.number("SELECT COUNT(*) FROM orders").await, 0);
    let _consumer = world.role("create-consumer").await;
    world.audit().await;
    assert_eq!(
        world
            .number("SELECT COUNT(*) FROM orders WHERE live = 1")
            .await,
        10
    );
}

#[tokio::test]
async fn a_reconciler_that_dies_while_opening_an_epoch_is_finished_by_the_next_one() {
    let mut world = fresh_world!("dies_opening", 60);
    let redis = world.own_redis().await;
    let mut consumer = world.role("create-consumer").await;
    for failpoint in OPENING {
        let mut reconciler = world.armed("reconciler", failpoint).await;
        world.crashed(&mut reconciler).await;
    }
    assert_eq!(once(&world).await["epochs_opened"].as_u64(), Some(1));
    let mut seckill = world.seckill().await;
    world.open(4).await;
    for buyer in 0..10 {
        world.buy(SOMEBODY + buyer, 2).await.order();
    }
    // Some of the orders are rows, others still wait in the queue, when everything in Redis is
    // lost.
    consumer.kill().await.expect("killed");
    for buyer in 10..20 {
        world.buy(SOMEBODY + buyer, 2).await.order();
    }
    let queue = Queue::open(&world.stack.amqp_url(), world.queue(1)).await;
    let waiting = queue.depth().await;
    redis::flush(&redis.url()).await;
    let mut reconciler = world.armed("reconciler", OPENING[0]).await;
    world.crashed(&mut reconciler).await;
    let mut reconciler = world.armed("reconciler", OPENING[1]).await;
    queue.deeper_than(waiting).await;
    assert_eq!(
        world.number("SELECT MAX(epoch) FROM allocations").await,
        4,
        "nothing is granted before the drain"
    );
    let _consumer = world.role("create-consumer").await;
    world.crashed(&mut reconciler).await;
    let mut reconciler = world.armed("reconciler", OPENING[2]).await;
    world.crashed(&mut reconciler).await;
    assert_eq!(once(&world).await["epochs_opened"].as_u64(), Some(1));
    assert_eq!(world.open(8).await.remaining, 20);
    seckill.stop().await.expect("stopped in order");
    let _seckill = world.seckill().await;
    world.open(8).await;
    for buyer in 20..30 {
        world.buy(SOMEBODY + buyer, 2).await.order();
    }
    assert_eq!(
        world.buy(SOMEBODY + 30, 1).await,
        Answer::No("OK, refused: sold out".to_owned())
    );
    world.audit().await;
}

#[tokio::test]
async fn two_reconcilers_side_by_side_do_no_harm() {
    let mut world = fresh_world!("two", 50_000);
    let redis = world.own_redis().await;
    let _reconcilers = [
        world.role("reconciler").await,
        world.role("reconciler").await,
    ];
    let _consumer = world.role("create-consumer").await;
    abandon(&mut world, SOMEBODY, 2).await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let load = world.load(Crowd {
        seed: 17,
        users: 20_000,
        concurrency: 32,
    });
    world.sells(&load, 200).await;
    redis::flush(&redis.url()).await;
    world.open(2).await;
    world.sells(&load, 200).await;
    abandon_by_second_service(&world).await;
    load.finish().await;
    world.audit().await;
    let epochs = world.number("SELECT newest_epoch FROM sales").await;
    assert_eq!(epochs, 2, "they do not take each other's epochs");
}

/// A second service, beside the first, dies and leaves a hold, so that both reconcilers find the
/// same orphan.
async fn abandon_by_second_service(world: &World) {
    let mut second = world.second_armed_seckill("seckill.after_reserve").await;
    let address = second.listen().expect("it listens");
    let answer = world.buy_at(address, SOMEBODY + 1, 1, PATIENCE).await;
    assert!(matches!(answer, Answer::Unknown(_)), "{answer:?}");
    world.crashed(&mut second).await;
    world
        .until_number(
            &format!(
                "SELECT COUNT(*) FROM orders WHERE status = 4 AND user_id = {}",
                SOMEBODY + 1
            ),
            1,
        )
        .await;
}

#[tokio::test]
async fn a_queue_goes_only_after_drained_is_stored_and_one_left_over_goes_with_the_next_pass() {
    let mut world = fresh_world!("leftover", 10);
    let mut consumer = world.role("create-consumer").await;
    once(&world).await;
    let mut seckill = world.seckill().await;
    world.open(1).await;
    let order = world.buy(SOMEBODY, 2).await.order();
    let queue = Queue::open(&world.stack.amqp_url(), world.queue(1)).await;
    seckill.stop().await.expect("stopped in order");
    let mut reconciler = world.armed("reconciler", "reconciler.after_retire").await;
    world.crashed(&mut reconciler).await;
    // exclusive-route (R6): from here on the queue counts as drained, although it still exists.
    assert_eq!(
        world
            .number("SELECT COUNT(*) FROM incarnations WHERE state = 'gone' AND queue <> ''")
            .await,
        1
    );
    assert!(queue.exists().await);
    // A consumer that dies before it acknowledges leaves messages whose orders already have rows.
    consumer.kill().await.expect("killed");
    queue.orders("again", vec![event(order, SOMEBODY, 2)]).await;
    let _consumer = world.role("create-consumer").await;
    once(&world).await;
    assert_eq!(
        world
            .number("SELECT COUNT(*) FROM incarnations WHERE state = 'gone' AND queue <> ''")
            .await,
        0
    );
    assert!(!queue.exists().await);
    let _seckill = world.seckill().await;
    world.open(1).await;
    world.audit().await;
}

#[tokio::test]
async fn an_epoch_is_granted_only_after_a_write_under_way_and_counts_it() {
    let mut world = fresh_world!("locking", 10);
    let redis = world.own_redis().await;
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    // A transaction like that of a consumer, held open just before its commit.
    let made = world.buy(SOMEBODY, 1).await.order();
    world.quiet().await;
    let mut writing = world.database.begin().await.expect("a transaction");
    for statement in [
        "UPDATE allocations SET sold = sold + 3 WHERE epoch = 1",
        "INSERT INTO orders SELECT order_id + 1, user_id + 1, product_id, 3, 29700, allocation_id, 0, 1, created_at_ms,
         updated_at_ms, 0 FROM orders",
    ] {
        sqlx::query(statement).execute(&mut *writing).await.expect(statement);
    }
    redis::flush(&redis.url()).await;
    // grant-under-lock (R11): the allocation's row is locked first, so the grant waits, and then
    // reads what is committed.
    let waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE()
                   AND info LIKE 'SELECT id FROM allocations WHERE id = %FOR UPDATE'";
    world.until_number(waiting, 1).await;
    writing.commit().await.expect("committed");
    let stock = world.open(2).await;
    assert_eq!(stock.remaining, 6);
    // gate-from-rows (R19): both orders are in the new gate.
    assert_eq!(world.buy(SOMEBODY, 1).await.order(), made);
    assert_eq!(world.buy(SOMEBODY + 1, 1).await.order(), made + 1);
    let granted = world
        .number("SELECT granted FROM allocations WHERE epoch = 2")
        .await;
    assert_eq!(granted, 6);
}
