//! Servers of somebody else: after a run they hold what they held before, and nothing more.

use std::collections::BTreeSet;
use std::process::Command;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use servers::{Address, DatabaseServer, RabbitMqServer, RedisServer, redis};
use sqlx::{Connection as _, Executor, MySqlConnection, Row};

use crate::{EXTERNAL, bench, fresh_folder, has_servers, setting};

/// The virtual hosts, queues, exchanges and bindings of a broker.
const EVERYTHING: &str = "Names = fun(List) -> lists:sort([element(2, Each) || Each <- List]) end, \
    {rabbit_vhost:list_names(), Names(rabbit_amqqueue:list()), Names(rabbit_exchange:list()), \
    lists:sort(rabbit_binding:list(<<\"/\">>))}.";

/// What somebody else has on their servers.
#[derive(Debug, PartialEq)]
struct Held {
    keys: BTreeSet<String>,
    databases: BTreeSet<String>,
    broker: String,
}

struct Servers {
    redis: RedisServer,
    broker: RabbitMqServer,
    database: DatabaseServer,
}

impl Servers {
    async fn start() -> Option<Self> {
        Some(Self {
            redis: RedisServer::start().await?,
            broker: RabbitMqServer::start().await?,
            database: DatabaseServer::start().await?,
        })
    }

    fn addresses(&self) -> Vec<String> {
        [
            ("--redis-url", self.redis.url()),
            ("--amqp-url", self.broker.url()),
            ("--database-url", self.database.root_url()),
        ]
        .map(|(option, url)| format!("{option}={url}"))
        .to_vec()
    }

    async fn held(&self) -> Held {
        let address = Address::local(self.redis.port());
        let keys = redis::ask(&address, &["KEYS", "*"]).await.expect("keys");
        Held {
            keys: keys.into_iter().collect(),
            databases: self.databases().await,
            broker: self.ask_broker(EVERYTHING),
        }
    }

    async fn databases(&self) -> BTreeSet<String> {
        let mut connection = self.connect().await;
        let rows = connection.fetch_all("SHOW DATABASES").await.expect("rows");
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn connect(&self) -> MySqlConnection {
        let url = self.database.root_url();
        MySqlConnection::connect(&url).await.expect("a database")
    }

    /// Has the broker evaluate an expression; no client can list what there is.
    fn ask_broker(&self, expression: &str) -> String {
        let environment = std::fs::read_to_string(format!("/proc/{}/environ", self.broker.pid()));
        let environment = environment.expect("its environment");
        let of_node = |entry: &&str| {
            let names = ["HOME=", "PATH=", "ERL_EPMD_PORT=", "RABBITMQ_"];
            names.iter().any(|name| entry.starts_with(name))
        };
        let programs = scenarios::setup::find();
        // Beside the server: what stands on the search path switches to another user.
        let server = programs.rabbitmq_server.expect("installed");
        let output = Command::new(server.with_file_name("rabbitmqctl"))
            .env_clear()
            .envs(
                environment
                    .split('\0')
                    .filter(of_node)
                    .filter_map(|entry| entry.split_once('=')),
            )
            .args(["eval", expression])
            .output()
            .expect("rabbitmqctl starts");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{said}");
        said
    }

    /// Something of each kind that a run must leave alone.
    async fn use_all(&self) {
        self.redis.command("SET lab:mine 1").await.expect("set");
        let create = "CREATE DATABASE lab_mine";
        self.connect().await.execute(create).await.expect("created");
        let url = self.broker.url();
        let broker = Connection::connect(&url, ConnectionProperties::default()).await;
        let broker = broker.expect("a broker");
        let channel = broker.create_channel().await.expect("a channel");
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare("lab.mine".into(), options, FieldTable::default())
            .await
            .expect("declared");
        broker.close(200, "done".into()).await.expect("closed");
    }
}

#[tokio::test]
async fn a_run_on_external_servers_leaves_nothing_behind_and_takes_nothing_away() {
    if !has_servers() {
        return;
    }
    let Some(servers) = Servers::start().await else {
        return;
    };
    let set = "SET GLOBAL innodb_flush_log_at_trx_commit = 2";
    servers.connect().await.execute(set).await.expect("set");
    servers.use_all().await;
    let before = servers.held().await;
    assert_eq!(before.keys.len(), 1, "{before:?}");
    assert!(before.databases.contains("lab_mine"), "{before:?}");
    for name in ["lab.mine", "amq.direct"] {
        assert!(before.broker.contains(name), "{before:?}");
    }
    let addresses = servers.addresses();
    let running =
        tokio::task::spawn_blocking(move || bench(&fresh_folder("external"), EXTERNAL, &addresses));
    let result = running.await.expect("it ran");
    assert_eq!(result.legs.len(), 2);
    assert_eq!(result.stack.sees, reports::result::Sees::RolesOnly);
    assert_eq!(setting(&result, ".appendfsync"), "everysec");
    assert_eq!(setting(&result, ".innodb_flush_log_at_trx_commit"), "2");
    assert_eq!(servers.held().await, before);
}
