//! The whole system in one process on a SQLite file, and a client that speaks HTTP with its gateway.

use crate::config;
use bytes::Bytes;
use engines::Registry;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};
use system::admin::Admin;
use system::config::Config;
use system::roles::{self, RoleConfig};
use system::shutdown::Shutdown;
use tokio::sync::oneshot;

/// Longest wait for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const RETRY: Duration = Duration::from_millis(20);
pub const PASSWORD: &str = "password123";

/// The running system.
pub struct Shop {
    pub gateway: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    operators: Admin,
}

/// What was answered.
#[derive(Debug)]
pub struct Told {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl Told {
    /// Its `message`.
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// The number under this name.
    pub fn number(&self, name: &str) -> i64 {
        let number = self.body[name].as_i64();
        number.unwrap_or_else(|| panic!("no number {name} in {self:?}"))
    }

    /// Fails unless this is the status, and `code` agrees.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        let code = match status {
            200 => 0,
            refused => i64::from(refused),
        };
        assert_eq!(self.body["code"].as_i64(), Some(code), "{self:?}");
        self
    }
}

/// On a file in this folder, without limits.
fn without_limits(folder: &Path) -> Config {
    let file = folder.join("shop.db");
    let mut config = config::on(format!("sqlite://{}", file.display()));
    config.jwt.secret = "a key of more than thirty-two bytes, for tests".to_owned();
    config.jwt.revocation_interval_ms = 100;
    // All buyers of a test have one address, and no patience.
    let limits = &mut config.rate_limits;
    for limit in [
        &mut limits.global,
        &mut limits.seckill,
        &mut limits.order,
        &mut limits.login,
    ] {
        limit.rps = 0;
    }
    config
}

impl Shop {
    /// Calls `body` while it runs with these settings on top, and stops it.
    pub async fn open(change: impl FnOnce(&mut Config), body: impl AsyncFnOnce(&Self)) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = without_limits(folder.path());
        change(&mut config);
        let listeners = roles::all::bind(&config).expect("free ports");
        let run = |role, shutdown| roles::all::run(role, listeners, shutdown);
        Self::serve(config, run, body).await;
    }

    /// The same with a gateway that has nobody behind it.
    pub async fn open_alone(change: impl FnOnce(&mut Config), body: impl AsyncFnOnce(&Self)) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = without_limits(folder.path());
        change(&mut config);
        let listener = roles::gateway::bind(&config).expect("a free port");
        let run = |role, shutdown| roles::gateway::run(role, listener, shutdown);
        Self::serve(config, run, body).await;
    }

    async fn serve<F: Future<Output = anyhow::Result<()>>>(
        config: Config,
        run: impl FnOnce(RoleConfig, Shutdown) -> F,
        body: impl AsyncFnOnce(&Self),
    ) {
        let registry = Registry::standard();
        let admin = roles::migrate::Admin::new("admin", PASSWORD).expect("good");
        let seeds = roles::migrate::Seeds {
            development: true,
            ..Default::default()
        };
        roles::migrate::with(&config, &registry, &seeds, Some(&admin))
            .await
            .expect("migrated");
        let (stop, shutdown) = Shutdown::channel();
        let (sender, ready) = oneshot::channel();
        let operators = Admin::default();
        let role = RoleConfig {
            config,
            registry,
            admin: operators.clone(),
            sales: Default::default(),
            ready: Box::new(move |addresses| {
                let _ = sender.send(addresses);
                Ok(())
            }),
        };
        let running = Box::pin(run(role, shutdown));
        let trying = async {
            let addresses = ready.await.expect("it is ready").expect("it serves");
            let shop = Self {
                gateway: addresses.gateway.unwrap_or(addresses.listen),
                client: Client::builder(TokioExecutor::new()).build_http(),
                operators,
            };
            body(&shop).await;
            stop.send_replace(true);
        };
        let (ran, ()) = tokio::join!(running, trying);
        ran.expect("it ends well");
    }

    /// What is counted now under this name, the whole of a line before its number.
    pub fn counted(&self, name: &str) -> f64 {
        let text = self.operators.metrics().text();
        let number = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        let found = text.lines().find_map(number);
        found.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Sends this request, with a token unless it is empty.
    pub async fn send(&self, mut request: Request<Full<Bytes>>, token: &str) -> Told {
        if !token.is_empty() {
            let value = format!("Bearer {token}").parse().expect("ASCII");
            request.headers_mut().insert("authorization", value);
        }
        let asking = async {
            let answer = self.client.request(request).await.expect("an answer");
            let (parts, body) = answer.into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            (parts, body)
        };
        let answered = tokio::time::timeout(PATIENCE, asking).await;
        let (parts, body) = answered.expect("an answer in time");
        Told {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&body)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())),
        }
    }

    /// A request with JSON in its body.
    pub fn request(&self, method: Method, path: &str, body: &str) -> Request<Full<Bytes>> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.gateway))
            .header("content-type", "application/json")
            .body(Full::from(body.to_owned()));
        request.expect("a request")
    }

    pub async fn get(&self, path: &str, token: &str) -> Told {
        self.send(self.request(Method::GET, path, ""), token).await
    }

    pub async fn post(&self, path: &str, body: &str, token: &str) -> Told {
        let request = self.request(Method::POST, path, body);
        self.send(request, token).await
    }

    pub async fn put(&self, path: &str, body: &str, token: &str) -> Told {
        self.send(self.request(Method::PUT, path, body), token)
            .await
    }

    /// The token of this user, who has the password of all tests.
    pub async fn login(&self, username: &str) -> String {
        let body = format!(r#"{{"username":"{username}","password":"{PASSWORD}"}}"#);
        let told = self.post("/api/v1/auth/login", &body, "").await.expect(200);
        told.body["token"].as_str().expect("a token").to_owned()
    }

    /// A product that is on sale for an hour.
    pub async fn product(&self, stock: i32, admin: &str) -> i64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now_s = now.expect("after 1970").as_secs();
        let body = format!(
            r#"{{"name":"shoes","price":19.99,"stock":{stock},"seckill_start_time":{},"seckill_end_time":{}}}"#,
            now_s - 60,
            now_s + 3_600
        );
        let made = self.post("/api/v1/products", &body, admin).await;
        made.expect(200).number("product_id")
    }

    /// What a buyer is told once the sale can be asked.
    pub async fn buy(&self, product: i64, token: &str) -> Told {
        let body = format!(r#"{{"product_id":{product},"quantity":1}}"#);
        let asking = async {
            loop {
                let told = self.post("/api/v1/seckill/execute", &body, token).await;
                // Its row has not been read yet, or its next epoch opens, or nobody knows yet whose
                // buyer this is.
                if ![404, 503].contains(&told.status.as_u16()) {
                    return told;
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        let told = tokio::time::timeout(PATIENCE, asking).await;
        told.expect("the sale can be asked in time")
    }

    /// The order of a buyer who buys again, once the units of this one are back.
    pub async fn buys_again(&self, product: i64, token: &str, cancelled: i64) -> i64 {
        let asking = async {
            loop {
                let bought = self.buy(product, token).await.expect(200);
                let order = bought.number("order_id");
                if order != cancelled {
                    return order;
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        let told = tokio::time::timeout(PATIENCE, asking).await;
        told.expect("the units come back in time")
    }
}
