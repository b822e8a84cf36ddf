//! `lab up --roles`: from nothing to an order over HTTP, on servers of its own and on one file.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use reports::result::Phase;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(20);

/// A running `lab up --roles`; it goes with the test.
struct Up {
    lab: Child,
    gateway: String,
    secret_file: String,
    admin: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Up {
    fn start(options: &[&str]) -> Self {
        let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"))
            .args([
                "up",
                "--no-install",
                "--roles",
                "--any-port",
                "--stock",
                "2",
            ])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("lab starts");
        let output = BufReader::new(lab.stdout.take().expect("its output"));
        let (mut gateway, mut secret_file, mut admin) = (None, None, None);
        for line in output.lines().map_while(Result::ok) {
            if let Some(url) = line.strip_prefix("GATEWAY=") {
                gateway = Some(url.to_owned());
            }
            if let Some(path) = line.strip_prefix("JWT_SECRET_FILE=") {
                secret_file = Some(path.to_owned());
            }
            if let Some((_, password)) = line.split_once("ADMIN=admin:") {
                admin = Some(password.to_owned());
                break;
            }
        }
        Self {
            lab,
            gateway: gateway.expect("it says where its gateway is"),
            secret_file: secret_file.expect("it says with what tokens are signed"),
            admin: admin.expect("it says how its administrator logs in"),
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    async fn ask(&self, method: &str, path: &str, body: Value, token: &str) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.gateway))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"))
            .body(Full::from(body.to_string()))
            .expect("a request");
        let asking = async {
            let answer = self.client.request(request).await.expect("an answer");
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.expect("a body");
            (status, body.to_bytes())
        };
        let answered = tokio::time::timeout(PATIENCE, asking).await;
        let (status, body) = answered.expect("an answer in time");
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    async fn login(&self, username: &str, password: &str) -> String {
        let body = json!({"username": username, "password": password});
        let (status, told) = self.ask("POST", "/api/v1/auth/login", body, "").await;
        assert_eq!(status, 200, "{told}");
        told["token"].as_str().expect("a token").to_owned()
    }

    /// The order of this buyer, once the sale is open.
    async fn order(&self, token: &str) -> i64 {
        let since = Instant::now();
        loop {
            let body = json!({"product_id": 1, "quantity": 1});
            let (status, told) = self
                .ask("POST", "/api/v1/seckill/execute", body, token)
                .await;
            match status {
                200 => return told["order_id"].as_i64().expect("an order"),
                404 | 503 if since.elapsed() < PATIENCE => tokio::time::sleep(RETRY).await,
                _ => panic!("{status} {told}"),
            }
        }
    }

    /// What fifty buyers are told who come with tokens of the driver's own.
    fn load(&self) -> Phase {
        let folder = tempfile::tempdir().expect("a folder");
        let json = folder.path().join("told.json");
        let ended = Command::new(env!("CARGO_BIN_EXE_lab"))
            .args(["load", "http", "-n", "50", "-c", "5", "--users", "50"])
            .args(["--max-quantity", "1", "--jwt-secret-file"])
            .arg(&self.secret_file)
            .arg("--json")
            .arg(&json)
            .arg(self.gateway.trim_start_matches("http://"))
            .stdout(Stdio::null())
            .status();
        assert!(ended.expect("lab starts").success());
        let told = std::fs::read(&json).expect("written");
        serde_json::from_slice(&told).expect("a phase")
    }

    fn end(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.lab.id()).expect("a pid")).expect("a pid");
        kill_process(pid, Signal::INT).expect("it runs");
        assert!(self.lab.wait().expect("its end").success());
    }
}

async fn from_nothing_to_an_order(options: &[&str]) {
    let up = Up::start(options);
    let buyer = up.login("testuser1", "password123").await;
    let order = up.order(&buyer).await;
    let path = format!("/api/v1/orders/{order}?wait=10s");
    let (status, told) = up.ask("GET", &path, Value::Null, &buyer).await;
    assert_eq!((status, told["order"]["id"].as_i64()), (200, Some(order)));
    let admin = up.login("admin", &up.admin).await;
    let (status, told) = up.ask("GET", &path, Value::Null, &admin).await;
    assert_eq!(status, 200, "{told}");
    let phase = up.load();
    let outcomes = phase.outcomes();
    assert_eq!(outcomes.total(), 50);
    // One unit is left, and one of the fifty may be the buyer of the other.
    assert!((1..=2).contains(&outcomes.accepted), "{:?}", phase.statuses);
    let is_unauthorized = |status: &String| status.starts_with("401");
    assert!(
        !phase.statuses.keys().any(is_unauthorized),
        "{:?}",
        phase.statuses
    );
    up.end();
}

#[tokio::test]
async fn the_whole_system_is_up_on_servers_of_its_own() {
    let missing = scenarios::setup::find().missing();
    if !missing.is_empty() {
        servers::ignored(&format!("{} missing", missing.join(", ")));
        return;
    }
    from_nothing_to_an_order(&[]).await;
}

#[tokio::test]
async fn the_whole_system_is_up_in_one_process_on_a_file() {
    from_nothing_to_an_order(&["--stack", "embedded", "--engine", "preallocated"]).await;
}
