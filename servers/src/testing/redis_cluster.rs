//! A private Redis Cluster of three nodes for one test, and every way to lose a node or to move a
//! hash slot.

use std::path::PathBuf;

use super::redis_server::{cut_aof, erase_aof, no_loss, wait_until_written};
use super::{Home, Life, unless_missing};
use crate::address::Address;
use crate::cluster;
use crate::error::{Result, failed};
use crate::redis;

/// How long a node may take to hand one key over, ms.
const MIGRATE_WITHIN_MS: &str = "5000";
/// Most keys of a hash slot that is moved.
const KEYS_MAX: &str = "1000";

/// Three primaries with AOFs; gone when dropped. One call at a time may take nodes down.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Node>,
    home: Home,
}

#[derive(Debug)]
struct Node {
    life: Life,
    port: u16,
}

impl RedisCluster {
    /// How many nodes there are.
    pub const NODES: usize = cluster::NODES.len();

    /// Starts one, in two seconds or so. None, with the reason printed, when redis-server is not
    /// installed.
    ///
    /// # Panics
    /// When it is installed and does not start; with `REQUIRE_SERVERS=1` also when it is not.
    pub async fn start() -> Option<Self> {
        unless_missing(Self::try_start().await)
    }

    async fn try_start() -> Result<Self> {
        let home = Home::make()?;
        let nodes = cluster::start(&home.site()).await?.into_iter();
        let nodes = nodes.map(|started| Node {
            life: Life::new(started.process),
            port: started.port,
        });
        Ok(Self {
            nodes: nodes.collect(),
            home,
        })
    }

    /// With all nodes: `redis-cluster://127.0.0.1:4001,127.0.0.1:4002,127.0.0.1:4003`.
    pub fn url(&self) -> String {
        cluster::url(self.ports())
    }

    /// Host and port of a node.
    pub fn address(&self, node: usize) -> String {
        format!("127.0.0.1:{}", self.nodes[node].port)
    }

    /// Loses the state of every node in one of the ways of [`crate::LOSSES`]; the cluster is whole
    /// again afterwards.
    pub async fn lose(&self, how: &str) -> Result<()> {
        let all: Vec<usize> = (0..Self::NODES).collect();
        match how {
            "flushed" => self.run_at_all(&["FLUSHALL"]).await,
            "scripts flushed" => self.run_at_all(&["SCRIPT", "FLUSH"]).await,
            "killed, AOF intact" => {
                self.wait_until_written().await?;
                self.restart(&all, |_| Ok(())).await
            }
            "killed, AOF cut" => {
                self.wait_until_written().await?;
                self.restart(&all, |data| cut_aof(&data)).await
            }
            "killed, empty" => self.restart(&all, |data| erase_aof(&data)).await,
            _ => Err(no_loss(how)),
        }
    }

    /// Kills a node with SIGKILL, once all that it has answered is in its AOF, and starts it again
    /// on that; the cluster is whole again afterwards. Nobody may write to the node meanwhile.
    pub async fn kill_and_restart(&self, node: usize) -> Result<()> {
        wait_until_written(self.nodes[node].port).await?;
        self.restart(&[node], |_| Ok(())).await
    }

    async fn wait_until_written(&self) -> Result<()> {
        for port in self.ports() {
            wait_until_written(port).await?;
        }
        Ok(())
    }

    async fn restart(
        &self,
        nodes: &[usize],
        between: impl Fn(PathBuf) -> Result<()>,
    ) -> Result<()> {
        for node in nodes {
            self.nodes[*node].life.end().await?;
        }
        for index in nodes {
            let node = &self.nodes[*index];
            between(self.home.data_folder(cluster::NODES[*index]))?;
            let process = cluster::run_node(&self.home.site(), *index, node.port).await?;
            node.life.begin(process);
        }
        let ports: Vec<u16> = self.ports().collect();
        cluster::wait_until_whole(&ports).await
    }

    fn ports(&self) -> impl Iterator<Item = u16> {
        self.nodes.iter().map(|node| node.port)
    }

    /// Runs a command at one node and returns its answer: a list as its texts, anything else as one
    /// text.
    pub async fn run(&self, node: usize, command: &[&str]) -> Result<Vec<String>> {
        let answer = redis::ask(&Address::local(self.nodes[node].port), command).await;
        answer.map_err(|error| failed(format!("{command:?} at node {node}: {error}")))
    }

    async fn run_at_all(&self, command: &[&str]) -> Result<()> {
        for node in 0..Self::NODES {
            self.run(node, command).await?;
        }
        Ok(())
    }

    /// The hash slot of a key.
    pub async fn hash_slot(&self, key: &str) -> Result<u16> {
        let slot = self.run(0, &["CLUSTER", "KEYSLOT", key]).await?.concat();
        slot.parse()
            .map_err(|_| failed(format!("{slot:?} is no hash slot")))
    }

    /// The node that serves `hash_slot`.
    pub async fn owner(&self, hash_slot: u16) -> Result<usize> {
        for node in 0..Self::NODES {
            let nodes = self.run(node, &["CLUSTER", "NODES"]).await?.concat();
            let myself = nodes.lines().find(|line| line.contains("myself"));
            // Eight fields about the node, then its slots, `0-5460` or `7`; one that is on its way
            // is in brackets.
            let mut ranges = myself
                .unwrap_or_default()
                .split_whitespace()
                .skip(8)
                .filter_map(|range| {
                    let (first, last) = range.split_once('-').unwrap_or((range, range));
                    Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
                });
            if ranges.any(|range| range.contains(&hash_slot)) {
                return Ok(node);
            }
        }
        Err(failed(format!("no node serves hash slot {hash_slot}")))
    }

    /// Moves a hash slot with its keys to another node, step by step as `redis-cli --cluster
    /// reshard` does; `between` is awaited while it is half way.
    pub async fn move_slot(
        &self,
        hash_slot: u16,
        target: usize,
        between: impl AsyncFn(),
    ) -> Result<()> {
        let (source, slot) = (self.owner(hash_slot).await?, hash_slot.to_string());
        let source_id = self.run(source, &["CLUSTER", "MYID"]).await?.concat();
        let target_id = self.run(target, &["CLUSTER", "MYID"]).await?.concat();
        let setslot = ["CLUSTER", "SETSLOT", &slot];
        self.run(target, &[&setslot[..], &["IMPORTING", &source_id]].concat())
            .await?;
        self.run(source, &[&setslot[..], &["MIGRATING", &target_id]].concat())
            .await?;
        between().await;
        let keys = self
            .run(source, &["CLUSTER", "GETKEYSINSLOT", &slot, KEYS_MAX])
            .await?;
        let port = self.nodes[target].port.to_string();
        // One by one, so that there is a time when some keys of the slot are here and some there.
        for key in &keys {
            let migrate = ["MIGRATE", "127.0.0.1", &port, key, "0", MIGRATE_WITHIN_MS];
            self.run(source, &migrate).await?;
            between().await;
        }
        // The target first: a moment without an owner would refuse calls.
        let others = (0..Self::NODES).filter(|node| ![target, source].contains(node));
        for node in [target, source].into_iter().chain(others) {
            self.run(node, &[&setslot[..], &["NODE", &target_id]].concat())
                .await?;
        }
        Ok(())
    }
}
