//! The processes of the system in a fixed order, each with the class that gives it its colour.

use crate::result::{Phase, UsageByProcess, is_system_process};

/// One part of a stacked bar.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Share {
    pub process: String,
    pub class: &'static str,
    pub cpu_us: f64,
}

/// Name, or its beginning, and class, from the request's way in to where it ends.
const KNOWN: [(&str, &str); 8] = [
    ("seckill", "p1"),
    ("all", "p1"),
    ("create-consumer", "p2"),
    ("reconciler", "p3"),
    ("redis", "p4"),
    ("rabbitmq", "p5"),
    ("mariadb", "p6"),
    ("mysql", "p6"),
];
const OTHER: &str = "p7";

fn place(process: &str) -> usize {
    let known = KNOWN.iter().position(|(name, _)| process.starts_with(name));
    known.unwrap_or(KNOWN.len())
}

/// CPU of each process of the system in µs for each of so many requests or orders; empty where
/// there were none.
pub(super) fn shares(phase: &Phase, count: u64) -> Vec<Share> {
    if count == 0 {
        return Vec::new();
    }
    let system = phase
        .usage
        .iter()
        .filter(|(name, _)| is_system_process(name));
    let mut shares: Vec<Share> = system
        .map(|(name, usage)| Share {
            process: name.clone(),
            class: KNOWN.get(place(name)).map_or(OTHER, |(_, class)| class),
            cpu_us: usage.cpu_ns() as f64 / 1e3 / count as f64,
        })
        .collect();
    shares.sort_by_key(|share| place(&share.process));
    shares
}

const SERVERS: [&str; 4] = ["redis", "rabbitmq", "mariadb", "mysql"];
/// Less than this share of the system's CPU is a process that idles.
const IDLE_SHARE: f64 = 0.01;

/// Whether a Redis worked for it; none where the lab did not see the servers.
pub(super) fn uses_redis(usage: &UsageByProcess) -> Option<bool> {
    let cpu_ns = |wanted: fn(&str) -> bool| -> u64 {
        let wanted = usage.iter().filter(|(name, _)| wanted(name));
        wanted.map(|(_, usage)| usage.cpu_ns()).sum()
    };
    let system = cpu_ns(is_system_process);
    let redis = cpu_ns(|name| name.starts_with("redis"));
    let is_server = |name: &String| SERVERS.iter().any(|server| name.starts_with(server));
    let has_servers = usage.keys().any(is_server);
    (system > 0 && has_servers).then_some(redis as f64 > IDLE_SHARE * system as f64)
}
