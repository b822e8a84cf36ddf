//! A consumer freezes in the middle of its transaction, with the locks that it has: the sale and
//! the other consumer's rows wait for it no longer than a moment, and its queues are taken over.

use crate::fresh_world;
use crate::load::{Answer, Crowd};
use crate::orders::frozen;
use crate::wait::until;
use crate::world::{PATIENCE, SOMEBODY};
use std::time::{Duration, Instant};

/// Longest wait of the sale, and of other rows, for the frozen one.
const GOES_ON_WITHIN: Duration = Duration::from_secs(5);
/// AMQP heartbeat; the broker gives a silent connection up after two.
const HEARTBEAT_S: u64 = 2;
/// Longest time from the freeze until another consumer writes what was in the frozen one's queues.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(2 * HEARTBEAT_S + 6);

#[tokio::test]
async fn a_consumer_that_freezes_in_its_transaction_holds_up_neither_the_sale_nor_other_rows() {
    let mut world = fresh_world!("frozen_consumer", 1_000_000, start_alone);
    world.set("SECKILL__MQ__HEARTBEAT_S", HEARTBEAT_S);
    let _reconciler = world.role("reconciler").await;
    // A second attempt to open the sale would need its drains.
    let mut opening_consumer = world.role("create-consumer").await;
    let _first = world.seckill().await;
    world.open(1).await;
    opening_consumer.stop().await.expect("stopped");
    let first_consumer = world
        .armed("create-consumer", "consumer.before_commit:3:freeze")
        .await;
    let load = world.load(Crowd {
        seed: 41,
        users: 100_000,
        concurrency: 16,
    });
    let (frozen, frozen_at) = (frozen(&first_consumer).await, Instant::now());
    let session = "SELECT consumer_session FROM incarnations ORDER BY id LIMIT 1";
    let frozen_session = world.number(session).await;

    // The second service's queue is the second consumer's: the first one cannot take it.
    let _second_consumer = world.role("create-consumer").await;
    let second = world.second_seckill().await;
    let second = second.listen().expect("it listens");
    let mut buyer = SOMEBODY;
    let order = until("the second service sells", async || {
        buyer += 1;
        match world.buy_at(second, buyer, 1, PATIENCE).await {
            Answer::Yes(order) => Ok(order),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let sold_at = Instant::now();
    world.sells(&load, 200).await;
    let took = sold_at.elapsed();
    assert!(took < GOES_ON_WITHIN, "the sale stood still for {took:?}");
    let row = format!("SELECT COUNT(*) FROM orders WHERE order_id = {order}");
    world.until_number(&row, 1).await;
    let took = sold_at.elapsed();
    assert!(took < GOES_ON_WITHIN, "a row waited for {took:?}");

    // one-consumer-per-queue (R4): a new session is one of another consumer.
    world.until_number(session, frozen_session + 1).await;
    let took = frozen_at.elapsed();
    eprintln!("the frozen consumer's queue is another's after {took:?}");
    assert!(took < TAKEN_OVER_WITHIN, "its queue waited for {took:?}");
    frozen.thaw();
    load.finish().await;
    world.audit().await;
    assert_eq!(world.number("SELECT COUNT(*) FROM parked").await, 0);
}
