//! nginx with the very files of `deploy/nginx` in front of two gateways of a whole system: it takes
//! them, both get requests, and one that goes is missed by nobody.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustix::process::{Pid, Signal, getuid, kill_process};
use scenarios::bench::system_binary;
use scenarios::stack::{Role, RoleSpec, Stack};
use scenarios::testing;
use serde_json::{Value, json};

use crate::{output, program, root};

/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(20);
/// What works behind the gateways, each after what it needs.
const BEHIND: [&str; 7] = [
    "reconciler",
    "create-consumer",
    "seckill",
    "order",
    "product",
    "auth",
    "user",
];
/// Requests until both gateways must have had one: nginx deals them out in turn when nobody waits.
const REQUESTS: usize = 20;

/// Roles on servers of their own.
struct System {
    stack: Stack,
    program: PathBuf,
    environment: Vec<(String, String)>,
    roles: Vec<Role>,
}

impl System {
    /// `None` where servers are missing.
    async fn start() -> Option<Self> {
        let stack = testing::own_stack(&testing::options()).await?;
        let setting = |key: &str, value: &str| (format!("SECKILL__{key}"), value.to_owned());
        let mut environment = vec![
            setting("DATABASE__URL", &stack.database_url("seckill")),
            setting("REDIS__URL", &stack.redis_url()),
            setting("MQ__URL", &stack.amqp_url()),
            setting("JWT__SECRET", "qmh3ZK0tVr9s5wXjUe7cLb2nAy8dPf4g"),
            setting("GATEWAY__TRUSTED_PROXIES", "127.0.0.1"),
        ];
        for name in ["SECKILL", "ORDER", "PRODUCT", "AUTH", "USER", "GATEWAY"] {
            environment.push(setting(&format!("{name}__LISTEN"), "127.0.0.1:0"));
        }
        let mut system = Self {
            program: system_binary::build().expect("the system's binary"),
            stack,
            environment,
            roles: Vec::new(),
        };
        let seed = system.stack.scratch().join("seed.toml");
        let sale = "[[sales]]\nproduct_id = 1\nname = \"one\"\nprice_cents = 1999\ntotal = 2\n\
                    starts_at = 0\nends_at = 4102444800\n";
        std::fs::write(&seed, sale).expect("written");
        let seed = seed.display().to_string();
        let migrate = system.spec(&["migrate", "--seed", &seed, "--seed", "dev"]);
        system.stack.run_to_end(&migrate).await.expect("migrated");
        for name in BEHIND {
            system.add(name).await;
        }
        Some(system)
    }

    fn spec(&self, args: &[&str]) -> RoleSpec {
        RoleSpec {
            name: args[0].to_owned(),
            program: self.program.clone(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: self.environment.clone(),
        }
    }

    /// Starts a role, which those after it find; where it serves, if it does.
    async fn add(&mut self, name: &str) -> Option<SocketAddr> {
        let role = self
            .stack
            .spawn_role(&self.spec(&[name]))
            .await
            .expect(name);
        let address = role.listen();
        self.roles.push(role);
        if let Some(address) = address {
            let upstream = format!("SECKILL__GATEWAY__UPSTREAMS__{}", name.to_uppercase());
            if name != "gateway" {
                self.environment
                    .push((upstream, format!("http://{address}")));
            }
        }
        address
    }

    /// Ends the last of them.
    async fn end_last(&mut self) {
        let mut role = self.roles.pop().expect("a role");
        role.stop().await.expect("an orderly end");
    }
}

/// nginx with the files of `deploy/nginx`, in which only names, ports and folders are others.
struct Nginx {
    process: Child,
    url: String,
    folder: tempfile::TempDir,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Nginx {
    fn start(nginx: &Path, gateways: [SocketAddr; 2]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("bound").to_string();
        drop(free);
        let here = format!("{}/", folder.path().display());
        let changes = [
            ("gateway-1:8080", gateways[0].to_string()),
            ("gateway-2:8080", gateways[1].to_string()),
            ("listen 8000 ", format!("listen {address} ")),
            ("/tmp/", here.clone()),
            ("/dev/stdout", format!("{here}access.log")),
            ("/dev/stderr", format!("{here}error.log")),
            (" buffer=64k flush=1s", String::new()),
        ];
        let mut missed: BTreeSet<_> = changes.iter().map(|(from, _)| *from).collect();
        for entry in std::fs::read_dir(root().join("deploy/nginx")).expect("a folder") {
            let entry = entry.expect("readable");
            let mut text = std::fs::read_to_string(entry.path()).expect("readable");
            for (from, to) in &changes {
                if text.contains(from) {
                    missed.remove(from);
                    text = text.replace(from, to);
                }
            }
            std::fs::write(folder.path().join(entry.file_name()), text).expect("written");
        }
        assert!(missed.is_empty(), "no longer in deploy/nginx: {missed:?}");
        // root's workers would run as somebody who may not write into this folder.
        let user = if getuid().is_root() {
            " user root;"
        } else {
            ""
        };
        let command = || {
            let mut command = Command::new(nginx);
            command
                .arg("-p")
                .arg(folder.path())
                .args(["-c", "nginx.conf", "-e", "error.log", "-g"])
                .arg(format!("daemon off;{user}"));
            command
        };
        output(command().arg("-t"));
        let process = command().stdin(Stdio::null()).spawn().expect("nginx");
        Self {
            process,
            url: format!("http://{address}"),
            folder,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// `None` when nobody listens.
    async fn ask(&self, method: &str, path: &str, body: String, token: &str) -> Option<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"))
            .header("x-request-id", "this-very-request")
            // Nobody believes a client about itself.
            .header("x-forwarded-for", "203.0.113.7")
            .body(Full::from(body))
            .expect("a request");
        let asking = async {
            let answer = self.client.request(request).await.ok()?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            Some(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body: serde_json::from_slice(&body).unwrap_or_default(),
            })
        };
        let answered = tokio::time::timeout(PATIENCE, asking).await;
        answered.unwrap_or_else(|_| panic!("no answer; {}", self.log("error.log")))
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        let answer = self.ask("GET", path, String::new(), token).await;
        answer.expect("it listens")
    }

    async fn post(&self, path: &str, body: Value, token: &str) -> Answer {
        let answer = self.ask("POST", path, body.to_string(), token).await;
        answer.expect("it listens")
    }

    async fn is_up(&self) {
        let since = Instant::now();
        while self
            .ask("GET", "/-/alive", String::new(), "")
            .await
            .is_none()
        {
            assert!(since.elapsed() < PATIENCE, "{}", self.log("error.log"));
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Whom nginx has passed requests on to.
    fn upstreams(&self) -> BTreeSet<String> {
        let log = self.log("access.log");
        log.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter_map(|line| Some(line["upstream"].as_str()?.to_owned()))
            .filter(|upstream| !upstream.is_empty() && !upstream.contains(','))
            .collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        // As compose ends it; what is wrong by now is known.
        let _ = pid.map(|pid| kill_process(pid, Signal::QUIT));
        let _ = self.process.wait();
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    /// Its status and the code it says.
    fn codes(&self) -> (u16, Option<u64>) {
        (self.status, self.body["code"].as_u64())
    }
}

/// The order of this buyer, once the sale is open.
async fn buy(nginx: &Nginx, token: &str) -> i64 {
    let since = Instant::now();
    loop {
        let body = json!({"product_id": 1, "quantity": 1});
        let answer = nginx.post("/api/v1/seckill/execute", body, token).await;
        match answer.status {
            200 => return answer.body["order_id"].as_i64().expect("an order"),
            404 | 503 if since.elapsed() < PATIENCE => tokio::time::sleep(RETRY).await,
            // They have asked too often meanwhile, and wait as they are told.
            429 if since.elapsed() < PATIENCE => {
                let pause = answer.headers["retry-after"].to_str().expect("text");
                let pause = Duration::from_secs(pause.parse().expect("seconds"));
                tokio::time::sleep(pause).await;
            }
            status => panic!("{status} {}", answer.body),
        }
    }
}

#[tokio::test]
#[ignore = "nightly: needs nginx"]
async fn nginx_serves_with_two_gateways_and_goes_on_with_one() {
    let Some(program) = program("nginx") else {
        return;
    };
    let Some(mut system) = System::start().await else {
        return;
    };
    let mut gateways = Vec::new();
    for _ in 0..2 {
        gateways.push(system.add("gateway").await.expect("it serves"));
    }
    let [first, second] = [gateways[0], gateways[1]];
    let nginx = Nginx::start(&program, [first, second]);
    nginx.is_up().await;

    let who = json!({"username": "testuser1", "password": "password123"});
    let login = nginx.post("/api/v1/auth/login", who, "").await;
    assert_eq!(login.status, 200, "{}", login.body);
    assert_eq!(login.headers["x-request-id"], "this-very-request");
    let token = login.body["token"].as_str().expect("a token");
    let order = buy(&nginx, token).await;
    let path = format!("/api/v1/orders/{order}?wait=10s");
    let row = nginx.get(&path, token).await;
    assert_eq!(row.status, 200, "{}", row.body);
    let large = json!({"username": "u".repeat(5_000)});
    let refused = nginx.post("/api/v1/auth/login", large, "").await;
    assert_eq!(refused.codes(), (413, Some(413)), "{}", refused.body);
    // As long as a description may be, which is for administrators: the gateway says so, not nginx.
    let long = json!({"name": "shoes", "description": "u".repeat(8_000)});
    let refused = nginx.post("/api/v1/products", long, token).await;
    assert_eq!(refused.codes(), (413, Some(413)), "{}", refused.body);
    let says = refused.body["message"].as_str().unwrap_or_default();
    assert!(says.contains("4096 bytes"), "{}", refused.body);
    for _ in 0..REQUESTS {
        assert_eq!(nginx.get(&path, token).await.status, 200);
    }
    let both = BTreeSet::from([first.to_string(), second.to_string()]);
    assert_eq!(nginx.upstreams(), both, "{}", nginx.log("access.log"));

    system.end_last().await;
    for _ in 0..REQUESTS {
        assert_eq!(nginx.get(&path, token).await.status, 200, "one is enough");
        assert_eq!(
            buy(&nginx, token).await,
            order,
            "a repeated purchase is the same"
        );
    }
    system.end_last().await;
    let gone = nginx.get(&path, token).await;
    assert_eq!(gone.codes(), (504, Some(504)), "{}", gone.body);
    assert_eq!(gone.headers["retry-after"], "1");
}
