//! What a process says it has been waiting for.

use crate::shop::{PATIENCE, PRODUCT, Shop, call};
use sqlx::{Connection, Executor, SqliteConnection};
use std::time::{Duration, Instant};
use system::proto::inspect::{GetPressureRequest, GetPressureResponse};
use system::proto::seckill::{SeckillRequest, SeckillResponse};

/// How long nothing is confirmed. Less than the quarter of the publish deadline after which the
/// broker counts as stalled.
const STALL: Duration = Duration::from_millis(1_800);
const DEADLINE_MS: &str = "10000";
const GRACE_MS: &str = "20000";
const LOOK: Duration = Duration::from_millis(10);
/// Of the stall, what is left for whoever waits when the machine has been slow to let them ask.
const WAITED_AT_LEAST: Duration = Duration::from_millis(100);

async fn pressure(shop: &Shop) -> GetPressureResponse {
    let method = "/inspect.InspectService/GetPressure";
    let answer = call(shop.admin(), method, GetPressureRequest {}).await;
    answer.expect("it answers operators")
}

async fn buy(address: std::net::SocketAddr, user_id: i64) -> Result<SeckillResponse, String> {
    let request = SeckillRequest {
        user_id,
        product_id: PRODUCT,
        quantity: 1,
        ..Default::default()
    };
    call(address, "/seckill.SeckillService/ExecuteSeckill", request).await
}

#[tokio::test]
async fn who_waits_behind_a_confirm_that_does_not_come_is_counted_and_nobody_else() {
    let shop = Shop::open(
        1_024,
        &[
            ("SECKILL__GROUP_COMMIT__MAX_IN_FLIGHT", "1"),
            ("SECKILL__SECKILL__PUBLISH_TIMEOUT_MS", DEADLINE_MS),
            ("SECKILL__RECONCILER__GRACE_MS", GRACE_MS),
        ],
    )
    .await;
    shop.sells_to(2).await;
    let before = pressure(&shop).await;
    assert_eq!(before.threads, 1);
    assert!(before.batches >= 2 && before.orders >= 2, "{before:?}");
    assert_eq!(before.confirm_wait_ns, 0, "one at a time waits for nobody");

    let began = Instant::now();
    let mut file = SqliteConnection::connect(&shop.database())
        .await
        .expect("a file");
    file.execute("BEGIN IMMEDIATE").await.expect("locked");
    let first = tokio::spawn(buy(shop.address(), 3));
    // The next one is not to be in the same batch.
    while pressure(&shop).await.batches == before.batches {
        assert!(began.elapsed() < PATIENCE, "no batch begins");
        tokio::time::sleep(LOOK).await;
    }
    let second = tokio::spawn(buy(shop.address(), 4));
    tokio::time::sleep(STALL).await;
    file.execute("ROLLBACK").await.expect("given back");
    for asked in [first, second] {
        // On a slow machine they may give up before they are told.
        eprintln!("{:?}", asked.await.expect("no panic"));
    }
    shop.sells_to(5).await;
    let after = pressure(&shop).await;
    let waited = Duration::from_nanos(after.confirm_wait_ns);
    assert!(waited >= WAITED_AT_LEAST, "{waited:?}: {after:?}");
    assert!(waited <= began.elapsed(), "{waited:?}: {after:?}");
    assert!(after.engine_wait_ns >= before.engine_wait_ns, "{after:?}");
    assert!(after.orders > before.orders, "{after:?}");
}
