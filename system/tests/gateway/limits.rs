//! How often, from how many connections, and from which pages the gateway may be asked.

use crate::shop::{PATIENCE, Shop, Told};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use std::net::SocketAddr;
use system::config::{Config, RateConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Attempts in which a limit must show, however slow the machine is: a bucket holds few and fills
/// slowly.
const ATTEMPTS: usize = 1_000;
const FEW: RateConfig = RateConfig { rps: 1, burst: 3 };

/// Asks until told that it was too often; what was answered before, and that.
async fn until_too_often(ask: impl AsyncFn() -> Told) -> (usize, Told) {
    for answered in 0..ATTEMPTS {
        let told = ask().await;
        if told.status == StatusCode::TOO_MANY_REQUESTS {
            return (answered, told.expect(429));
        }
    }
    panic!("{ATTEMPTS} were answered");
}

fn retry_after_s(told: &Told) -> u64 {
    let seconds = told.headers["retry-after"].to_str().expect("text");
    seconds.parse().expect("whole seconds")
}

async fn from(shop: &Shop, address: &str, path: &str) -> Told {
    let mut request = shop.request(Method::GET, path, "");
    let value = address.parse().expect("a header");
    request.headers_mut().insert("x-forwarded-for", value);
    shop.send(request, "").await
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_told_when_to_come_back_and_no_header_makes_it_another() {
    Shop::open(
        |config| config.rate_limits.global = FEW,
        async |shop: &Shop| {
            let (answered, told) = until_too_often(async || {
                let somebody = format!("203.0.113.{}", rand::random::<u8>());
                from(shop, &somebody, "/health").await
            })
            .await;
            assert!(answered >= 3, "{answered}");
            assert_eq!(retry_after_s(&told), 1);
            assert_eq!(told.message(), "too many requests; try again later");
            assert!(told.headers.contains_key("x-request-id"));
        },
    )
    .await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_their_own_limit_and_the_proxy_none() {
    Shop::open(
        |config| {
            config.rate_limits.global = FEW;
            config.gateway.trusted_proxies = "127.0.0.0/8, ::1".to_owned();
        },
        async |shop: &Shop| {
            let ask = async || from(shop, "198.51.100.1, 203.0.113.1", "/health").await;
            until_too_often(ask).await;
            from(shop, "203.0.113.2", "/health").await.expect(200);
            for _ in 0..20 {
                shop.get("/health", "").await.expect(200);
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_user_buys_and_asks_about_orders_so_often_and_others_have_theirs() {
    Shop::open(
        |config| {
            config.rate_limits.seckill = FEW;
            config.rate_limits.order = FEW;
        },
        async |shop: &Shop| {
            let (one, two) = (shop.login("testuser1").await, shop.login("testuser2").await);
            let body = r#"{"product_id":99}"#;
            let buy = async |token: &str| shop.post("/api/v1/seckill/execute", body, token).await;
            until_too_often(async || buy(&one).await).await;
            assert_ne!(buy(&two).await.status, StatusCode::TOO_MANY_REQUESTS);
            let orders = async |token: &str| shop.get("/api/v1/orders/my", token).await;
            orders(&one).await.expect(200);
            until_too_often(async || orders(&one).await).await;
            orders(&two).await.expect(200);
            shop.get("/api/v1/users/me", &one).await.expect(200);
        },
    )
    .await;
}

#[tokio::test]
async fn passwords_are_guessed_slowly_in_whatever_case_the_name_is_written() {
    Shop::open(
        |config| config.rate_limits.login = FEW,
        async |shop: &Shop| {
            let login = async |name: &str| {
                let body = format!(r#"{{"username":"{name}","password":"wrong password"}}"#);
                shop.post("/api/v1/auth/login", &body, "").await
            };
            let names = ["testuser1", "TestUser1", "TESTUSER1"];
            let guess = async || login(names[rand::random_range(0..names.len())]).await;
            let (answered, _) = until_too_often(guess).await;
            assert!(answered >= 3, "{answered}");
            login("testuser2").await.expect(401);
        },
    )
    .await;
}

/// Whether a request over this new connection is answered; if not, it was closed.
async fn is_served(connection: &mut TcpStream) -> bool {
    let request = b"GET /health HTTP/1.1\r\nhost: shop\r\n\r\n";
    let asking = async {
        let mut answer = [0; 12];
        connection.write_all(request).await?;
        connection.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer == *b"HTTP/1.1 200")
    };
    let asked = tokio::time::timeout(PATIENCE, asking).await;
    asked.expect("an answer or an end in time").unwrap_or(false)
}

async fn connect(gateway: SocketAddr) -> TcpStream {
    TcpStream::connect(gateway).await.expect("connected")
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_gets_them_back() {
    Shop::open(
        |config| {
            config.gateway.connections_per_address = 2;
            config.gateway.threads = 2;
        },
        async |shop: &Shop| {
            let mut held = [connect(shop.gateway).await, connect(shop.gateway).await];
            for connection in &mut held {
                assert!(is_served(connection).await);
            }
            for _ in 0..5 {
                assert!(!is_served(&mut connect(shop.gateway).await).await);
            }
            drop(held);
            let again = async {
                while !is_served(&mut connect(shop.gateway).await).await {
                    tokio::task::yield_now().await;
                }
            };
            let again = tokio::time::timeout(PATIENCE, again).await;
            again.expect("a place is free again in time");
        },
    )
    .await;
}

#[tokio::test]
async fn pages_of_configured_origins_may_read_answers_refusals_too() {
    const SHOP: &str = "https://shop.example.org";
    let change = |config: &mut Config| {
        config.gateway.cors_origins = SHOP.to_owned();
        config.rate_limits.global = FEW;
    };
    Shop::open(change, async |shop: &Shop| {
        let ask = async |method: Method, origin: &str| {
            let request = Request::builder()
                .method(method)
                .uri(format!("http://{}/health", shop.gateway))
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .body(Full::<Bytes>::default());
            shop.send(request.expect("a request"), "").await
        };
        let allowed = |told: &Told| told.headers.get("access-control-allow-origin").cloned();
        let asked = ask(Method::OPTIONS, SHOP).await;
        assert_eq!(asked.status, StatusCode::OK, "{asked:?}");
        assert_eq!(allowed(&asked).expect("allowed"), SHOP);
        assert_eq!(
            allowed(&ask(Method::GET, "https://evil.example").await),
            None
        );
        let (_, told) = until_too_often(async || ask(Method::GET, SHOP).await).await;
        assert_eq!(allowed(&told).expect("allowed"), SHOP);
        assert!(
            !told
                .headers
                .contains_key("access-control-allow-credentials")
        );
    })
    .await;
}
