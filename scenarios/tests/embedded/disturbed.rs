//! The embedded stack under what disturbs its file: a clock that steps, a queue that is gone, somebody
//! else who writes.

use crate::load::Crowd;
use crate::wait::until;
use crate::{EmbeddedWorld, SELLS_AGAIN_WITHIN};
use sqlx::Connection;
use std::time::{Duration, Instant};

/// fence-wait (R1): the process that follows waits for the lease of the one before, not for the clock
/// to reach the time in its row.
#[tokio::test]
async fn a_clock_that_is_set_back_keeps_nobody_waiting_for_the_process_that_was_killed() {
    let mut world = EmbeddedWorld::new("preallocated?block=500").await;
    let crowd = Crowd {
        seed: 1,
        users: 10_000,
        concurrency: 16,
    };
    let mut all = world.all(None).await;
    let load = world.load(&all, crowd);
    load.sells(50).await;
    all.kill().await.expect("killed");
    load.finish().await;
    world
        .sql("UPDATE incarnations SET heartbeat_at_ms = heartbeat_at_ms + 3600000")
        .await;
    let killed = Instant::now();
    let mut all = world.all(None).await;
    let load = world.load(&all, crowd);
    load.sells(50).await;
    let closed = killed.elapsed();
    assert!(
        closed < SELLS_AGAIN_WITHIN,
        "sells again only after {closed:?}"
    );
    load.finish().await;
    all.stop().await.expect("stopped in order");
    world.audit().await;
    world.stack.stop().await.expect("an orderly end");
}

#[tokio::test]
async fn with_its_queue_gone_the_process_goes_on_under_a_new_incarnation_and_the_loss_is_recorded()
{
    let mut world = EmbeddedWorld::new("preallocated?block=500").await;
    let mut all = world.all(None).await;
    let mut crowd = Crowd {
        seed: 3,
        users: 50_000,
        concurrency: 16,
    };
    let load = world.load(&all, crowd);
    load.sells(50).await;
    load.finish().await;
    until("every order has its row", async || {
        match world.number("SELECT COUNT(*) FROM queue_messages").await {
            0 => Ok(()),
            waiting => Err(format!("{waiting} messages")),
        }
    })
    .await;
    world
        .sql("DELETE FROM queue_bindings WHERE incarnation = 1")
        .await;
    crowd.seed += 1;
    let load = world.load(&all, crowd);
    load.sells(50).await;
    load.finish().await;
    let live = "SELECT COUNT(*) FROM incarnations WHERE state = 'live' AND id > 1";
    assert_eq!(world.number(live).await, 1);
    let lost = "SELECT COUNT(*) FROM parked WHERE incarnation = 1 AND kind = 'queue.lost' AND resolved = 0";
    until("the loss is recorded", async || {
        match world.number(lost).await {
            1 => Ok(()),
            other => Err(format!("{other} records")),
        }
    })
    .await;
    all.stop().await.expect("stopped in order");
    world.sql("UPDATE parked SET resolved = 1").await;
    world.audit().await;
    world.stack.stop().await.expect("an orderly end");
}

/// The queue is stalled while another process writes to its file.
#[tokio::test]
async fn a_queue_that_cannot_be_written_does_not_sell_out_the_sale_to_nobody() {
    const LANES: u64 = 4;
    const LARGEST_BATCH: u64 = 16;
    let mut world = EmbeddedWorld::new("preallocated").await;
    world.settings = vec![
        ("SECKILL__SECKILL__THREADS", "1"),
        ("SECKILL__GROUP_COMMIT__MAX_IN_FLIGHT", "4"),
        ("SECKILL__GROUP_COMMIT__MAX_BATCH", "16"),
    ];
    // Heartbeats have to wait, too.
    world.lease_ms = 20_000;
    let mut all = world.all(None).await;
    let mut crowd = Crowd {
        seed: 47,
        users: 100_000,
        concurrency: 32,
    };
    // It has units in its memory then.
    let load = world.load(&all, crowd);
    load.sells(500).await;
    load.finish().await;
    let mut writing = world.database().await;
    let begun = sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut writing).await;
    begun.expect("others wait");
    crowd.concurrency = 500;
    let load = world.load(&all, crowd);
    // Several publish deadlines.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let told = load.finish().await;
    writing.close().await.expect("others write again");
    let unknown = told
        .statuses
        .iter()
        .filter(|(words, _)| words.contains("outcome unknown"));
    let held: u64 = unknown.map(|(_, times)| times).sum();
    assert!(
        (1..=LANES * LARGEST_BATCH).contains(&held),
        "{held} are held: {:?}",
        told.statuses
    );
    crowd.concurrency = 32;
    let load = world.load(&all, crowd);
    load.sells(500).await;
    load.finish().await;
    all.stop().await.expect("stopped in order");
    world.audit().await;
    world.stack.stop().await.expect("an orderly end");
}
