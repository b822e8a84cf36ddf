//! Redis loses its data, or is another server than before: the sale is not open, and its stock is
//! never re-created without a new epoch.

use crate::epochs::sell_out;
use crate::fresh_world;
use crate::load::{Answer, Crowd};
use crate::redis;
use crate::world::SOMEBODY;
use servers::RedisServer;

#[tokio::test]
async fn an_emptied_redis_means_not_open_until_a_new_epoch_sells_exactly_what_is_left() {
    let mut world = fresh_world!("flushed", 6_000);
    let redis = world.own_redis().await;
    let mut reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let load = world.load(Crowd {
        seed: 19,
        users: 20_000,
        concurrency: 4,
    });
    world.sells(&load, 100).await;
    reconciler.stop().await.expect("stopped in order");
    redis::flush(&redis.url()).await;
    // Without a reconciler the sale stays closed: the service must not open it by itself.
    let answer = world.buy(SOMEBODY, 1).await;
    assert_eq!(
        answer,
        Answer::Unavailable("UNAVAILABLE: the sale is being opened; try again".to_owned())
    );
    assert!(!world.stock().await.expect("the service answers").open);

    let _reconciler = world.role("reconciler").await;
    world.open(2).await;
    world.sells(&load, 20).await;
    // The same again while the reconciler is running.
    redis::flush(&redis.url()).await;
    world.open(3).await;
    sell_out(&world, load).await;
    world.audit().await;
    assert_eq!(
        world
            .number("SELECT CAST(SUM(quantity) AS SIGNED) FROM orders WHERE live = 1")
            .await,
        6_000
    );
    assert_eq!(
        world
            .number("SELECT COUNT(*) FROM orders WHERE status = 4")
            .await,
        0
    );
    assert_eq!(world.number("SELECT COUNT(*) FROM parked").await, 0);
}

#[tokio::test]
async fn a_restarted_redis_is_another_server_with_and_without_its_data() {
    let mut world = fresh_world!("restarted", 4_000);
    let redis = RedisServer::start().await.expect("the stack has one too");
    world.set("SECKILL__REDIS__URL", redis.url());
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    let first = world.open(1).await;
    let load = world.load(Crowd {
        seed: 23,
        users: 20_000,
        concurrency: 4,
    });
    world.sells(&load, 20).await;

    redis.restart().await.expect("it is back");
    let second = world.open(2).await;
    assert_ne!(first.server, second.server);
    world.sells(&load, 10).await;

    redis.lose("killed, empty").await.expect("it is back");
    world.open(3).await;
    sell_out(&world, load).await;
    world.audit().await;
    assert_eq!(
        world
            .number("SELECT CAST(SUM(quantity) AS SIGNED) FROM orders WHERE live = 1")
            .await,
        4_000
    );
    assert_eq!(
        world
            .number("SELECT COUNT(*) FROM orders WHERE status = 4")
            .await,
        0
    );
}

#[tokio::test]
async fn a_redis_that_was_demoted_and_promoted_again_is_another_server() {
    let mut world = fresh_world!("failback", 4_000);
    let (redis, successor) = (RedisServer::start().await, RedisServer::start().await);
    let redis = redis.expect("the stack has one too");
    let successor = successor.expect("the stack has one too");
    successor.follow(&redis).await.expect("it follows");
    world.set("SECKILL__REDIS__URL", redis.url());
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let load = world.load(Crowd {
        seed: 29,
        users: 20_000,
        concurrency: 4,
    });
    world.sells(&load, 20).await;

    // It takes over without what is sold from now on. Then the first one is a primary again, with
    // the successor's data; its process, its address and its scripts are what they were.
    successor.lead().await.expect("it takes over");
    world.sells(&load, 100).await;
    redis.follow(&successor).await.expect("it follows");
    redis.lead().await.expect("it takes over");
    world.open(2).await;
    sell_out(&world, load).await;
    world.audit().await;
    assert_eq!(
        world
            .number("SELECT CAST(SUM(quantity) AS SIGNED) FROM orders WHERE live = 1")
            .await,
        4_000
    );
    assert_eq!(
        world
            .number("SELECT COUNT(*) FROM orders WHERE status = 4")
            .await,
        0
    );
}
