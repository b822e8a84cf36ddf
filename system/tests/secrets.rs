//! Every role as a process, with secrets in its addresses: whatever it cannot reach, no secret is in
//! what it says. And what a production system is not started with.

use database::{Database, NO_ARGS, PoolLimits};
use servers::{DatabaseServer, RedisServer};
use std::io::Read;
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// In every password and key.
const MARK: &str = "sesame7Qx";
/// Long enough, and of enough different bytes.
const KEY: &str = "sesame7Qx-qmh3ZK0tVr9s5wXjUe7cLb2nAy8dPf4g";
/// Longest wait for what a role has to say about servers that are not there.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same where some roles go on trying.
const SHORT: Duration = Duration::from_secs(2);
/// Every role, and every command that needs a server.
const ROLES: [&[&str]; 13] = [
    &["seckill"],
    &["order"],
    &["product"],
    &["auth"],
    &["user"],
    &["create-consumer"],
    &["cancel-consumer"],
    &["reconciler"],
    &["reconciler", "--once"],
    &["migrate"],
    &["status"],
    &["sale", "pause", "1"],
    &["dead-letter", "list"],
];

/// `seckill` with no settings but these.
fn seckill(arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seckill"));
    command.args(arguments).env_remove("CONFIG_PATH");
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("SECKILL__")) {
        command.env_remove(key);
    }
    for of in ["SECKILL", "ADMIN", "ORDER", "PRODUCT", "AUTH", "USER"] {
        command.env(format!("SECKILL__{of}__LISTEN"), "127.0.0.1:0");
    }
    command
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// A role that runs.
struct Running {
    name: String,
    process: Child,
    output: [Reading; 2],
}

impl Running {
    fn start(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut process = seckill(arguments, settings).spawn().expect("it starts");
        let stdout = Reading::of(process.stdout.take().expect("piped"));
        let stderr = Reading::of(process.stderr.take().expect("piped"));
        Self {
            name: arguments.join(" "),
            process,
            output: [stdout, stderr],
        }
    }

    /// What it said until it ended, or until it was ended because it goes on without its servers:
    /// ready, or trying for a while.
    fn ended(mut self, deadline: Instant) -> (String, String) {
        let is_ready = |output: &[Reading; 2]| output[0].so_far().contains("\"ready\":true");
        while self.process.try_wait().expect("a child").is_none()
            && !is_ready(&self.output)
            && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        (self.name, self.output.map(Reading::all).concat())
    }
}

/// What comes out of a process.
struct Reading {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Reading {
    fn of(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let (read, mut buffer) = (bytes.clone(), [0; 4_096]);
        let reader = std::thread::spawn(move || {
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                read.lock()
                    .expect("read")
                    .extend_from_slice(&buffer[..count]);
            }
        });
        Self { bytes, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("read")).into_owned()
    }

    fn all(self) -> String {
        let bytes = self.bytes.clone();
        self.reader.join().expect("read to its end");
        String::from_utf8_lossy(&bytes.lock().expect("read")).into_owned()
    }
}

/// An address that refuses connections.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").to_string()
}

/// An address that ends every connection at once, for as long as this process lives.
fn curt() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    address
}

/// Runs every role with these servers and looks for the mark; what each role said.
fn say_nothing(servers: [&str; 3], engine: &str, patience: Duration) -> Vec<(String, String)> {
    let [database, redis, broker] = servers;
    let database = match database.contains("://") {
        true => database.to_owned(),
        false => format!("mysql://shop:{MARK}@{database}/shop"),
    };
    let redis = format!("redis://shop:{MARK}@{redis}/");
    let broker = format!("amqp://shop:{MARK}@{broker}/%2f");
    let settings = [
        ("SECKILL__DATABASE__URL", database.as_str()),
        ("SECKILL__REDIS__URL", &redis),
        ("SECKILL__MQ__URL", &broker),
        ("SECKILL__JWT__SECRET", KEY),
        ("SECKILL__SECKILL__ENGINE", engine),
        ("SECKILL__DATABASE__ACQUIRE_TIMEOUT_MS", "300"),
        ("SECKILL__LOG__LEVEL", "trace,lapin=trace"),
        ("RUST_BACKTRACE", "1"),
    ];
    let running = ROLES.map(|role| Running::start(role, &settings));
    let deadline = Instant::now() + patience;
    let said: Vec<_> = running
        .into_iter()
        .map(|role| role.ended(deadline))
        .collect();
    for (name, said) in &said {
        assert!(!said.is_empty(), "{name} says something");
        for line in said.lines() {
            assert!(!line.contains(MARK), "{name} with {engine} says {line}");
        }
    }
    said
}

#[test]
fn no_role_tells_a_secret_when_its_servers_are_not_there() {
    let (nobody, engine) = (nobody(), "lua-single-key");
    for (name, said) in say_nothing([&nobody; 3], engine, PATIENCE) {
        assert!(said.contains("error: "), "{name} gives up: {said}");
    }
}

#[tokio::test]
async fn no_role_tells_a_secret_when_a_server_turns_it_away_or_is_not_there() {
    let (Some(database), Some(redis)) = (DatabaseServer::start().await, RedisServer::start().await)
    else {
        return;
    };
    // Nobody of this name and password.
    let root = database.create_database().await;
    let (_, address) = root.split_once('@').expect("a user");
    let (address, name) = address.split_once('/').expect("a database");
    let said = say_nothing([address, &nobody(), &nobody()], "database-row", PATIENCE);
    let refused = said
        .iter()
        .filter(|(_, said)| said.contains("Access denied"));
    assert!(refused.count() >= 10, "{said:?}");
    // They may use the database, and neither of the others.
    let limits = PoolLimits {
        connections_max: 1,
        statement_max: Duration::from_secs(30),
        acquire_max: Duration::from_secs(30),
        lock_wait_max: None,
        idle_transaction_max: None,
    };
    let rights = Database::open(&root, &limits).expect("a URL");
    for sql in [
        format!("CREATE USER shop@'127.0.0.1' IDENTIFIED BY '{MARK}'"),
        format!("GRANT ALL ON {name}.* TO shop@'127.0.0.1'"),
    ] {
        rights.run(&sql, NO_ARGS).await.expect("a user");
    }
    let url = format!("mysql://shop:{MARK}@{address}/{name}");
    let settings = [("SECKILL__DATABASE__URL", url.as_str())];
    let output = seckill(&["migrate"], &settings)
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{}", text(&output));
    let set = redis.command("CONFIG SET requirepass another").await;
    set.expect("set");
    let redis = redis.url();
    let redis = redis.trim_start_matches("redis://").trim_end_matches('/');
    for (engine, redis, broker) in [
        ("lua-single-key", redis, curt()),
        ("sharded-slots", &nobody(), nobody()),
    ] {
        let said = say_nothing([&url, redis, &broker], engine, SHORT);
        let of = |role| {
            said.iter()
                .find(|(name, _)| name == role)
                .map(|(_, said)| said)
        };
        let (seckill, consumer) = (of("seckill"), of("create-consumer"));
        assert!(
            seckill.is_some_and(|said| said.contains("error: ")),
            "{seckill:?}"
        );
        let broker = format!("RabbitMQ at amqp://shop:***@{broker}");
        assert!(
            consumer.is_some_and(|said| said.contains(&broker)),
            "{consumer:?}"
        );
    }
}

#[test]
fn a_production_system_does_not_start_with_what_everybody_knows() {
    let safe = [
        ("SECKILL__MODE", "production"),
        (
            "SECKILL__DATABASE__URL",
            "mysql://shop:sesame7Qx@127.0.0.1:1/shop",
        ),
        ("SECKILL__REDIS__URL", "redis://:sesame7Qx@127.0.0.1:1/"),
        ("SECKILL__MQ__URL", "amqp://shop:sesame7Qx@127.0.0.1:1/%2f"),
        ("SECKILL__JWT__SECRET", KEY),
    ];
    let refused = |arguments: &[&str], change: (&str, &str), says: &str| {
        let settings = [&safe[..], &[change]].concat();
        let output = seckill(arguments, &settings).output().expect("it starts");
        let text = text(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(
            text.starts_with(&format!("error: {says}")),
            "{says}: {text}"
        );
        assert!(!text.contains(MARK), "{text}");
    };
    let unchanged = ("SECKILL__MODE", "production");
    for (change, says) in [
        (("SECKILL__JWT__SECRET", ""), "jwt.secret: "),
        (
            ("SECKILL__DATABASE__URL", "mysql://root@127.0.0.1:1/shop"),
            "database.url: ",
        ),
        (
            ("SECKILL__MQ__URL", "amqp://guest:guest@127.0.0.1:1/%2f"),
            "mq.url: ",
        ),
        (
            ("SECKILL__REDIS__URL", "redis://127.0.0.1:1/"),
            "redis.url: ",
        ),
        (
            ("SECKILL__ENGINE__ALLOW_VOLATILE", "true"),
            "engine.allow_volatile: ",
        ),
    ] {
        for role in ROLES {
            refused(role, change, says);
        }
    }
    refused(
        &["seckill", "--allow-volatile"],
        unchanged,
        "engine.allow_volatile: ",
    );
    refused(
        &["seckill", "--allow-unsafe"],
        unchanged,
        "engine.allow_unsafe: ",
    );
}

#[test]
fn an_address_that_other_machines_reach_is_told_once_with_its_key() {
    let database = format!("mysql://{}/shop", nobody());
    let settings = [
        ("SECKILL__DATABASE__URL", database.as_str()),
        ("SECKILL__DATABASE__ACQUIRE_TIMEOUT_MS", "300"),
        ("SECKILL__USER__LISTEN", "0.0.0.0:0"),
    ];
    let output = seckill(&["user"], &settings).output().expect("it starts");
    let said = text(&output);
    let told: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("listens beyond this machine"))
        .collect();
    assert_eq!(told.len(), 1, "{said}");
    let parts = ["WARN", "user.listen", "address=0.0.0.0:"];
    assert!(parts.iter().all(|part| told[0].contains(part)), "{told:?}");
}
