//! Loss of an engine's state, engine by engine: the server behind an engine, or the process that
//! holds its state, is killed in the middle of a sale while orders are still queued. The sale goes
//! on under the next epoch, nothing accepted is lost, everything left is sold, and the audit
//! passes. Each round prints how long the sale was closed.
//!
//! `EPOCH_ROUNDS` says how often each fault is repeated; `EPOCH_ORDERS`, how many orders there are
//! before Redis is lost and has to be told about all of them again.

use crate::load::{Answer, Crowd, Load};
use crate::repetitions::number;
use crate::wait::{until, until_at_least};
use crate::world::{PATIENCE, SOMEBODY, World};
use servers::{Frozen, RedisServer};
use std::time::{Duration, Instant};

const ROUNDS_VARIABLE: &str = "EPOCH_ROUNDS";
const TOTAL: i64 = 6_000;
const ORDERS_VARIABLE: &str = "EPOCH_ORDERS";
const ORDERS: u64 = 10_000;
/// Longest time from the end of the fault until the sale is open again, with the short leases of
/// these tests.
const OPEN_AGAIN_WITHIN: Duration = Duration::from_secs(5);

/// How Redis comes back.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Empty,
    OlderLog,
    LogIntact,
}

/// Lets the load go on until everything is sold and even a buyer who wants a single unit is
/// refused.
pub async fn sell_out(world: &World, load: Load) {
    // What is left, below zero so that it grows.
    let left = async || match world.stock().await {
        Ok(stock) if stock.open => -stock.remaining,
        _ => i64::MIN,
    };
    until_at_least("nearly everything is sold", -1, left).await;
    load.finish().await;
    world.quiet().await;
    for buyer in SOMEBODY.. {
        match world.buy_at(world.address(), buyer, 1, PATIENCE).await {
            Answer::Yes(_) => {}
            Answer::No(why) => {
                assert_eq!(why, "OK, refused: sold out");
                return;
            }
            // Units may be on their way between processes or slots; buyers who are told so ask
            // again.
            Answer::Unavailable(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn sold_exactly(world: &World, total: i64) {
    world.audit().await;
    assert_eq!(
        world
            .number("SELECT CAST(SUM(quantity) AS SIGNED) FROM orders WHERE live = 1")
            .await,
        total
    );
    assert_eq!(world.number("SELECT COUNT(*) FROM parked").await, 0);
}

async fn redis_is_lost(engine: &str, loss: Loss) {
    for round in 1..=number(ROUNDS_VARIABLE, 1) {
        let name = format!(
            "{}{loss:?}{round}",
            engine.split(['-', '?']).next().unwrap_or(engine)
        )
        .to_lowercase();
        let Some(mut world) = World::start(&name, TOTAL).await else {
            return;
        };
        let redis = RedisServer::start().await.expect("the stack has one too");
        world.set("SECKILL__REDIS__URL", redis.url());
        world.set("SECKILL__SECKILL__ENGINE", engine);
        let _reconciler = world.role("reconciler").await;
        let consumer = world.role("create-consumer").await;
        let _seckill = world.seckill().await;
        world.open(1).await;
        let load = world.load(Crowd {
            seed: round,
            users: 40_000,
            concurrency: 16,
        });
        world.sells(&load, 100).await;
        redis.set_aside().expect("copied");
        world.sells(&load, 100).await;
        // From here on, orders stay queued. Their units must not be missing when the next epoch is
        // granted what is left.
        let frozen = Frozen::freeze(consumer.pid());
        world.sells(&load, 50).await;
        redis.kill().await.expect("killed");
        match loss {
            Loss::Empty => redis.erase().expect("erased"),
            Loss::OlderLog => redis.bring_back().expect("brought back"),
            Loss::LogIntact => {}
        }
        redis.restart().await.expect("it is back");
        let back = Instant::now();
        frozen.thaw();
        world.open(2).await;
        let closed = back.elapsed();
        let left = world.stock().await.map_or(0, |stock| stock.remaining);
        sell_out(&world, load).await;
        sold_exactly(&world, TOTAL).await;
        assert_eq!(
            world
                .number("SELECT COUNT(*) FROM orders WHERE status = 4")
                .await,
            0
        );
        eprintln!(
            "{engine}, {loss:?}, round {round}: open again {closed:?} after Redis answered, {left} units left"
        );
        assert!(
            closed < OPEN_AGAIN_WITHIN,
            "open again only after {closed:?}"
        );
    }
}

/// The service dies with requests under way and orders queued, and a new one takes its place.
async fn the_service_is_lost(engine: &str, newest_epoch: i32) {
    for round in 1..=number(ROUNDS_VARIABLE, 1) {
        let name = format!(
            "{}lost{round}",
            engine.split(['-', '?']).next().unwrap_or(engine)
        );
        let Some(mut world) = World::start(&name, TOTAL).await else {
            return;
        };
        world.set("SECKILL__SECKILL__ENGINE", engine);
        let _reconciler = world.role("reconciler").await;
        let consumer = world.role("create-consumer").await;
        let mut seckill = world.seckill().await;
        world.open(1).await;
        let crowd = Crowd {
            seed: round,
            users: 40_000,
            concurrency: 16,
        };
        let load = world.load(crowd);
        world.sells(&load, 200).await;
        let frozen = Frozen::freeze(consumer.pid());
        world.sells(&load, 50).await;
        seckill.kill().await.expect("killed");
        let _seckill = world.seckill().await;
        let back = Instant::now();
        frozen.thaw();
        world.open(newest_epoch).await;
        world.sells(&load, 20).await;
        let closed = back.elapsed();
        sell_out(&world, load).await;
        sold_exactly(&world, TOTAL).await;
        eprintln!(
            "{engine}, service killed, round {round}: sells again {closed:?} after the new one was ready"
        );
        assert!(
            closed < OPEN_AGAIN_WITHIN,
            "sells again only after {closed:?}"
        );
    }
}

/// A sale with many orders loses its Redis: every buyer and every unit is in Redis again before the
/// sale opens.
async fn much_was_sold(engine: &str, name: &str) {
    let orders = number(ORDERS_VARIABLE, ORDERS);
    let total = 2 * i64::try_from(orders).expect("a number of orders");
    let Some(mut world) = World::start(name, total).await else {
        return;
    };
    let redis = RedisServer::start().await.expect("the stack has one too");
    world.set("SECKILL__REDIS__URL", redis.url());
    world.set("SECKILL__SECKILL__ENGINE", engine);
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let load = world.load(Crowd {
        seed: 1,
        users: orders,
        concurrency: 256,
    });
    let count = |orders: u64| i64::try_from(orders).expect("few orders");
    let accepted = async || count(load.accepted());
    until_at_least("all are served", count(orders), accepted).await;
    load.finish().await;
    let before = world.quiet().await;
    let first = world.buy(1, 1).await;
    for round in 1..=number(ROUNDS_VARIABLE, 1) {
        redis.lose("killed, empty").await.expect("it is back");
        let back = Instant::now();
        let after = world
            .open(before.epoch + i32::try_from(round).expect("few rounds"))
            .await;
        let closed = back.elapsed();
        assert_eq!(after.remaining, before.remaining);
        eprintln!(
            "{engine}, {orders} orders, round {round}: open again {closed:?} after Redis answered"
        );
        assert!(
            closed < OPEN_AGAIN_WITHIN,
            "open again only after {closed:?}"
        );
    }
    until(
        "a buyer who has an order is told which one it is",
        async || match world.buy(1, 1).await {
            answer if answer == first => Ok(()),
            // Its first call after the loss may find a connection that is gone.
            Answer::Unknown(why) | Answer::Unavailable(why) => Err(why),
            other => panic!("told {other:?} instead of {first:?}"),
        },
    )
    .await;
    world.buy(SOMEBODY, 1).await.order();
    world.audit().await;
    assert_eq!(
        world.number("SELECT COUNT(*) FROM orders").await,
        1 + i64::try_from(orders).expect("a number")
    );
}

macro_rules! redis_faults {
    ($($name:ident: $engine:literal, $loss:ident;)+) => {
        $(#[tokio::test]
        async fn $name() {
            redis_is_lost($engine, Loss::$loss).await;
        })+
    };
}

redis_faults! {
    lua_single_key_goes_on_after_a_redis_that_came_back_empty: "lua-single-key", Empty;
    lua_single_key_goes_on_after_a_redis_with_an_older_log: "lua-single-key", OlderLog;
    lua_single_key_goes_on_after_a_redis_with_its_log_intact: "lua-single-key", LogIntact;
    sharded_slots_goes_on_after_a_redis_that_came_back_empty: "sharded-slots?slots=4", Empty;
    sharded_slots_goes_on_after_a_redis_with_an_older_log: "sharded-slots?slots=4", OlderLog;
    sharded_slots_goes_on_after_a_redis_with_its_log_intact: "sharded-slots?slots=4", LogIntact;
}

#[tokio::test]
async fn lua_single_key_is_told_of_every_order_before_it_opens_again() {
    much_was_sold("lua-single-key", "luamany").await;
}

#[tokio::test]
async fn sharded_slots_is_told_of_every_order_before_it_opens_again() {
    much_was_sold("sharded-slots?slots=4", "shardedmany").await;
}

#[tokio::test]
async fn database_row_goes_on_in_the_same_epoch_after_its_service_was_killed() {
    the_service_is_lost("database-row", 1).await;
}

#[tokio::test]
async fn preallocated_goes_on_in_the_next_epoch_after_its_service_was_killed() {
    the_service_is_lost("preallocated?block=500", 2).await;
}
