//! An administrator changes the stock of a sale, or pauses it, while buyers come: the total changes
//! with an epoch, whichever step of its opening a reconciler dies at, and nobody buys in a pause.

use crate::load::{Answer, Crowd};
use crate::orders::OPENING;
use crate::sale::PRODUCT;
use crate::wait::{until, until_at_least};
use crate::world::{SOMEBODY, World};
use crate::{fresh_world, inspect};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tonic::codegen::http::uri::PathAndQuery;

/// More than the load buys.
const TOTAL: i64 = 100_000;
const CROWD: Crowd = Crowd {
    seed: 13,
    users: 200_000,
    concurrency: 8,
};
const SECRET: &str = "a key of the crash tests, and of nobody else";

/// Of user 1, an administrator, from now on: no token is believed that is an hour old.
fn token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now.expect("after 1970").as_secs();
    let claims = format!(
        r#"{{"sub":"1","role":"admin","iss":"seckill","aud":"seckill","iat":{now_s},"exp":{}}}"#,
        now_s + 600
    );
    let signed =
        [r#"{"alg":"HS256","typ":"JWT"}"#, &claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let signed = signed.join(".");
    let mut signing = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
    signing.update(signed.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(signing.finalize().into_bytes());
    format!("Bearer {signed}.{signature}")
}

/// Longer than the service waits for an epoch.
const CALL_LIMIT: Duration = Duration::from_secs(40);

#[derive(Clone, PartialEq, prost::Message)]
struct StockRequest {
    #[prost(int64, tag = "1")]
    product_id: i64,
    #[prost(int32, tag = "2")]
    quantity: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StockResponse {
    #[prost(bool, tag = "1")]
    success: bool,
    #[prost(string, tag = "2")]
    message: String,
}

/// Takes units out of the sale, or adds them, and asks again with the same key until there is an
/// answer.
async fn change(product: SocketAddr, delta: i32, key: String) -> (bool, String) {
    until("the stock is changed", async || {
        let mut client = inspect::connect(product, CALL_LIMIT).await?;
        let mut request = tonic::Request::new(StockRequest {
            product_id: PRODUCT,
            quantity: delta.abs(),
        });
        let metadata = request.metadata_mut();
        metadata.insert("authorization", token().parse().expect("ASCII"));
        metadata.insert("idempotency-key", key.parse().expect("ASCII"));
        let path = PathAndQuery::from_static(match delta < 0 {
            true => "/product.ProductService/DeductStock",
            false => "/product.ProductService/ReturnStock",
        });
        let codec = tonic_prost::ProstCodec::<StockRequest, StockResponse>::default();
        match client.unary(request, path, codec).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                Ok((answer.success, answer.message))
            }
            Err(status) if status.code() == tonic::Code::Unavailable => Err(status.to_string()),
            Err(status) => panic!("{status}"),
        }
    })
    .await
}

async fn stock_changes_whatever_dies(engine: &str, mut world: World) {
    world.set("SECKILL__SECKILL__ENGINE", engine);
    world.set("SECKILL__JWT__SECRET", SECRET);
    world.set("SECKILL__PRODUCT__LISTEN", "127.0.0.1:0");
    let mut reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    let product = world.role("product").await;
    let product = product.listen().expect("it listens");
    let mut epoch = world.open(1).await.epoch;
    let load = world.load(CROWD);
    world.sells(&load, 50).await;
    let mut total = TOTAL;
    for (round, step) in OPENING
        .into_iter()
        .cycle()
        .take(2 * OPENING.len())
        .enumerate()
    {
        let delta = if round % 2 == 0 { -70 } else { 30 };
        total += i64::from(delta);
        reconciler.kill().await.expect("killed");
        let mut armed = world.armed("reconciler", step).await;
        let succeeding = async {
            world.crashed(&mut armed).await;
            world.role("reconciler").await
        };
        let changing = change(product, delta, format!("change-{round}"));
        let (told, successor) = tokio::join!(changing, succeeding);
        reconciler = successor;
        assert_eq!(told, (true, format!("the stock is {total}")), "{step}");
        epoch = world.open(epoch + 1).await.epoch;
        world.sells(&load, 50).await;
    }
    load.finish().await;
    world.quiet().await;

    // All that is left, and more than that: what is sold stays.
    let sold = "SELECT CAST(SUM(quantity) AS SIGNED) FROM orders WHERE live = 1";
    let sold = world.number(sold).await;
    let all = i32::try_from(total).expect("few");
    let told = change(product, -all, "all".to_owned()).await;
    let done = total - sold;
    let words = format!("deducted {done} of {total}: {sold} are sold");
    assert_eq!(told, (false, words));
    let stock = world.open(epoch + 1).await;
    assert_eq!(stock.remaining, 0);
    let told = world.buy(SOMEBODY, 1).await;
    assert!(
        matches!(&told, Answer::No(why) if why.contains("sold out")),
        "{told:?}"
    );
    let told = change(product, 2, "two".to_owned()).await;
    assert_eq!(told, (true, format!("the stock is {}", sold + 2)));
    world.open(stock.epoch + 1).await;
    world.buy(SOMEBODY, 2).await.order();
    world.audit().await;
}

#[tokio::test]
async fn the_stock_of_lua_single_key_changes_at_whichever_step_the_reconciler_dies() {
    let world = fresh_world!("stock_lua", TOTAL);
    stock_changes_whatever_dies("lua-single-key", world).await;
}

#[tokio::test]
async fn the_stock_of_preallocated_changes_at_whichever_step_the_reconciler_dies() {
    let world = fresh_world!("stock_leases", TOTAL);
    stock_changes_whatever_dies("preallocated", world).await;
}

#[tokio::test]
async fn in_a_pause_nobody_buys_and_whoever_has_an_order_is_told_so() {
    let mut world = fresh_world!("pause", TOTAL);
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let order = world.buy(SOMEBODY, 1).await.order();
    let load = world.load(CROWD);
    world.sells(&load, 50).await;
    world
        .run(&["sale", "pause", &PRODUCT.to_string()])
        .await
        .expect("paused");
    let mut newcomer = SOMEBODY;
    let mut is_refused = async || {
        newcomer += 1;
        match world.buy(newcomer, 1).await {
            Answer::No(why) if why.contains("the sale is paused") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    };
    // The service has read of it; what was under way then is settled soon.
    until("newcomers are refused", &mut is_refused).await;
    let left = world.quiet().await.remaining;
    let mut refused = 0;
    until_at_least("newcomers are refused", 20, async || {
        refused += i64::from(is_refused().await.is_ok());
        refused
    })
    .await;
    assert_eq!(world.buy(SOMEBODY, 1).await.order(), order);
    assert_eq!(world.quiet().await.remaining, left, "nobody bought");
    world
        .run(&["sale", "resume", &PRODUCT.to_string()])
        .await
        .expect("resumed");
    until("somebody buys again", async || match world.stock().await {
        Ok(stock) if stock.remaining < left => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    load.finish().await;
    world.audit().await;
}
