//! What operators are told of a gateway: whom it turned away and why, how the services behind it
//! answer, and which of them it leaves alone.

use crate::shop::{PATIENCE, RETRY, Shop};
use system::config::RateConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A first one, and the next one in a second: what is told between two is told often.
const ONE: RateConfig = RateConfig { rps: 1, burst: 1 };
/// Attempts in which a bucket of one must show, however slow the machine is.
const ATTEMPTS: usize = 1_000;

const LOGIN: &str = "POST /api/v1/auth/login HTTP/1.1\r\nhost: shop\r\n\
    content-type: application/json\r\n";

fn turned_away(shop: &Shop, limit: &str) -> f64 {
    shop.counted(&format!(
        "seckill_gateway_turned_away_total{{limit=\"{limit}\"}}"
    ))
}

/// Asks until it is refused with 429; how often that was.
async fn until_too_often(ask: impl AsyncFn() -> u16) -> f64 {
    for _ in 0..ATTEMPTS {
        if ask().await == 429 {
            return 1.0;
        }
    }
    panic!("{ATTEMPTS} were answered");
}

/// Waits until so much is counted under this name.
async fn until(shop: &Shop, name: &str, wanted: f64) {
    let counting = async {
        while shop.counted(name) < wanted {
            tokio::time::sleep(RETRY).await;
        }
    };
    let counted = tokio::time::timeout(PATIENCE, counting).await;
    assert!(counted.is_ok(), "{name}: {}", shop.counted(name));
}

/// A connection that has sent this.
async fn sent(shop: &Shop, text: &str) -> TcpStream {
    let mut connection = TcpStream::connect(shop.gateway).await.expect("connected");
    let written = connection.write_all(text.as_bytes()).await;
    written.expect("written");
    connection
}

#[tokio::test]
async fn whoever_asks_too_often_is_counted_under_the_limit_that_they_are_beyond() {
    Shop::open(
        |config| {
            config.rate_limits.seckill = ONE;
            config.rate_limits.order = ONE;
            config.rate_limits.login = ONE;
        },
        async |shop: &Shop| {
            let token = shop.login("testuser1").await;
            let login = r#"{"username":"testuser1","password":"wrong password"}"#;
            for (limit, path, body) in [
                ("rate_seckill", "/api/v1/seckill/execute", "{}"),
                ("rate_order", "/api/v1/orders/1/pay", ""),
                ("rate_login", "/api/v1/auth/login", login),
            ] {
                assert_eq!(turned_away(shop, limit), 0.0, "{limit}");
                let ask = async || shop.post(path, body, &token).await.status.as_u16();
                let times = until_too_often(ask).await;
                assert_eq!(turned_away(shop, limit), times, "{limit}");
            }
            assert_eq!(turned_away(shop, "rate_global"), 0.0);
            let replies = shop.counted("seckill_gateway_requests_total{status=\"429\"}");
            assert_eq!(replies, 3.0);
        },
    )
    .await;
    Shop::open(
        |config| config.rate_limits.global = ONE,
        async |shop: &Shop| {
            let ask = async || shop.get("/health", "").await.status.as_u16();
            let times = until_too_often(ask).await;
            assert_eq!(turned_away(shop, "rate_global"), times);
        },
    )
    .await;
}

#[tokio::test]
async fn whoever_sends_too_much_or_too_slowly_is_counted() {
    Shop::open(
        |config| config.gateway.body_timeout_ms = 400,
        async |shop: &Shop| {
            let large = format!("\"{}\"", "x".repeat(8_192));
            shop.post("/api/v1/auth/login", &large, "")
                .await
                .expect(413);
            assert_eq!(turned_away(shop, "body"), 1.0);
            let long = format!("/api/v1/products?{}", "x".repeat(5_000));
            shop.get(&long, "").await.expect(414);
            assert_eq!(turned_away(shop, "head"), 1.0);
            let slow = sent(shop, &format!("{LOGIN}content-length: 10\r\n\r\n{{")).await;
            let name = "seckill_gateway_turned_away_total{limit=\"body_timeout\"}";
            until(shop, name, 1.0).await;
            drop(slow);
            assert_eq!(turned_away(shop, "in_flight"), 0.0);
        },
    )
    .await;
}

#[tokio::test]
async fn requests_beyond_those_under_way_and_connections_beyond_those_of_one_address_are_counted() {
    Shop::open(
        |config| {
            config.gateway.max_in_flight = 1;
            config.gateway.body_timeout_ms = 600_000;
            config.gateway.connections_per_address = 2;
        },
        async |shop: &Shop| {
            let under_way = sent(shop, &format!("{LOGIN}content-length: 10\r\n\r\n{{")).await;
            until(shop, "seckill_gateway_in_flight_requests", 1.0).await;
            shop.get("/health", "").await.expect(503);
            assert_eq!(turned_away(shop, "in_flight"), 1.0);
            // That client's connection is open, too.
            let mut third = sent(shop, "GET /health HTTP/1.1\r\nhost: shop\r\n\r\n").await;
            let mut answer = Vec::new();
            let reading = third.read_to_end(&mut answer);
            // A reset is an end, too.
            let _ = tokio::time::timeout(PATIENCE, reading)
                .await
                .expect("an end");
            assert!(answer.is_empty());
            assert_eq!(turned_away(shop, "connections_per_address"), 1.0);
            drop(under_way);
        },
    )
    .await;
}

#[tokio::test]
async fn connections_beyond_those_of_all_clients_are_counted() {
    Shop::open(
        |config| {
            config.gateway.max_connections = 1;
            config.gateway.header_timeout_ms = 600_000;
        },
        async |shop: &Shop| {
            let first = sent(shop, "GET /health").await;
            until(shop, "seckill_gateway_connections", 1.0).await;
            assert_eq!(turned_away(shop, "max_connections"), 0.0);
            let mut second = sent(shop, "GET /health HTTP/1.1\r\nhost: shop\r\n\r\n").await;
            let mut answer = Vec::new();
            let reading = second.read_to_end(&mut answer);
            // A reset is an end, too.
            let _ = tokio::time::timeout(PATIENCE, reading)
                .await
                .expect("an end");
            assert!(answer.is_empty());
            assert_eq!(turned_away(shop, "max_connections"), 1.0);
            drop(first);
        },
    )
    .await;
}

#[tokio::test]
async fn calls_are_counted_by_how_they_went_and_a_service_that_is_left_alone_shows() {
    // It accepts connections and drops them.
    let broken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let target = broken.local_addr().expect("an address").to_string();
    let serving = tokio::spawn(async move { while broken.accept().await.is_ok() {} });
    let url = format!("http://{target}");
    let change = |config: &mut system::config::Config| {
        config.gateway.upstreams.auth = url;
        config.breaker.window_ms = 600_000;
        config.breaker.open_ms = 600_000;
    };
    Shop::open_alone(change, async |shop: &Shop| {
        let state = |state: &str| {
            let labels = format!("upstream=\"auth\",target=\"{target}\",state=\"{state}\"");
            shop.counted(&format!("seckill_gateway_breaker_state{{{labels}}}"))
        };
        let calls = |outcome: &str| {
            let labels = format!("upstream=\"auth\",target=\"{target}\",outcome=\"{outcome}\"");
            shop.counted(&format!("seckill_gateway_upstream_calls_total{{{labels}}}"))
        };
        assert_eq!((state("closed"), state("open")), (1.0, 0.0));
        let login = r#"{"username":"testuser1","password":"password123"}"#;
        let mut asked = 0.0;
        while state("open") == 0.0 {
            assert!(asked < 100.0, "it never opens");
            let told = shop.post("/api/v1/auth/login", login, "").await;
            assert!([503, 504].contains(&told.status.as_u16()), "{told:?}");
            asked += 1.0;
        }
        assert_eq!((state("closed"), state("half_open")), (0.0, 0.0));
        assert_eq!(calls("not_sent") + calls("unknown"), asked);
        assert_eq!(calls("left_alone"), 0.0);
        shop.post("/api/v1/auth/login", login, "").await.expect(503);
        assert_eq!(calls("left_alone"), 1.0);
        assert_eq!(calls("answered"), 0.0);
    })
    .await;
    serving.abort();
}

#[tokio::test]
async fn what_is_read_of_products_and_what_the_services_answer_is_counted() {
    Shop::open(
        |config| config.gateway.threads = 1,
        async |shop: &Shop| {
            let admin = shop.login("admin").await;
            let product = shop.product(5, &admin).await;
            let reads = |result: &str| {
                let labels = format!("kind=\"products\",result=\"{result}\"");
                shop.counted(&format!("seckill_product_reads_total{{{labels}}}"))
            };
            let before = (reads("hit"), reads("absent"));
            for _ in 0..3 {
                let path = format!("/api/v1/products/{product}");
                shop.get(&path, "").await.expect(200);
                shop.get("/api/v1/products/99", "").await.expect(404);
            }
            assert!(reads("missed") > 0.0);
            // Of each one was not known at first.
            assert!(reads("hit") >= before.0 + 2.0, "{before:?}");
            assert!(reads("absent") >= before.1 + 2.0, "{before:?}");
            let entries = shop.counted("seckill_product_cache_entries{kind=\"products\"}");
            assert!(entries >= 2.0, "{entries}");
            let forgotten = "seckill_product_cache_forgotten_total{kind=\"products\"}";
            assert_eq!(shop.counted(forgotten), 0.0);
            let path = format!("/api/v1/products/{product}");
            shop.put(&path, r#"{"name":"boots"}"#, &admin)
                .await
                .expect(200);
            until(shop, forgotten, 1.0).await;
        },
    )
    .await;
}
