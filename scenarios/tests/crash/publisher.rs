//! The seckill service dies, or is stopped, between a reservation and its answer.

use crate::forged_events::Queue;
use crate::fresh_world;
use crate::load::{Answer, Crowd};
use crate::sale::PRODUCT;
use crate::world::SOMEBODY;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Within this time, a stopping service answers what it has accepted.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Grace period that is longer than any of these tests, so that no hold is given up; ms.
const NEVER_MS: u32 = 120_000;
/// Above its lowest bits, an order id carries the ms from this moment until it was minted.
const ORDER_ID_EPOCH_MS: i64 = 1_735_689_600_000;
const ORDER_ID_TIME_SHIFT: u32 = 22;

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_millis() as i64
}

#[tokio::test]
async fn a_buyer_whose_service_died_after_reserving_is_given_the_same_order_when_they_ask_again() {
    let mut world = fresh_world!("died_after_reserve", 10);
    world.set("SECKILL__RECONCILER__GRACE_MS", NEVER_MS);
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let mut seckill = world.armed_seckill("seckill.after_reserve").await;
    world.open(1).await;
    assert!(matches!(world.buy(SOMEBODY, 2).await, Answer::Unknown(_)));
    world.crashed(&mut seckill).await;
    let died_at_ms = now_ms();

    let _seckill = world.seckill().await;
    let stock = world.open(1).await;
    assert_eq!(
        (stock.remaining, stock.open_units),
        (8, 2),
        "the hold outlives its publisher"
    );
    let order = world.buy(SOMEBODY, 2).await.order();
    assert_eq!(world.buy(SOMEBODY, 1).await.order(), order);
    let minted_at_ms = (order >> ORDER_ID_TIME_SHIFT) + ORDER_ID_EPOCH_MS;
    assert!(
        minted_at_ms <= died_at_ms,
        "minted at {minted_at_ms}, after the death at {died_at_ms}"
    );
    world.audit().await;
    assert_eq!(world.number("SELECT COUNT(*) FROM orders").await, 1);
    assert_eq!(
        world
            .number(&format!(
                "SELECT quantity FROM orders WHERE order_id = {order} AND live = 1"
            ))
            .await,
        2
    );
}

#[tokio::test]
async fn an_abandoned_hold_is_voided_behind_a_marker_and_its_units_are_sold_again() {
    let mut world = fresh_world!("abandoned", 2);
    let _reconciler = world.role("reconciler").await;
    let mut seckill = world.armed_seckill("seckill.after_reserve").await;
    world.open(1).await;
    assert!(matches!(world.buy(SOMEBODY, 2).await, Answer::Unknown(_)));
    world.crashed(&mut seckill).await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    assert_eq!(
        world.buy(SOMEBODY + 1, 1).await,
        Answer::No("OK, refused: sold out".to_owned())
    );

    // The reconciler has put a marker into the queue where the order might be. Without a consumer
    // it cannot be known whether the order is there, so the hold stays, whatever its age.
    let queue = Queue::open(&world.stack.amqp_url(), world.queue(1)).await;
    queue.deeper_than(0).await;
    assert_eq!(world.stock().await.expect("open").open_units, 2);
    assert_eq!(world.number("SELECT COUNT(*) FROM orders").await, 0);
    let _consumer = world.role("create-consumer").await;
    world
        .until_number(
            "SELECT COUNT(*) FROM orders WHERE status = 4 AND live IS NULL",
            1,
        )
        .await;
    let behind_a_marker = "SELECT COUNT(*) FROM orders o WHERE o.status = 4 AND EXISTS (SELECT 1 FROM markers m WHERE \
                           m.incarnation = (SELECT MIN(id) FROM incarnations) AND m.committed_at_ms <= o.created_at_ms)";
    assert_eq!(world.number(behind_a_marker).await, 1);

    world.quiet().await;
    world.buy(SOMEBODY + 2, 2).await.order();
    assert_eq!(
        world.buy(SOMEBODY, 2).await,
        Answer::No("OK, refused: sold out".to_owned())
    );
    world.audit().await;
}

#[tokio::test]
async fn a_buyer_whose_service_died_after_publishing_is_given_the_order_that_was_made() {
    let mut world = fresh_world!("died_after_publish", 10);
    world.set("SECKILL__RECONCILER__GRACE_MS", NEVER_MS);
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let mut seckill = world.armed_seckill("seckill.after_publish").await;
    world.open(1).await;
    assert!(matches!(world.buy(SOMEBODY, 2).await, Answer::Unknown(_)));
    world.crashed(&mut seckill).await;
    world
        .until_number("SELECT COUNT(*) FROM orders WHERE live = 1", 1)
        .await;
    let made = world.number("SELECT order_id FROM orders").await;

    let _seckill = world.seckill().await;
    world.open(1).await;
    assert_eq!(world.buy(SOMEBODY, 2).await.order(), made);
    world.audit().await;
    assert_eq!(world.number("SELECT COUNT(*) FROM orders").await, 1);
}

#[tokio::test]
async fn a_stopped_service_answers_what_it_accepted_and_hands_its_incarnation_back() {
    let mut world = fresh_world!("graceful", 100_000);
    let mut reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let mut seckill = world.seckill().await;
    world.open(1).await;
    reconciler.stop().await.expect("stopped in order");
    let load = world.load(Crowd {
        seed: 11,
        users: 50_000,
        concurrency: 64,
    });
    world.sells(&load, 500).await;
    let begin = Instant::now();
    seckill.stop().await.expect("stopped in order");
    assert!(
        begin.elapsed() < STOP_LIMIT,
        "it took {:?}",
        begin.elapsed()
    );
    let told = load.finish().await;
    assert_eq!(
        told.outcomes().unknown,
        0,
        "everything was answered: {:?}",
        told.statuses
    );

    let handed_back = "SELECT COUNT(*) FROM incarnations WHERE state = 'fenced' AND acknowledged_generation = generation";
    assert_eq!(world.number(handed_back).await, 1);
    let _reconciler = world.role("reconciler").await;
    world
        .until_number(
            "SELECT COUNT(*) FROM incarnations WHERE state = 'gone' AND holder IS NULL",
            1,
        )
        .await;
    // Its holds are settled although the process is gone.
    let _seckill = world.seckill().await;
    world.open(1).await;
    world.audit().await;
    let sold = world
        .number(&format!(
            "SELECT COUNT(*) FROM orders WHERE product_id = {PRODUCT} AND live = 1"
        ))
        .await;
    assert_eq!(sold, told.outcomes().accepted as i64);
}
