//! A private Redis Cluster: three masters, each with a third of the slots. The lab joins them by
//! Redis's own commands, so it needs no program beside redis-server.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::future::{try_join_all, try_join3};

use super::address::Address;
use super::server::{Place, Server, start_on_free_ports};
use super::{ports, redis};

/// Their names; data folders and logs are called the same.
const NODES: [&str; 3] = ["redis-0", "redis-1", "redis-2"];
/// Slots of every Redis Cluster.
const SLOTS: usize = 16_384;
/// How long a node may be silent before the others call it failed; the default of 15 s is for wider
/// networks.
const NODE_TIMEOUT_MS: &str = "2000";
/// How long the nodes may take until all of them know one another and every slot.
const FORMED_LIMIT: Duration = Duration::from_secs(30);
const FORMED_POLL: Duration = Duration::from_millis(20);

/// Starts the nodes and returns when each of them calls the cluster well.
pub(super) async fn start(place: &Place<'_>) -> anyhow::Result<Vec<Server>> {
    let node = async |name: &str| start_on_free_ports(async || start_node(place, name).await).await;
    let (first, second, third) = try_join3(node(NODES[0]), node(NODES[1]), node(NODES[2])).await?;
    let mut servers = vec![first, second, third];
    let begin = Instant::now();
    form(&servers)
        .await
        .context("the Redis Cluster cannot be formed")?;
    for server in &mut servers {
        server.start_ms += begin.elapsed().as_millis();
        server
            .settings
            .push(("cluster_nodes", NODES.len().to_string()));
        server
            .settings
            .push(("cluster_node_timeout_ms", NODE_TIMEOUT_MS.to_owned()));
    }
    Ok(servers)
}

/// `redis-cluster://127.0.0.1:4001,127.0.0.1:4002,127.0.0.1:4003`.
pub(super) fn url(servers: &[Server]) -> String {
    let places: Vec<String> = servers
        .iter()
        .map(|server| format!("127.0.0.1:{}", server.port))
        .collect();
    format!("{}{}", super::address::REDIS_CLUSTER, places.join(","))
}

async fn start_node(place: &Place<'_>, name: &str) -> anyhow::Result<Server> {
    let settings = [
        ("cluster-enabled", "yes"),
        ("cluster-config-file", "nodes.conf"),
        ("cluster-node-timeout", NODE_TIMEOUT_MS),
        // A node learns its own address only from others, and clients may ask before that.
        ("cluster-announce-ip", "127.0.0.1"),
    ];
    redis::start_node(place, name, ports::free_with_bus()?, &settings).await
}

async fn form(servers: &[Server]) -> anyhow::Result<()> {
    let nodes: Vec<Address> = servers
        .iter()
        .map(|server| Address::local(server.port))
        .collect();
    for (index, node) in nodes.iter().enumerate() {
        // Epochs that differ from the start spare the nodes the vote about who is newer.
        command(
            node,
            &["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()],
        )
        .await?;
        let slots: Vec<String> = slots_of(index).map(|slot| slot.to_string()).collect();
        let mut assign = vec!["CLUSTER", "ADDSLOTS"];
        assign.extend(slots.iter().map(String::as_str));
        command(node, &assign).await?;
    }
    for other in &nodes[1..] {
        command(
            &nodes[0],
            &["CLUSTER", "MEET", &other.host, &other.port.to_string()],
        )
        .await?;
    }
    try_join_all(nodes.iter().map(wait_until_formed)).await?;
    Ok(())
}

/// Consecutive slots, as even as they can be.
fn slots_of(node: usize) -> std::ops::Range<usize> {
    node * SLOTS / NODES.len()..(node + 1) * SLOTS / NODES.len()
}

async fn command(node: &Address, words: &[&str]) -> anyhow::Result<()> {
    let answer = redis::ask(node, words)
        .await
        .with_context(|| format!("{} {}", words[0], words[1]))?;
    ensure!(
        answer == ["OK"],
        "{} {} is answered with {answer:?}",
        words[0],
        words[1]
    );
    Ok(())
}

async fn wait_until_formed(node: &Address) -> anyhow::Result<()> {
    let deadline = Instant::now() + FORMED_LIMIT;
    let wanted = [
        "cluster_state:ok".to_owned(),
        format!("cluster_known_nodes:{}", NODES.len()),
    ];
    loop {
        let info = redis::ask(node, &["CLUSTER", "INFO"]).await?.concat();
        if wanted
            .iter()
            .all(|line| info.lines().any(|found| found == line))
        {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "no cluster within {FORMED_LIMIT:?}: {}",
            info.replace("\r\n", " ")
        );
        tokio::time::sleep(FORMED_POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_one_node() {
        let slots: Vec<usize> = (0..NODES.len()).flat_map(slots_of).collect();
        assert_eq!(slots, (0..SLOTS).collect::<Vec<_>>());
    }
}
