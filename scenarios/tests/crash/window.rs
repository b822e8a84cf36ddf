//! Before and after the window of a sale: whoever has an order is told so, under the same id,
//! whichever engine sells, whether its row is there or not, and by a fresh instance, too.

use crate::fresh_world;
use crate::load::Answer;
use crate::wait::until;
use crate::world::{SOMEBODY, World};

/// Whose order has its row.
const SETTLED: i64 = SOMEBODY;
/// Whose order is still on its way to becoming a row.
const OPEN: i64 = SOMEBODY + 1;
/// Whoever has this id, or a greater one, has no order.
const NEWCOMERS: i64 = SOMEBODY + 2;
const ENDED: &str = "UPDATE products SET sale_starts_at = 0, sale_ends_at = 1";
const NOT_STARTED: &str =
    "UPDATE products SET sale_starts_at = 4102444000, sale_ends_at = 4102444800";

/// Moves the window and waits until a buyer without an order is refused because of it.
async fn move_window(world: &World, newcomer: &mut i64, sql: &str, refusal: &str) {
    world.sql(sql).await;
    until(refusal, async || {
        // The service has not heard of it if it sells to them.
        *newcomer += 1;
        match world.buy(*newcomer, 1).await {
            Answer::No(why) if why.contains(refusal) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// Waits until a buyer is told of their order; never of another one, nor that there is none.
async fn is_told(world: &World, user_id: i64, order: i64) {
    until("told of their order", async || {
        match world.buy(user_id, 1).await {
            Answer::Yes(told) => {
                assert_eq!(told, order);
                Ok(())
            }
            Answer::No(why) => panic!("user {user_id} has order {order} and is told: {why}"),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

async fn whoever_has_an_order_is_told_so(engine: &str, mut world: World) {
    world.set("SECKILL__SECKILL__ENGINE", engine);
    let _reconciler = world.role("reconciler").await;
    let mut consumer = world.role("create-consumer").await;
    let mut seckill = world.seckill().await;
    world.open(1).await;
    let settled = world.buy(SETTLED, 1).await.order();
    world.quiet().await;
    consumer.stop().await.expect("stopped in order");
    let open = world.buy(OPEN, 1).await.order();

    let mut newcomer = NEWCOMERS;
    for (window, refusal) in [
        (NOT_STARTED, "the sale has not started"),
        (ENDED, "the sale has ended"),
    ] {
        move_window(&world, &mut newcomer, window, refusal).await;
        assert_eq!(world.buy(SETTLED, 1).await.order(), settled, "{refusal}");
        is_told(&world, OPEN, open).await;
    }
    let rows =
        format!("SELECT COUNT(*) FROM orders WHERE live = 1 AND user_id IN ({SETTLED}, {OPEN})");
    assert_eq!(world.number(&rows).await, 1, "one is still on its way");

    let _consumer = world.role("create-consumer").await;
    seckill.kill().await.expect("killed");
    let _seckill = world.seckill().await;
    for (user, order) in [(SETTLED, settled), (OPEN, open)] {
        is_told(&world, user, order).await;
    }
    world.until_number(&rows, 2).await;
    move_window(&world, &mut newcomer, ENDED, "the sale has ended").await;
}

#[tokio::test]
async fn outside_the_window_lua_single_key_tells_whoever_has_an_order_so() {
    let world = fresh_world!("window_lua", 1_000);
    whoever_has_an_order_is_told_so("lua-single-key", world).await;
}

#[tokio::test]
async fn outside_the_window_sharded_slots_tells_whoever_has_an_order_so() {
    let world = fresh_world!("window_slots", 1_000);
    whoever_has_an_order_is_told_so("sharded-slots", world).await;
}

#[tokio::test]
async fn outside_the_window_database_row_tells_whoever_has_an_order_so() {
    let world = fresh_world!("window_row", 1_000);
    whoever_has_an_order_is_told_so("database-row", world).await;
}

#[tokio::test]
async fn outside_the_window_preallocated_tells_whoever_has_an_order_so() {
    let world = fresh_world!("window_leases", 1_000);
    whoever_has_an_order_is_told_so("preallocated", world).await;
}
