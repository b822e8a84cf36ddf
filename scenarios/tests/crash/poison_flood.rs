//! A flood of poison on a queue beside ordinary orders: the sale goes on, rows are written, the table
//! keeps one record for each body and has an end, and a warning is on until somebody has looked.

use crate::forged_events::{ORDERS, Queue};
use crate::fresh_world;
use crate::load::{Crowd, Load};
use crate::readiness::{NOT_SERVING, SERVING, health};
use crate::wait::{until, until_at_least};
use crate::world::{SOMEBODY, World};
use std::time::{Duration, Instant};

/// More than is sold.
const TOTAL: i64 = 1_000_000;
/// As the consumer bounds the open records of one incarnation.
const KEPT_MAX: i64 = 10_000;
/// Longest time until all of the flood is through, and an order that came behind it is a row; a quiet
/// machine takes a tenth of it.
const THROUGH_WITHIN: Duration = Duration::from_secs(60);
/// Longest time in which the sale, beside the flood, sells `AT_ONCE` units to nobody.
const SELLS_WITHIN: Duration = Duration::from_secs(10);
const AT_ONCE: u64 = 20;
const WARNING: &str = "dead-letters";
const SEEN: &str = "SELECT CAST(COALESCE(SUM(count), 0) AS SIGNED) FROM parked";
const RECORDS: &str = "SELECT COUNT(*) FROM parked";

/// `copies` of one body, and so many others, of which no two are the same.
fn bodies(copies: i64, others: i64) -> Vec<Vec<u8>> {
    let same = (0..copies).map(|_| vec![0xff; 40]);
    let different = (0..others).map(|number| [&[0xff; 32], &number.to_be_bytes()[..]].concat());
    same.chain(different).collect()
}

/// The longest time in which a few more were sold, while `flood` lasts.
async fn longest_gap(world: &World, load: &Load, flood: impl Future<Output = ()>) -> Duration {
    let mut flood = std::pin::pin!(flood);
    let mut longest = Duration::ZERO;
    let (mut is_over, mut looks) = (false, 0);
    while !is_over || looks == 0 {
        let began = Instant::now();
        tokio::select! {
            () = &mut flood, if !is_over => is_over = true,
            () = world.sells(load, AT_ONCE) => {
                longest = longest.max(began.elapsed());
                looks += 1;
            }
        }
    }
    longest
}

async fn floods(mut world: World, copies: i64, others: i64, records: i64) {
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    assert_eq!(health(&world, WARNING).await, SERVING);
    let load = world.load(Crowd {
        seed: 97,
        users: 300_000,
        concurrency: 4,
    });
    world.sells(&load, 50).await;
    let queue = Queue::open(&world.stack.amqp_url(), world.queue(1)).await;
    let bodies = bodies(copies, others);
    let began = Instant::now();
    let gap = longest_gap(&world, &load, async {
        queue.flood(ORDERS, &bodies).await;
        until_at_least("the flood is through", copies + others, async || {
            world.number(SEEN).await
        })
        .await;
    })
    .await;
    // Behind all of it.
    let order = world.buy(SOMEBODY, 1).await.order();
    let row = format!("SELECT COUNT(*) FROM orders WHERE order_id = {order}");
    world.until_number(&row, 1).await;
    let took = began.elapsed();
    load.finish().await;

    assert_eq!(world.number(SEEN).await, copies + others, "each is counted");
    assert_eq!(world.number(RECORDS).await, records);
    eprintln!(
        "{copies} copies and {others} others: through after {took:?}, {AT_ONCE} were sold within {gap:?}"
    );
    assert!(took < THROUGH_WITHIN, "{took:?}");
    assert!(gap < SELLS_WITHIN, "the sale stood still for {gap:?}");
    // It warns, and the instance sells all the same.
    until_warning(&world, NOT_SERVING).await;
    assert_eq!(health(&world, "readiness").await, SERVING);
    world.sql("UPDATE parked SET resolved = 1").await;
    until_warning(&world, SERVING).await;
    world.audit().await;
}

async fn until_warning(world: &World, wanted: i32) {
    until("the warning", async || match health(world, WARNING).await {
        found if found == wanted => Ok(()),
        found => Err(found.to_string()),
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_poison_stops_no_sale_and_leaves_one_record_of_each_body() {
    let world = fresh_world!("poison_flood", TOTAL);
    floods(world, 10_000, 1_000, 1_001).await;
}

/// What comes beyond the bound is counted in one record more.
#[tokio::test]
#[ignore = "nightly: parks eleven thousand bodies one by one"]
async fn a_flood_of_different_poison_stops_no_sale_and_the_table_has_an_end() {
    let world = fresh_world!("poison_bound", TOTAL);
    floods(world, 0, KEPT_MAX + 1_000, KEPT_MAX + 1).await;
}
