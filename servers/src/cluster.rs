//! How a Redis Cluster is started: three masters, each with a third of the slots, joined by Redis's
//! own commands, so that no program is needed beside redis-server.

use std::time::{Duration, Instant};

use futures_util::future::{try_join_all, try_join3};

use crate::address::Address;
use crate::error::{OrFailed, Result, failed};
use crate::process::Process;
use crate::site::{Site, Started};
use crate::{ports, redis};

/// Their names; data folders and logs are called the same.
pub const NODES: [&str; 3] = ["redis-0", "redis-1", "redis-2"];
/// Slots of every Redis Cluster.
const SLOTS: usize = 16_384;
/// How long a node may be silent before the others call it failed; the default of 15 s is for wider
/// networks.
const NODE_TIMEOUT_MS: &str = "2000";
/// How long the nodes may take until all of them know one another and every slot.
const FORMED_LIMIT: Duration = Duration::from_secs(30);
const FORMED_POLL: Duration = Duration::from_millis(20);

/// What makes a redis-server a node.
const NODE_SETTINGS: [(&str, &str); 4] = [
    ("cluster-enabled", "yes"),
    ("cluster-config-file", "nodes.conf"),
    ("cluster-node-timeout", NODE_TIMEOUT_MS),
    // A node learns its own address only from others, and clients may ask before that.
    ("cluster-announce-ip", "127.0.0.1"),
];

/// Starts the nodes and returns when each of them calls the cluster well.
pub async fn start(site: &Site<'_>) -> Result<Vec<Started>> {
    let (first, second, third) = try_join3(
        start_node(site, NODES[0]),
        start_node(site, NODES[1]),
        start_node(site, NODES[2]),
    )
    .await?;
    let mut servers = vec![first, second, third];
    let ports: Vec<u16> = servers.iter().map(|server| server.port).collect();
    form(&ports)
        .await
        .or_failed(|| "the Redis Cluster cannot be formed".to_owned())?;
    for server in &mut servers {
        server
            .settings
            .push(("cluster_nodes", NODES.len().to_string()));
        server
            .settings
            .push(("cluster_node_timeout_ms", NODE_TIMEOUT_MS.to_owned()));
    }
    Ok(servers)
}

async fn start_node(site: &Site<'_>, name: &str) -> Result<Started> {
    match redis::start_node(site, name, ports::free_with_bus()?, &NODE_SETTINGS).await {
        Err(error) if error.is_port_taken() => {
            redis::start_node(site, name, ports::free_with_bus()?, &NODE_SETTINGS).await
        }
        result => result,
    }
}

/// Starts a node again on what it remembers of its data and of the cluster.
pub(crate) async fn run_node(site: &Site<'_>, node: usize, port: u16) -> Result<Process> {
    redis::run_node(site, NODES[node], port, &NODE_SETTINGS).await
}

/// `redis-cluster://127.0.0.1:4001,127.0.0.1:4002,127.0.0.1:4003`.
pub fn url(ports: impl IntoIterator<Item = u16>) -> String {
    let nodes: Vec<String> = ports
        .into_iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    format!("redis-cluster://{}", nodes.join(","))
}

async fn form(ports: &[u16]) -> Result<()> {
    let nodes: Vec<Address> = ports.iter().copied().map(Address::local).collect();
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
    wait_until_whole(ports).await
}

/// Until every node knows the others and a node for each slot, within 30 s.
pub(crate) async fn wait_until_whole(ports: &[u16]) -> Result<()> {
    let nodes: Vec<Address> = ports.iter().copied().map(Address::local).collect();
    try_join_all(nodes.iter().map(wait_until_formed)).await?;
    Ok(())
}

/// Consecutive slots, as even as they can be.
fn slots_of(node: usize) -> std::ops::Range<usize> {
    node * SLOTS / NODES.len()..(node + 1) * SLOTS / NODES.len()
}

async fn command(node: &Address, words: &[&str]) -> Result<()> {
    let answer = redis::ask(node, words)
        .await
        .or_failed(|| format!("{} {}", words[0], words[1]))?;
    if answer != ["OK"] {
        return Err(failed(format!(
            "{} {} is answered with {answer:?}",
            words[0], words[1]
        )));
    }
    Ok(())
}

async fn wait_until_formed(node: &Address) -> Result<()> {
    let deadline = Instant::now() + FORMED_LIMIT;
    let wanted = [
        "cluster_state:ok".to_owned(),
        format!("cluster_known_nodes:{}", NODES.len()),
    ];
    loop {
        let info = redis::ask(node, &["CLUSTER", "INFO"]).await?.concat();
        let nodes = redis::ask(node, &["CLUSTER", "NODES"]).await?.concat();
        // A node that has just come back may not have heard yet that others were gone.
        let is_whole = wanted
            .iter()
            .all(|line| info.lines().any(|found| found == line))
            && nodes.matches(" connected").count() == NODES.len()
            && !nodes.contains("fail")
            && !nodes.contains("handshake");
        if is_whole {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let info = info.replace("\r\n", " ");
            return Err(failed(format!(
                "no cluster within {FORMED_LIMIT:?}: {info}; {nodes}"
            )));
        }
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
