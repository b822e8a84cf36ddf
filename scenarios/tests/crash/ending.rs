//! The end of a sale: the engine forgets it, whoever has an order is told so all the same, and a
//! window that moves opens what is left. Whatever dies in between, no accepted order is lost.

use crate::fresh_world;
use crate::load::Answer;
use crate::redis;
use crate::wait::until;
use crate::world::{SOMEBODY, World};

/// The steps at which a reconciler may die, in their order.
const STEPS: [&str; 4] = [
    "reconciler.after_end_claim",
    "reconciler.after_forget",
    "reconciler.before_end",
    "reconciler.after_end",
];
const ENDED: &str = "SELECT ended FROM sales";

async fn window_over(world: &World) {
    world
        .sql("UPDATE products SET sale_ends_at = UNIX_TIMESTAMP() - 1")
        .await;
}

async fn window_moves(world: &World) {
    world
        .sql("UPDATE products SET sale_ends_at = UNIX_TIMESTAMP() + 3600")
        .await;
}

/// Asks until there is an answer; while the sale ends it may be "come back later", never a refusal
/// of somebody who has an order.
async fn has_order(world: &World, user: i64, order: i64) {
    until("the buyer is told of their order", async || {
        match world.buy(user, 1).await {
            Answer::Yes(told) => {
                assert_eq!(told, order, "the order of buyer {user}");
                Ok(())
            }
            Answer::Unavailable(why) | Answer::Unknown(why) => Err(why),
            other => panic!("buyer {user} has order {order} and is told {other:?}"),
        }
    })
    .await;
}

async fn is_told_that_it_has_ended(world: &World, user: i64) {
    until(
        "a newcomer hears that the sale has ended",
        async || match world.buy(user, 1).await {
            Answer::No(why) if why.contains("the sale has ended") => Ok(()),
            Answer::Unavailable(why) => Err(why),
            other => panic!("{other:?}"),
        },
    )
    .await;
}

/// Sells what is left, `units` of it, and audits everything.
async fn goes_on(world: &World, epoch: i32, units: i64) {
    window_moves(world).await;
    assert_eq!(world.open(epoch).await.remaining, units);
    for buyer in 0..units {
        world.buy(SOMEBODY + 100 + buyer, 1).await.order();
    }
    let told = world.buy(SOMEBODY + 200, 1).await;
    assert!(
        matches!(&told, Answer::No(why) if why.contains("sold out")),
        "{told:?}"
    );
    world.audit().await;
}

#[tokio::test]
async fn an_ended_sale_answers_from_its_rows_and_goes_on_when_its_window_moves() {
    let mut world = fresh_world!("ending", 6);
    let _reconciler = world.role("reconciler").await;
    let mut consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let first = world.buy(SOMEBODY, 2).await.order();
    world.quiet().await;
    // Accepted, and on its way to its row when the window ends.
    consumer.kill().await.expect("killed");
    let second = world.buy(SOMEBODY + 1, 1).await.order();
    window_over(&world).await;
    has_order(&world, SOMEBODY, first).await;
    has_order(&world, SOMEBODY + 1, second).await;
    let _consumer = world.role("create-consumer").await;
    world.until_number(ENDED, 1).await;
    assert_eq!(
        world
            .number("SELECT COUNT(*) FROM sales WHERE open_epoch IS NULL")
            .await,
        1
    );
    assert_eq!(
        world
            .number("SELECT COUNT(*) FROM allocations WHERE state = 'open'")
            .await,
        1
    );
    let keys = redis::keys(&world.stack.redis_url(), "{ending:*").await;
    assert_eq!(keys.len(), 1, "the note: {keys:?}");
    has_order(&world, SOMEBODY, first).await;
    has_order(&world, SOMEBODY + 1, second).await;
    is_told_that_it_has_ended(&world, SOMEBODY + 2).await;
    goes_on(&world, 3, 3).await;
    has_order(&world, SOMEBODY, first).await;
}

#[tokio::test]
async fn a_sale_whose_stock_is_in_the_processes_ends_and_goes_on_too() {
    let mut world = fresh_world!("ending_leases", 6);
    world.set(
        "SECKILL__SECKILL__ENGINE",
        "preallocated?block=2&partitions=4",
    );
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    let opened = world.open(1).await.epoch;
    let order = world.buy(SOMEBODY, 2).await.order();
    window_over(&world).await;
    has_order(&world, SOMEBODY, order).await;
    world.until_number(ENDED, 1).await;
    has_order(&world, SOMEBODY, order).await;
    is_told_that_it_has_ended(&world, SOMEBODY + 2).await;
    goes_on(&world, opened + 2, 4).await;
}

#[tokio::test]
async fn a_reconciler_that_dies_while_a_sale_ends_is_followed_by_one_that_ends_it() {
    let mut world = fresh_world!("dies_ending", 6);
    let mut reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let order = world.buy(SOMEBODY, 2).await.order();
    world.quiet().await;
    reconciler.kill().await.expect("killed");
    window_over(&world).await;
    for step in STEPS {
        let mut reconciler = world.armed("reconciler", step).await;
        world.crashed(&mut reconciler).await;
        has_order(&world, SOMEBODY, order).await;
    }
    let _reconciler = world.role("reconciler").await;
    world.until_number(ENDED, 1).await;
    is_told_that_it_has_ended(&world, SOMEBODY + 2).await;
    let claimed = world.number("SELECT newest_epoch FROM sales").await;
    assert_eq!(claimed, 2, "the end is claimed once");
    goes_on(&world, 3, 4).await;
}

#[tokio::test]
async fn beyond_the_bound_on_look_ups_an_ended_sale_says_come_back_later() {
    let mut world = fresh_world!("ending_bound", 2);
    world.set("SECKILL__SECKILL__LOOK_UPS_PER_S", 1);
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let order = world.buy(SOMEBODY, 1).await.order();
    world.quiet().await;
    window_over(&world).await;
    world.until_number(ENDED, 1).await;
    let mut crowded = false;
    for _ in 0..20 {
        match world.buy(SOMEBODY, 1).await {
            Answer::Yes(told) => assert_eq!(told, order),
            Answer::Unavailable(why) => crowded |= why.contains("too many requests"),
            other => panic!("{other:?}"),
        }
    }
    assert!(crowded, "one look-up per second was allowed");
    has_order(&world, SOMEBODY, order).await;
}
