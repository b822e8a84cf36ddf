//! A queue is gone, or its node is down, or the broker takes no markers: exclusive-route (R6),
//! parked-is-final (R10), and sales that need none of it.

use crate::forged_events::Queue;
use crate::fresh_world;
use crate::load::Answer;
use crate::redis;
use crate::wait::until;
use crate::world::{PATIENCE, SOMEBODY, World};
use servers::RabbitMqServer;

const LOST: &str =
    "SELECT COUNT(*) FROM parked WHERE incarnation = 1 AND kind = 'queue.lost' AND resolved = 0";

/// Puts another product on sale.
async fn another_sale(world: &World, product_id: i64, total: i64) {
    let sql = format!(
        "INSERT INTO products (id, name, description, price_cents, sale_starts_at, sale_ends_at, created_at,
         updated_at) VALUES ({product_id}, 'another', '', 100, 0, 4102444800, 0, 0);
         INSERT INTO sales (product_id, total) VALUES ({product_id}, {total})"
    );
    world.sql(&sql).await;
}

/// Waits until an epoch of this sale is open in the database, and none is being opened.
async fn opens(world: &World, product_id: i64, epoch: i64) {
    let sql = format!(
        "SELECT COALESCE(MAX(open_epoch), 0) >= {epoch} AND COALESCE(MAX(open_epoch = newest_epoch), 0)
         FROM sales WHERE product_id = {product_id}"
    );
    world.until_number(&sql, 1).await;
}

/// Waits until somebody is sold something; returns who.
async fn sells_to_one_of(world: &World, first: i64) -> i64 {
    let mut user = first;
    until("the sale goes on", async || {
        user += 1;
        match world.buy(user, 1).await {
            Answer::Yes(_) => Ok(user),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

#[tokio::test]
async fn with_the_own_queue_gone_and_others_bound_nobody_is_told_yes_and_the_sale_goes_on_under_a_new_incarnation()
 {
    own_queue_is_gone(fresh_world!("foreign_binding", 1_000)).await;
}

pub async fn own_queue_is_gone(mut world: World) {
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    world.buy(SOMEBODY, 2).await.order();
    world.quiet().await;
    // A listener that wants to see every order, and one that wants to see everything.
    let listeners = [("all_orders", "order.create.#"), ("everything", "#")];
    for (name, key) in listeners {
        let name = format!("{}.{name}", world.queue(1));
        let foreign = Queue::foreign(&world.stack.amqp_url(), name).await;
        foreign.bind(&world.exchange(), key).await;
    }
    let own = Queue::open(&world.stack.amqp_url(), world.queue(1)).await;
    own.delete().await;
    let answer = world.buy(SOMEBODY + 1, 1).await;
    assert!(matches!(answer, Answer::Unavailable(_)), "{answer:?}");

    sells_to_one_of(&world, SOMEBODY + 10).await;
    let live = "SELECT COUNT(*) FROM incarnations WHERE state = 'live' AND id > 1";
    assert_eq!(world.number(live).await, 1);
    // Whatever was in the queue is lost, so a record stands for all of it.
    world.until_number(LOST, 1).await;
    world
        .until_number("SELECT COUNT(*) FROM incarnations WHERE state = 'gone'", 1)
        .await;
    // parked-is-final (R10): of a hold that went through the lost queue nobody knows whether its
    // buyer was told yes, so it stays, while one that did not is voided.
    let mut second = world.second_armed_seckill("seckill.after_reserve").await;
    let address = second.listen().expect("it listens");
    let answer = world.buy_at(address, SOMEBODY + 2, 1, PATIENCE).await;
    assert!(matches!(answer, Answer::Unknown(_)), "{answer:?}");
    world.crashed(&mut second).await;
    world
        .until_number("SELECT COUNT(*) FROM orders WHERE status = 4", 1)
        .await;
    let voided = "SELECT user_id FROM orders WHERE status = 4";
    assert_eq!(world.number(voided).await, SOMEBODY + 2);
    // An operator has looked at it.
    world.sql("UPDATE parked SET resolved = 1").await;
    world.audit().await;
    assert!(
        world
            .number("SELECT COUNT(*) FROM orders WHERE status = 4")
            .await
            >= 2
    );
}

/// Does to a queue what becomes of all queues of a node that goes down: the broker knows of it, and
/// nobody can reach it until the node is back.
async fn put_down(broker: &RabbitMqServer, queue: &str) {
    let forget = format!(
        "mnesia:dirty_delete(rabbit_queue, rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>))."
    );
    broker.eval(&forget).await.expect("the queue is down");
}

#[tokio::test]
async fn a_queue_whose_node_is_down_keeps_only_those_sales_waiting_that_need_it() {
    let mut world = fresh_world!("node_down", 1_000);
    let redis = world.own_redis().await;
    let broker = RabbitMqServer::start().await;
    let broker = broker.expect("the stack has one too");
    world.set("SECKILL__MQ__URL", broker.url());
    // Of a quorum queue the other nodes would go on.
    world.set("SECKILL__MQ__QUEUE_TYPE", "classic");
    let _reconciler = world.role("reconciler").await;
    let mut seckill = world.seckill().await;
    world.open(1).await;
    // Nobody has made a row of it when the queue goes down.
    let order = world.buy(SOMEBODY, 2).await.order();
    put_down(&broker, &world.queue(1)).await;
    seckill.kill().await.expect("killed");
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world
        .until_number(
            "SELECT COUNT(*) FROM incarnations WHERE state = 'fenced'",
            1,
        )
        .await;
    // A sale that begins needs nobody's queue, and one that is open goes on.
    another_sale(&world, 2, 10).await;
    opens(&world, 2, 1).await;
    world.buy(SOMEBODY + 1, 1).await.order();
    redis::flush(&redis.url()).await;
    another_sale(&world, 3, 10).await;
    opens(&world, 3, 1).await;
    let granted = "SELECT MAX(epoch) FROM allocations WHERE product_id = 1";
    assert_eq!(
        world.number(granted).await,
        1,
        "nothing is granted before the drain"
    );
    assert_eq!(
        world.number("SELECT COUNT(*) FROM parked").await,
        0,
        "nothing is lost"
    );
    // One line for each refusal, and ever longer pauses between them.
    let logs = world.logs();
    let refusals = logs.matches("the node of its queue is down").count();
    assert!((1..=30).contains(&refusals), "{refusals} in {logs}");
    assert!(!logs.contains("Channel closed"), "{logs}");
    broker.restart().await.expect("it is back");
    opens(&world, 1, 2).await;
    world.open(2).await;
    assert_eq!(world.buy(SOMEBODY, 2).await.order(), order);
    assert_eq!(world.number("SELECT COUNT(*) FROM parked").await, 0);
    world.sql("DELETE FROM sales WHERE product_id > 1").await;
    world.audit().await;
}

#[tokio::test]
async fn a_broker_that_takes_no_marker_keeps_no_other_sale_from_opening() {
    let mut world = fresh_world!("no_marker", 10);
    let broker = RabbitMqServer::start().await;
    let broker = broker.expect("the stack has one too");
    world.set("SECKILL__MQ__URL", broker.url());
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let mut seckill = world.seckill().await;
    world.open(1).await;
    world.buy(SOMEBODY, 2).await.order();
    world.quiet().await;
    let frozen = broker.freeze();
    seckill.kill().await.expect("killed");
    world
        .until_number(
            "SELECT COUNT(*) FROM incarnations WHERE state = 'fenced'",
            1,
        )
        .await;
    another_sale(&world, 2, 10).await;
    opens(&world, 2, 1).await;
    frozen.thaw();
    let _seckill = world.seckill().await;
    world.buy(SOMEBODY + 1, 1).await.order();
    world.sql("DELETE FROM sales WHERE product_id = 2").await;
    world.audit().await;
}
