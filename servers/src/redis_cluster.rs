//! A private Redis Cluster of three nodes for one test: ports and a folder of its own, gone when
//! dropped, and every way to lose a node or to move a hash slot.

use redis::{Connection, RedisResult};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Nodes, all of them primaries.
pub const NODES: usize = 3;
/// Longest wait for a node to answer and for the cluster to be whole.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Pause between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A node's cluster bus is at its port plus this.
const BUS_OFFSET: u16 = 10_000;
/// Ports for nodes: with the bus they stay below those that the system hands out.
const PORTS: std::ops::Range<u16> = 11_000..22_000;
/// Ports tried for one node.
const PORTS_TRIED_MAX: usize = 100;
/// Bytes cut off an AOF to bring back an older state.
const AOF_TAIL_BYTES: u64 = 100;
/// How long a node may be silent before the others call it failed, ms.
const NODE_TIMEOUT_MS: u32 = 1_500;

/// How a whole cluster can be lost.
pub const LOSSES: &[&str] = &[
    "flushed",
    "scripts flushed",
    "killed, AOF intact",
    "killed, AOF cut",
    "killed, empty",
];

#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Node>,
    folder: tempfile::TempDir,
}

#[derive(Debug)]
struct Node {
    child: Child,
    port: u16,
}

impl RedisCluster {
    /// Starts one with AOFs. If it cannot, says why and returns `None`; with `REQUIRE_SERVERS=1`
    /// that is a failure.
    pub fn start() -> Option<Self> {
        match Self::try_start() {
            Ok(cluster) => Some(cluster),
            Err(reason) => {
                assert!(
                    std::env::var_os("REQUIRE_SERVERS").is_none_or(|value| value != "1"),
                    "{reason}"
                );
                eprintln!("ignored: {reason}");
                None
            }
        }
    }

    fn try_start() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("no scratch folder: {error}"))?;
        let mut cluster = Self {
            nodes: Vec::new(),
            folder,
        };
        for _ in 0..NODES {
            let port =
                free_port(&cluster.nodes).ok_or("no free port for a redis node and its bus")?;
            let child = spawn(port, &cluster.node_folder(port))
                .map_err(|error| format!("redis-server: {error}"))?;
            cluster.nodes.push(Node { child, port });
        }
        cluster.wait("nodes do not answer", |connection, _| {
            redis::cmd("PING").query(connection)
        })?;
        let addresses = cluster
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port));
        let arguments = ["--cluster".to_owned(), "create".to_owned()]
            .into_iter()
            .chain(addresses);
        let created = Command::new("redis-cli")
            .args(arguments)
            .arg("--cluster-yes")
            .stdin(Stdio::null())
            .output();
        let created = created.map_err(|error| format!("redis-cli cannot be started: {error}"))?;
        if !created.status.success() {
            return Err(format!(
                "redis-cli --cluster create: {}",
                String::from_utf8_lossy(&created.stdout)
            ));
        }
        cluster.wait_until_whole()?;
        Ok(cluster)
    }

    /// As `sharded-slots` takes it, with all nodes.
    pub fn url(&self) -> String {
        let nodes: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        format!("redis-cluster://{}", nodes.join(","))
    }

    /// Loses the state of every node in one of the ways of [`LOSSES`]; the cluster is whole again
    /// afterwards.
    pub fn lose(&mut self, how: &str) -> Result<(), String> {
        let all = |nodes: &Self, command: &[&str]| {
            (0..NODES).try_for_each(|node| nodes.run(node, command))
        };
        match how {
            "flushed" => all(self, &["FLUSHALL"]),
            "scripts flushed" => all(self, &["SCRIPT", "FLUSH"]),
            "killed, AOF intact" => self.restart(0..NODES, |_| Ok(())),
            "killed, AOF cut" => self.restart(0..NODES, cut_aof),
            "killed, empty" => self.restart(0..NODES, |folder| {
                std::fs::remove_dir_all(folder.join("appendonlydir"))
            }),
            _ => Err(format!(
                "no way {how:?} to lose a cluster; known: {LOSSES:?}"
            )),
        }
    }

    /// Kills a node with SIGKILL and starts it again on its AOF; the cluster is whole again
    /// afterwards.
    pub fn kill_and_restart(&mut self, node: usize) -> Result<(), String> {
        self.restart(node..node + 1, |_| Ok(()))
    }

    fn restart(
        &mut self,
        nodes: std::ops::Range<usize>,
        between: impl Fn(&Path) -> std::io::Result<()>,
    ) -> Result<(), String> {
        for node in &mut self.nodes[nodes.clone()] {
            end(&mut node.child);
        }
        for node in nodes {
            let (port, folder) = (
                self.nodes[node].port,
                self.node_folder(self.nodes[node].port),
            );
            between(&folder).map_err(|error| format!("between two lives: {error}"))?;
            self.nodes[node].child = spawn(port, &folder).map_err(|error| error.to_string())?;
        }
        self.wait_until_whole()
    }

    /// Runs a command at one node.
    pub fn run(&self, node: usize, command: &[&str]) -> Result<(), String> {
        self.query::<redis::Value>(node, command).map(|_| ())
    }

    fn query<T: redis::FromRedisValue>(&self, node: usize, command: &[&str]) -> Result<T, String> {
        let asked = connect(self.nodes[node].port).and_then(|mut c| to_cmd(command).query(&mut c));
        asked.map_err(|error| format!("{command:?} at node {node}: {error}"))
    }

    /// Host and port of a node.
    pub fn address(&self, node: usize) -> String {
        format!("127.0.0.1:{}", self.nodes[node].port)
    }

    /// The hash slot of a key.
    pub fn hash_slot(&self, key: &str) -> u16 {
        self.query(0, &["CLUSTER", "KEYSLOT", key])
            .expect("the hash slot of a key")
    }

    /// The node that serves `hash_slot`.
    pub fn owner(&self, hash_slot: u16) -> usize {
        let has_it = |node: &usize| {
            let shards: String = self
                .query(*node, &["CLUSTER", "NODES"])
                .expect("the cluster's nodes");
            let myself = shards
                .lines()
                .find(|line| line.contains("myself"))
                .expect("a node knows itself")
                .to_owned();
            let ranges = myself.split_whitespace().skip(8).filter_map(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
            });
            ranges.into_iter().any(|range| range.contains(&hash_slot))
        };
        (0..NODES)
            .find(has_it)
            .expect("a node that serves the hash slot")
    }

    /// Moves a hash slot with its keys to another node, step by step as `redis-cli --cluster
    /// reshard` does; `between` is called while it is half way.
    pub fn move_slot(
        &self,
        hash_slot: u16,
        target: usize,
        between: impl Fn(),
    ) -> Result<(), String> {
        let source = self.owner(hash_slot);
        let id = |node: usize| self.query::<String>(node, &["CLUSTER", "MYID"]);
        let (source_id, target_id, slot) = (id(source)?, id(target)?, hash_slot.to_string());
        self.run(
            target,
            &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id],
        )?;
        self.run(
            source,
            &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id],
        )?;
        between();
        let keys: Vec<String> = self.query(source, &["CLUSTER", "GETKEYSINSLOT", &slot, "1000"])?;
        let port = self.nodes[target].port.to_string();
        // One by one, so that there is a time when some keys of the slot are here and some there.
        for key in &keys {
            self.run(source, &["MIGRATE", "127.0.0.1", &port, key, "0", "5000"])?;
            between();
        }
        // The target first: a moment without an owner would refuse calls.
        for node in [target, source]
            .into_iter()
            .chain((0..NODES).filter(|node| ![target, source].contains(node)))
        {
            self.run(node, &["CLUSTER", "SETSLOT", &slot, "NODE", &target_id])?;
        }
        Ok(())
    }

    fn node_folder(&self, port: u16) -> std::path::PathBuf {
        self.folder.path().join(port.to_string())
    }

    fn wait_until_whole(&mut self) -> Result<(), String> {
        self.wait("the cluster is not whole", |connection, nodes| {
            let info: String = redis::cmd("CLUSTER").arg("INFO").query(connection)?;
            let lines: String = redis::cmd("CLUSTER").arg("NODES").query(connection)?;
            let is_whole =
                info.contains("cluster_state:ok") && lines.matches(" connected").count() == nodes;
            let failing = lines.contains("fail") || lines.contains("handshake");
            let not_yet =
                || redis::RedisError::from((redis::ErrorKind::Io, "not whole yet", lines.clone()));
            (is_whole && !failing).then_some(()).ok_or_else(not_yet)
        })
    }

    /// Until every node says yes, within a bound.
    fn wait(
        &mut self,
        what: &str,
        is_so: impl Fn(&mut Connection, usize) -> RedisResult<()>,
    ) -> Result<(), String> {
        let deadline = Instant::now() + READY_WITHIN;
        for index in 0..self.nodes.len() {
            loop {
                let node = &mut self.nodes[index];
                let Err(error) =
                    connect(node.port).and_then(|mut connection| is_so(&mut connection, NODES))
                else {
                    break;
                };
                if let Ok(Some(status)) = node.child.try_wait() {
                    return Err(format!("a redis node ended at once: {status}"));
                }
                if Instant::now() > deadline {
                    return Err(format!("{what} within {READY_WITHIN:?}: {error}"));
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
        Ok(())
    }
}

impl Drop for RedisCluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            end(&mut node.child);
        }
    }
}

fn to_cmd(command: &[&str]) -> redis::Cmd {
    let mut cmd = redis::cmd(command[0]);
    cmd.arg(&command[1..]);
    cmd
}

fn connect(port: u16) -> RedisResult<Connection> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/"))?;
    client.get_connection_with_timeout(Duration::from_secs(1))
}

fn free_port(taken: &[Node]) -> Option<u16> {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (0..PORTS_TRIED_MAX)
        .map(|_| rand::random_range(PORTS))
        .find(|port| {
            taken.iter().all(|node| node.port != *port)
                && is_free(*port)
                && is_free(port + BUS_OFFSET)
        })
}

fn spawn(port: u16, folder: &Path) -> std::io::Result<Child> {
    std::fs::create_dir_all(folder)?;
    Command::new("redis-server")
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--daemonize",
            "no",
        ])
        .args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--aof-load-truncated",
            "yes",
        ])
        .args(["--maxmemory-policy", "noeviction", "--logfile", "redis.log"])
        .args([
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            &NODE_TIMEOUT_MS.to_string(),
        ])
        .arg("--dir")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

fn end(child: &mut Child) {
    // It may be dead already; then there is nothing to kill and the wait only reaps it.
    let _ = child.kill();
    let _ = child.wait();
}

/// Takes the last writes away, as a machine that lost power would.
fn cut_aof(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder.join("appendonlydir"))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".incr.aof") {
            let file = std::fs::OpenOptions::new().write(true).open(&path)?;
            file.set_len(file.metadata()?.len().saturating_sub(AOF_TAIL_BYTES))?;
        }
    }
    Ok(())
}
