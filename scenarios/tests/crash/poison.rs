//! Messages that can never become rows are parked with their reason, and nothing else suffers:
//! void-before-release (R9), parked-is-final (R10).

use crate::forged_events::{ORDERS, OrderCreated, Queue, event};
use crate::fresh_world;
use crate::load::Answer;
use crate::wait::until;
use crate::world::{SOMEBODY, World};

/// The queue of incarnation 1.
async fn queue_of(world: &World) -> Queue {
    assert_eq!(world.number("SELECT MIN(id) FROM allocations").await, 1);
    Queue::open(&world.stack.amqp_url(), world.queue(1)).await
}

async fn reasons(world: &World) -> Vec<(String, i64, String)> {
    let sql = "SELECT message_id, order_id, reason FROM parked ORDER BY message_id";
    sqlx::query_as(sql)
        .fetch_all(&world.database)
        .await
        .expect("the parked table")
}

#[tokio::test]
async fn poison_is_parked_with_its_reason_and_the_orders_around_it_are_committed() {
    let mut world = fresh_world!("poison", 100);
    let _reconciler = world.role("reconciler").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let queue = queue_of(&world).await;
    queue.message(Some(ORDERS), Some("m1"), &[0xff; 40]).await;
    world.buy(SOMEBODY, 1).await.order();
    queue
        .message(Some("order.batch.v9"), Some("m2"), b"from the future")
        .await;
    queue.message(Some("💥 büy"), Some("m3"), b"words").await;
    world.buy(SOMEBODY + 1, 2).await.order();
    // Two different messages, neither of which has an id.
    queue.message(None, None, b"one").await;
    queue.message(None, None, b"two").await;
    queue.orders("m4", Vec::new()).await;
    world.buy(SOMEBODY + 2, 2).await.order();

    let _consumer = world.role("create-consumer").await;
    world
        .until_number("SELECT COUNT(*) FROM orders WHERE live = 1", 3)
        .await;
    world.until_number("SELECT COUNT(*) FROM parked", 6).await;
    let parked = reasons(&world).await;
    let reason = |id: &str| {
        &parked
            .iter()
            .find(|(known, ..)| known == id)
            .expect("parked")
            .2
    };
    assert!(
        reason("m1").starts_with("undecodable order batch"),
        "{parked:?}"
    );
    assert!(reason("m2").contains("order.batch.v9"), "{parked:?}");
    assert!(
        reason("m3").starts_with("unknown message type"),
        "{parked:?}"
    );
    assert!(
        reason("m4").contains("order batch of 0 orders"),
        "{parked:?}"
    );
    assert_eq!(
        parked
            .iter()
            .filter(|(.., reason)| reason == "message has no type")
            .count(),
        2,
        "{parked:?}"
    );
    assert_eq!(
        world
            .number("SELECT COUNT(*) FROM parked WHERE body IN ('one', 'two', 'words')")
            .await,
        3
    );
    // An operator has looked at them.
    world.sql("UPDATE parked SET resolved = 1").await;
    world.audit().await;
}

#[tokio::test]
async fn one_invalid_order_in_a_batch_is_parked_and_the_others_become_rows() {
    let mut world = fresh_world!("invalid", 100);
    let _reconciler = world.role("reconciler").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let mut orders = Vec::new();
    for buyer in 0..4 {
        let order = world.buy(SOMEBODY + buyer, 2).await.order();
        orders.push(event(order, SOMEBODY + buyer, 2));
    }
    // The service's messages are thrown away, and a publisher that makes mistakes sends the same
    // orders again.
    let queue = queue_of(&world).await;
    assert!(queue.purge().await > 0);
    let no_units = event(77, SOMEBODY + 4, 0);
    let no_order_id = event(0, SOMEBODY + 5, 1);
    orders.splice(
        2..2,
        [
            no_units,
            no_order_id,
            OrderCreated {
                user_id: -1,
                ..no_order_id
            },
        ],
    );
    queue.orders("mixed", orders).await;

    let _consumer = world.role("create-consumer").await;
    world
        .until_number("SELECT COUNT(*) FROM orders WHERE live = 1", 4)
        .await;
    let expected = [
        (
            "mixed#0".to_owned(),
            77,
            "quantity must be positive, got 0".to_owned(),
        ),
        (
            "mixed#1".to_owned(),
            0,
            "order_id must be positive, got 0".to_owned(),
        ),
        (
            "mixed#2".to_owned(),
            0,
            "order_id must be positive, got 0".to_owned(),
        ),
    ];
    assert_eq!(reasons(&world).await, expected);
    world.sql("UPDATE parked SET resolved = 1").await;
    world.audit().await;
}

#[tokio::test]
async fn an_order_beyond_the_allocation_is_parked_and_void_and_does_not_take_its_batch_along() {
    let mut world = fresh_world!("beyond", 10);
    let _reconciler = world.role("reconciler").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let queue = queue_of(&world).await;
    world.buy(SOMEBODY, 2).await.order();
    // Redis was wrong: eleven units of ten.
    queue
        .orders("too many", vec![event(4_711, SOMEBODY + 9, 11)])
        .await;
    // And a further order, which no request led to, for a buyer who already has one.
    queue
        .orders("second", vec![event(4_712, SOMEBODY, 1)])
        .await;
    world.buy(SOMEBODY + 1, 2).await.order();

    let _consumer = world.role("create-consumer").await;
    world
        .until_number("SELECT COUNT(*) FROM orders WHERE live = 1", 2)
        .await;
    world
        .until_number(
            "SELECT COUNT(*) FROM orders WHERE status = 4 AND order_id IN (4711, 4712)",
            2,
        )
        .await;
    let parked = reasons(&world).await;
    let orders: Vec<i64> = parked.iter().map(|(_, order, _)| *order).collect();
    assert_eq!(orders, [4_711, 4_712], "{parked:?}");
    assert_eq!(
        parked[0].2,
        "allocation 1 is closed or has fewer than 11 units left"
    );
    assert!(
        parked[1].2.contains("orders_one_live_per_buyer"),
        "{parked:?}"
    );
    assert_eq!(world.number("SELECT sold FROM allocations").await, 4);
    // The rest can be sold.
    for buyer in 2..5 {
        world.buy(SOMEBODY + buyer, 2).await.order();
    }
    world.sql("UPDATE parked SET resolved = 1").await;
    world.audit().await;
}

#[tokio::test]
async fn a_hold_that_may_be_in_an_unreadable_message_is_not_voided_until_the_message_is_resolved() {
    let mut world = fresh_world!("unreadable", 10);
    let _consumer = world.role("create-consumer").await;
    let mut reconciler = world.role("reconciler").await;
    let mut seckill = world.armed_seckill("seckill.after_reserve").await;
    world.open(1).await;
    queue_of(&world)
        .await
        .message(Some(ORDERS), Some("torn"), &[0xff; 40])
        .await;
    world.until_number("SELECT COUNT(*) FROM parked", 1).await;
    reconciler.stop().await.expect("stopped in order");
    assert!(matches!(world.buy(SOMEBODY, 2).await, Answer::Unknown(_)));
    world.crashed(&mut seckill).await;
    let _seckill = world.seckill().await;

    let _reconciler = world.role("reconciler").await;
    // It is retired after its lease and the margin, which together are longer than the grace period
    // of its hold.
    world
        .until_number("SELECT COUNT(*) FROM incarnations WHERE state = 'gone'", 1)
        .await;
    world.buy(SOMEBODY + 1, 1).await.order();
    until("another hold has come and gone", async || {
        match world.stock().await {
            Ok(stock) if stock.open_units == 2 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(
        world
            .number("SELECT COUNT(*) FROM orders WHERE status = 4")
            .await,
        0
    );
    world.sql("UPDATE parked SET resolved = 1").await;
    world
        .until_number("SELECT COUNT(*) FROM orders WHERE status = 4", 1)
        .await;
    world.audit().await;
}
