//! Free ports on the loopback address. Somebody else can take one before the server does; then the
//! server is started once more on others.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;

/// How the lab says that somebody else answers on a port.
pub(super) const TAKEN: &str = "port taken";
/// How servers say it, in lower case.
const TAKEN_WORDS: [&str; 4] = [
    "address already in use",
    "eaddrinuse",
    "already running",
    TAKEN,
];

/// Ports that were all free at one moment, and differ.
pub(super) fn free<const N: usize>() -> anyhow::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free on 127.0.0.1")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Ports of this range are far below those that the system hands out by itself, and so are those of
/// their buses.
const CLUSTER_PORTS: std::ops::Range<u16> = 10_000..22_000;
/// A node of a Redis Cluster talks to the others on its port plus this.
const BUS_OFFSET: u16 = 10_000;
/// How many ports are tried before the range counts as taken.
const CLUSTER_PORT_TRIES: usize = 200;

/// A port for a node of a Redis Cluster, whose bus port is free too.
pub(super) fn free_with_bus() -> anyhow::Result<u16> {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    (0..CLUSTER_PORT_TRIES)
        .map(|_| rand::random_range(CLUSTER_PORTS))
        .find(|port| is_free(*port) && is_free(port + BUS_OFFSET))
        .with_context(|| {
            format!("no port of {CLUSTER_PORTS:?} is free on 127.0.0.1 together with its bus port")
        })
}

/// Whether an error comes from a port that was lost to somebody else.
pub(super) fn is_taken(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}").to_lowercase();
    TAKEN_WORDS.iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_a_lost_one_is_recognised() {
        let [a, b, c] = free().expect("ports");
        assert!(a != b && b != c && a != c);
        assert!(CLUSTER_PORTS.contains(&free_with_bus().expect("a port with its bus")));
        assert!(is_taken(&anyhow::anyhow!(
            "x\n  | Could not create server TCP listening socket: bind: Address already in use"
        )));
        assert!(!is_taken(&anyhow::anyhow!("no space left on device")));
    }
}
