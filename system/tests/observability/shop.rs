//! A `seckill all` of its own on a SQLite file and a Redis, asked over HTTP and gRPC.

use bytes::Bytes;
use engines::UserId;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustix::process::{Pid, Signal, kill_process};
use servers::RedisServer;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use system::config::JwtConfig;
use system::proto::seckill::{SeckillRequest, SeckillResponse};
use system::tokens::{Role, Tokens};
use tempfile::TempDir;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;

/// The one product on sale, and how many there are of it.
pub const PRODUCT: i64 = 1;
pub const STOCK: i64 = 3;
/// What tokens are signed with.
pub const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";
/// Longest wait for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);
const CALL_LIMIT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(50);
const LISTENERS: [&str; 6] = ["SECKILL", "ORDER", "PRODUCT", "AUTH", "USER", "GATEWAY"];

/// An order that somebody has bought over HTTP.
#[derive(Debug)]
pub struct Purchase {
    pub order: i64,
    pub caller: Caller,
}

/// The span of whoever asks, as it is named to the gateway.
#[derive(Debug)]
pub struct Caller {
    pub trace: [u8; 16],
    pub span: [u8; 8],
}

impl Caller {
    fn new() -> Self {
        Self {
            trace: rand::random(),
            span: rand::random(),
        }
    }

    /// With these flags.
    fn header(&self, flags: &str) -> String {
        let hex = |bytes: &[u8]| -> String {
            let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
            digits.collect()
        };
        format!("00-{}-{}-{flags}", hex(&self.trace), hex(&self.span))
    }
}

/// Killed when it is dropped.
pub struct Shop {
    folder: TempDir,
    process: Child,
    address: SocketAddr,
    admin: SocketAddr,
    gateway: SocketAddr,
    redis: Option<RedisServer>,
}

impl Shop {
    /// Starts it with these settings; `None` where there is no Redis.
    pub async fn open(settings: &[(&str, &str)]) -> Option<Self> {
        let redis = RedisServer::start().await?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let seed = folder.path().join("seed.toml");
        let sale = format!(
            "[[sales]]\nproduct_id = {PRODUCT}\nname = \"x\"\nprice_cents = 1\ntotal = {STOCK}\n\
             starts_at = 0\nends_at = 4102444800\n"
        );
        std::fs::write(&seed, sale).expect("written");
        let database = format!("sqlite://{}", folder.path().join("shop.db").display());
        let command = |args: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_seckill"));
            command
                .args(args)
                .env("SECKILL__DATABASE__URL", &database)
                .env("SECKILL__REDIS__URL", redis.url())
                .env("SECKILL__SECKILL__ENGINE", "lua-single-key")
                .env("SECKILL__SECKILL__THREADS", "2")
                .env("SECKILL__RECONCILER__INTERVAL_MS", "100")
                .envs(LISTENERS.map(|role| (format!("SECKILL__{role}__LISTEN"), "127.0.0.1:0")))
                .envs(settings.iter().copied());
            command
        };
        let migrated = command(&["migrate", "--seed", seed.to_str().expect("UTF-8")]).output();
        let output = migrated.expect("it starts");
        assert!(output.status.success(), "{output:?}");
        let log = std::fs::File::create(folder.path().join("all.log")).expect("a log");
        let mut process = command(&["--allow-volatile", "all"])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let ready: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?} {}", log_of(&folder)));
        let address = |of: &str| -> SocketAddr {
            let address = ready[of].as_str();
            address.expect("an address").parse().expect("ip:port")
        };
        Some(Self {
            address: address("listen"),
            admin: address("admin"),
            gateway: address("gateway"),
            folder,
            process,
            redis: Some(redis),
        })
    }

    /// Where it listens for operators.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Ends the engine's server.
    pub async fn lose_redis(&mut self) {
        drop(self.redis.take());
    }

    /// What is at `path`.
    pub async fn page(&self, path: &str) -> (StatusCode, String) {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let address = format!("http://{}{path}", self.admin).parse();
        let asking = async {
            let answer = client.get(address.expect("an address")).await;
            let (parts, body) = answer.expect("an answer").into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            (
                parts.status,
                String::from_utf8(body.to_vec()).expect("UTF-8"),
            )
        };
        let asked = tokio::time::timeout(PATIENCE, asking).await;
        asked.expect("an answer in time")
    }

    /// Waits until a scrape has this line.
    pub async fn until(&self, line: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let (_, text) = self.page("/metrics").await;
            if text.lines().any(|told| told == line) {
                return;
            }
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let told: Vec<_> = text.lines().filter(|told| told.starts_with(name)).collect();
            assert!(
                tokio::time::Instant::now() < deadline,
                "{line} is not told, but {told:#?}\n{}",
                log_of(&self.folder)
            );
            tokio::time::sleep(RETRY).await;
        }
    }

    /// A buyer who asks until they have an order.
    pub async fn sells_to(&self, user_id: i64) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut is_doubtful = false;
        loop {
            match self.buy(user_id).await {
                Ok(reply) if reply.success => break,
                Err(error) if !error.starts_with("Unavailable") => is_doubtful = true,
                _ => {}
            }
            let log = || log_of(&self.folder);
            assert!(tokio::time::Instant::now() < deadline, "{}", log());
            tokio::time::sleep(RETRY).await;
        }
        assert!(
            !is_doubtful,
            "a call that took {CALL_LIMIT:?} leaves the counts unknown"
        );
    }

    /// A buyer who asks at the gateway until they have an order, each time in a trace of its own with
    /// these flags.
    pub async fn purchase(&self, user_id: i64, flags: &str) -> Purchase {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let uri = format!("http://{}/api/v1/seckill/execute", self.gateway);
        let buying = async {
            loop {
                let caller = Caller::new();
                let request = Request::post(&uri)
                    .header("content-type", "application/json")
                    .header("authorization", format!("Bearer {}", token_of(user_id)))
                    .header("traceparent", caller.header(flags))
                    .body(format!("{{\"product_id\":{PRODUCT}}}").into());
                let answer = client.request(request.expect("a request")).await;
                let (parts, body) = answer.expect("an answer").into_parts();
                let body = body.collect().await.expect("a body").to_bytes();
                if parts.status == StatusCode::OK {
                    let told: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
                    let order = told["order_id"].as_i64().expect("an order");
                    return Purchase { order, caller };
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        let bought = tokio::time::timeout(PATIENCE, buying).await;
        bought.unwrap_or_else(|_| panic!("no order {}", self.log()))
    }

    /// Asks it to stop, and waits until it has, for `most` at the longest.
    pub async fn stop(&mut self, most: Duration) -> ExitStatus {
        let pid = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), Signal::TERM).expect("it is there");
        let deadline = tokio::time::Instant::now() + most;
        loop {
            if let Some(status) = self.process.try_wait().expect("it is ours") {
                return status;
            }
            let log = || log_of(&self.folder);
            assert!(tokio::time::Instant::now() < deadline, "{}", log());
            tokio::time::sleep(RETRY).await;
        }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        log_of(&self.folder)
    }

    /// One request for one unit.
    pub async fn buy(&self, user_id: i64) -> Result<SeckillResponse, String> {
        let request = SeckillRequest {
            user_id,
            product_id: PRODUCT,
            quantity: 1,
            ..Default::default()
        };
        let method = "/seckill.SeckillService/ExecuteSeckill";
        call(self.address, method, request).await
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A token of this buyer.
fn token_of(user_id: i64) -> String {
    let jwt = JwtConfig {
        secret: SECRET.to_owned(),
        ..JwtConfig::default()
    };
    let tokens = Tokens::new(&jwt).expect("a secret");
    let token = tokens.issue(UserId(user_id), Role::User, PATIENCE * 2);
    token.expect("signed")
}

fn log_of(folder: &TempDir) -> String {
    std::fs::read_to_string(folder.path().join("all.log")).unwrap_or_default()
}

/// The value of the series without labels that is called so.
pub fn number(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
    line.trim().parse().expect("a number")
}

/// One call on a new connection; an error in words, the gRPC code first.
pub async fn call<Q, R>(address: SocketAddr, method: &'static str, request: Q) -> Result<R, String>
where
    Q: prost::Message + Send + Sync + 'static,
    R: prost::Message + Default + Send + Sync + 'static,
{
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let endpoint = endpoint.connect_timeout(CALL_LIMIT).timeout(CALL_LIMIT);
    let connected = endpoint.connect().await;
    let mut client =
        tonic::client::Grpc::new(connected.map_err(|error| format!("no connection: {error:?}"))?);
    client.ready().await.map_err(|error| format!("{error:?}"))?;
    let codec = tonic_prost::ProstCodec::<Q, R>::default();
    let path = PathAndQuery::from_static(method);
    let reply = client
        .unary(tonic::Request::new(request), path, codec)
        .await;
    reply
        .map(tonic::Response::into_inner)
        .map_err(|status| format!("{:?}: {}", status.code(), status.message()))
}
