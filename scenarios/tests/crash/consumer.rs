//! create-consumer dies at each step between receiving a message and settling its holds.

use crate::fresh_world;
use crate::load::Crowd;
use crate::wait::until;
use crate::world::World;

/// What the second consumer says when it has seen the first one beat.
const BOTH: &str = "own=Some(ConsumerId(2)) live=[ConsumerId(1), ConsumerId(2)]";

/// Lets one consumer after another die at `failpoint` while orders arrive; then one goes on without
/// dying.
async fn dies_at(name: &str, failpoint: &str) {
    one_after_another_dies_at(fresh_world!(name, 50_000), failpoint).await;
}

pub async fn one_after_another_dies_at(mut world: World, failpoint: &str) {
    let _reconciler = world.role("reconciler").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let load = world.load(Crowd {
        seed: 5,
        users: 20_000,
        concurrency: 48,
    });
    // The first consumer dies at its first visit, when nothing has been committed; the second one
    // at its third visit, after redeliveries.
    for visit in [1, 3] {
        let mut consumer = world
            .armed("create-consumer", &format!("{failpoint}:{visit}"))
            .await;
        world.crashed(&mut consumer).await;
        world.sells(&load, 100).await;
    }
    let _consumer = world.role("create-consumer").await;
    world.sells(&load, 300).await;
    load.finish().await;
    world.audit().await;
    assert_eq!(
        world
            .number("SELECT COUNT(*) FROM orders WHERE status = 4")
            .await,
        0,
        "nothing had to be voided"
    );
}

#[tokio::test]
async fn a_consumer_that_dies_before_its_commit_loses_and_doubles_nothing() {
    dies_at("before_commit", "consumer.before_commit").await;
}

#[tokio::test]
async fn a_consumer_that_dies_between_commit_and_acknowledgement_loses_and_doubles_nothing() {
    dies_at("after_commit", "consumer.after_commit").await;
}

#[tokio::test]
async fn a_consumer_that_dies_between_acknowledgement_and_settling_leaves_no_hold_open() {
    dies_at("after_ack", "consumer.after_ack").await;
}

#[tokio::test]
async fn a_consumer_that_dies_in_the_middle_of_settling_leaves_no_hold_open() {
    dies_at("mid_settle", "consumer.mid_settle").await;
}

#[tokio::test]
async fn a_second_consumer_takes_over_where_a_killed_one_stopped() {
    takes_over(fresh_world!("takes_over", 50_000)).await;
}

pub async fn takes_over(mut world: World) {
    let _reconciler = world.role("reconciler").await;
    let mut first = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let load = world.load(Crowd {
        seed: 7,
        users: 20_000,
        concurrency: 48,
    });
    world.sells(&load, 100).await;
    let _second = world.role("create-consumer").await;
    // Until it has seen the first one beat it takes the queue for its own, and waits for it at the
    // broker. Were the first one killed then, the second would get the queue, begin a session, learn
    // only afterwards of the first one's last heartbeat, leave the queue to it, and begin another
    // session when that one has been silent for its lease.
    until("the second one knows the first", async || {
        match world.logs().contains(BOTH) {
            true => Ok(()),
            false => Err("it does not".to_owned()),
        }
    })
    .await;
    world.sells(&load, 100).await;
    // one-consumer-per-queue (R4): the session is still that of the first consumer.
    world
        .until_number("SELECT consumer_session FROM incarnations", 1)
        .await;
    first.kill().await.expect("killed");
    world.sells(&load, 300).await;
    load.finish().await;
    world.audit().await;
    let sessions = "SELECT consumer_session FROM incarnations";
    assert_eq!(world.number(sessions).await, 2, "each began one");
}
