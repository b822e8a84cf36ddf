//! Whether every node behind `sharded-slots` can keep what it acknowledged, and whether the cluster
//! is whole.

use super::answers::bytes;
use super::link::Link;
use crate::helpers::redis_server;
use crate::{EngineError, Result};
use fred::types::{Value, config::Server};

/// Hash slots of a whole cluster.
const HASH_SLOTS: &str = "16384";

/// Refuses a node that can forget or evict, unless `allow_volatile`, one that is too old, and a
/// cluster with hash slots that nobody serves; names node and reason. Returns the settings that a
/// result has to state.
pub(super) async fn check(link: &Link, allow_volatile: bool) -> Result<Vec<(String, String)>> {
    let nodes = link.nodes().await?;
    let mut settings: Vec<(String, String)> = Vec::new();
    for node in &nodes {
        let refused = |reason: String| {
            EngineError::Config(format!("node {}:{}: {reason}", node.host, node.port))
        };
        if link.is_cluster() {
            let info = text(
                link.ask("checking the cluster", node, "CLUSTER", vec!["INFO".into()])
                    .await?,
            );
            incomplete_because(&info).map_or(Ok(()), |reason| Err(refused(reason)))?;
        }
        let info = link.ask(
            "checking the redis server",
            node,
            "INFO",
            vec!["server".into()],
        );
        let info = text(info.await?);
        redis_server::too_old_because(&info).map_or(Ok(()), |reason| Err(refused(reason)))?;
        let mut of_node = vec![("redis.version".to_owned(), redis_server::version(&info))];
        of_node.extend(settings_of(link, node).await?);
        match redis_server::volatile_because(&of_node) {
            Some(reason) if !allow_volatile => return Err(refused(reason)),
            _ => {}
        }
        // The same everywhere is said once; what differs is listed.
        for (name, value) in of_node {
            match settings.iter_mut().find(|(known, _)| *known == name) {
                None => settings.push((name, value)),
                Some((_, known)) if known.split(", ").any(|one| one == value) => {}
                Some((_, known)) => *known = format!("{known}, {value}"),
            }
        }
    }
    if nodes.is_empty() {
        return Err(EngineError::Config(
            "the redis cluster has no node that serves a hash slot".to_owned(),
        ));
    }
    settings.push(("redis.nodes".to_owned(), nodes.len().to_string()));
    Ok(settings)
}

async fn settings_of(link: &Link, node: &Server) -> Result<Vec<(String, String)>> {
    let mut settings = Vec::new();
    for name in redis_server::SETTINGS {
        // A managed server may forbid CONFIG; then nothing is known, which is treated like the
        // worst.
        let args = vec!["GET".into(), name.into()];
        let value = match link.ask("reading a setting", node, "CONFIG", args).await {
            Ok(Value::Array(pair)) => pair
                .get(1)
                .and_then(bytes)
                .map(|v| String::from_utf8_lossy(v).into_owned()),
            Err(error @ EngineError::Unknown { .. }) => return Err(error),
            _ => None,
        };
        settings.push((
            format!("redis.{name}"),
            value.unwrap_or_else(|| "unknown".to_owned()),
        ));
    }
    Ok(settings)
}

/// What keeps a cluster from serving every key, by its CLUSTER INFO.
fn incomplete_because(info: &str) -> Option<String> {
    let (state, assigned) = (
        field(info, "cluster_state"),
        field(info, "cluster_slots_assigned"),
    );
    if assigned != HASH_SLOTS {
        return Some(format!(
            "only {assigned} of the cluster's {HASH_SLOTS} hash slots are assigned; \
             assign the others (redis-cli --cluster fix)"
        ));
    }
    let served = field(info, "cluster_slots_ok");
    (state != "ok" || served != HASH_SLOTS).then(|| {
        format!("cluster_state is {state:?} and {served} of {HASH_SLOTS} hash slots are served; every one is needed")
    })
}

fn field<'a>(info: &'a str, name: &str) -> &'a str {
    redis_server::info_field(info, name).unwrap_or("unknown")
}

fn text(value: Value) -> String {
    bytes(&value)
        .map(String::from_utf8_lossy)
        .unwrap_or_default()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_whole_only_when_every_hash_slot_is_served() {
        let info = |state: &str, assigned: u32, served: u32| {
            format!(
                "cluster_state:{state}\r\ncluster_slots_assigned:{assigned}\r\ncluster_slots_ok:{served}\r\n"
            )
        };
        assert_eq!(incomplete_because(&info("ok", 16_384, 16_384)), None);
        assert!(
            incomplete_because(&info("fail", 16_000, 16_000))
                .unwrap()
                .contains("only 16000")
        );
        assert!(
            incomplete_because(&info("fail", 16_384, 16_384))
                .unwrap()
                .contains("cluster_state is \"fail\"")
        );
        assert!(
            incomplete_because(&info("ok", 16_384, 10_923))
                .unwrap()
                .contains("10923 of 16384")
        );
    }
}
