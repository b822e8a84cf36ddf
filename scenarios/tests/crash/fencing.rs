//! A service is frozen for longer than its lease: fence-wait (R1), worker-id-outlives-lease (R17).

use crate::fresh_world;
use crate::load::{Answer, Crowd, buy};
use crate::redis;
use crate::sale::PRODUCT;
use crate::world::{LEASE_MS, SOMEBODY, World};
use loadgen::data::Element;
use servers::Frozen;
use std::time::{Duration, Instant};

/// Patience of a buyer whose service is frozen until it is fenced, drained and gone.
const LONG_PATIENCE: Duration = Duration::from_secs(40);
const HOUR_MS: i64 = 3_600_000;
/// Longest time from a kill until a new service sells.
const SELLS_AGAIN_WITHIN: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_service_that_was_frozen_past_its_lease_says_no_more_yes_and_serves_again_under_a_new_incarnation()
 {
    is_frozen(fresh_world!("frozen", 100_000)).await;
}

pub async fn is_frozen(mut world: World) {
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let seckill = world.seckill().await;
    world.open(1).await;
    let load = world.load(Crowd {
        seed: 13,
        users: 50_000,
        concurrency: 48,
    });
    world.sells(&load, 300).await;

    let frozen = Frozen::freeze(seckill.pid());
    // The kernel takes the connection and the request, so this buyer's request is already there
    // when it wakes up.
    let element = Element {
        user_id: SOMEBODY,
        product_id: PRODUCT,
        quantity: 1,
    };
    let waiting = tokio::spawn(buy(
        world.address(),
        element,
        LONG_PATIENCE,
        world.told.clone(),
    ));
    world
        .until_number("SELECT COUNT(*) FROM incarnations WHERE state = 'gone'", 1)
        .await;
    frozen.thaw();
    let answer = waiting.await.expect("the buyer is answered");
    let gone = "SELECT COUNT(*) FROM incarnations WHERE state = 'live' AND id > 1";
    match answer {
        Answer::Unavailable(_) | Answer::Unknown(_) => {}
        // The service may have read the request late, when it knew that it was fenced and had
        // registered again.
        Answer::Yes(_) => assert_eq!(
            world.number(gone).await,
            1,
            "yes under a lease that had run out"
        ),
        other => panic!("{other:?}"),
    }
    world.until_number(gone, 1).await;
    world.open(1).await;
    world.sells(&load, 300).await;
    load.finish().await;
    world.buy(SOMEBODY, 1).await.order();
    world.audit().await;
    // If the old incarnation still sent messages, they came back as unroutable: nothing reached a
    // queue that is gone.
    assert_eq!(world.number("SELECT COUNT(*) FROM parked").await, 0);
}

#[tokio::test]
async fn no_epoch_is_granted_while_a_frozen_service_could_still_say_yes() {
    outlives_its_freeze(fresh_world!("outlived", 1_000), 0).await;
}

#[tokio::test]
async fn a_database_clock_that_leaps_forward_shortens_no_fence_wait() {
    outlives_its_freeze(fresh_world!("leapforward", 1_000), -HOUR_MS).await;
}

/// Redis is emptied while the service is frozen and the times in the database are shifted.
async fn outlives_its_freeze(mut world: World, shift_ms: i64) {
    let redis = world.own_redis().await;
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let seckill = world.seckill().await;
    world.open(1).await;
    world.buy(SOMEBODY, 1).await.order();
    let frozen = Frozen::freeze(seckill.pid());
    let beaten_at_ms = world
        .number("SELECT heartbeat_at_ms FROM incarnations")
        .await;
    shift(&world, shift_ms).await;
    redis::flush(&redis.url()).await;
    world
        .until_number("SELECT MAX(epoch) FROM allocations", 2)
        .await;
    let now_ms = "SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)";
    let silent_for_ms = world.number(now_ms).await - beaten_at_ms;
    assert!(
        silent_for_ms >= LEASE_MS,
        "its lease runs {LEASE_MS} ms, and it was silent for {silent_for_ms} ms"
    );
    frozen.thaw();
    world.open(2).await;
    world.buy(SOMEBODY + 1, 1).await.order();
    world.audit().await;
}

#[tokio::test]
async fn a_database_clock_that_is_set_back_keeps_nobody_waiting_for_a_killed_service() {
    let mut world = fresh_world!("setback", 1_000, start_alone);
    world.set("SECKILL__SECKILL__ENGINE", "preallocated?block=100");
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let mut seckill = world.seckill().await;
    world.open(1).await;
    world.buy(SOMEBODY, 1).await.order();
    seckill.kill().await.expect("killed");
    let killed = Instant::now();
    shift(&world, HOUR_MS).await;
    let _seckill = world.seckill().await;
    world.open(2).await;
    world.buy(SOMEBODY + 1, 1).await.order();
    let closed = killed.elapsed();
    assert!(
        closed < SELLS_AGAIN_WITHIN,
        "sells again only after {closed:?}"
    );
    let held = "SELECT COUNT(*) FROM incarnations WHERE holder IS NOT NULL";
    world.until_number(held, 1).await;
    world.audit().await;
}

/// As if the database's clock had made a step the other way since the last heartbeat.
async fn shift(world: &World, by_ms: i64) {
    let shift = format!("UPDATE incarnations SET heartbeat_at_ms = heartbeat_at_ms + {by_ms}");
    world.sql(&shift).await;
}
