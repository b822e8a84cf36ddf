//! deadline-before-reserve (R7) among processes that do not run with the same configuration.

use crate::fresh_world;
use crate::load::buy;
use crate::sale::PRODUCT;
use crate::stalling::Stalling;
use crate::wait::until;
use crate::world::SOMEBODY;
use loadgen::data::Element;
use std::time::{Duration, Instant};

/// Longer than the reconciler waits by its own configuration before it judges a hold, several times
/// over; within the deadline of the slow service.
const HELD: Duration = Duration::from_millis(4_000);
const SLOW_DEADLINE_MS: &str = "20000";
const SLOW_GRACE_MS: &str = "21000";
const LONG_PATIENCE: Duration = Duration::from_secs(25);

#[tokio::test]
async fn an_order_is_not_voided_while_a_service_with_a_longer_deadline_may_still_accept_it() {
    let mut world = fresh_world!("longdeadline", 10);
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _quick = world.seckill().await;
    world.open(1).await;
    let mut stalling = Stalling::before(&world.stack.amqp_url()).await;
    world.set("SECKILL__MQ__URL", stalling.url());
    world.set("SECKILL__SECKILL__PUBLISH_TIMEOUT_MS", SLOW_DEADLINE_MS);
    world.set("SECKILL__RECONCILER__GRACE_MS", SLOW_GRACE_MS);
    let slow = world.second_seckill().await;
    let element = Element {
        user_id: SOMEBODY,
        product_id: PRODUCT,
        quantity: 2,
    };
    stalling.stall();
    let address = slow.listen().expect("it listens");
    let waiting = tokio::spawn(buy(address, element, LONG_PATIENCE, world.told.clone()));
    until("the hold is open", async || match world.stock().await {
        Ok(stock) if stock.open_units == 2 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let held = Instant::now();
    until("the hold is old", async || {
        let void = world.number("SELECT COUNT(*) FROM orders").await;
        assert_eq!(void, 0, "voided after {:?}", held.elapsed());
        match held.elapsed() {
            elapsed if elapsed > HELD => Ok(()),
            elapsed => Err(format!("{elapsed:?}")),
        }
    })
    .await;
    stalling.go_on();
    let order = waiting.await.expect("the buyer is answered").order();
    let live = format!("SELECT COUNT(*) FROM orders WHERE order_id = {order} AND live = 1");
    world.until_number(&live, 1).await;
    world.audit().await;
}
