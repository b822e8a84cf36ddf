//! Free ports on the loopback address. Somebody else can take one before the server does; then the
//! server is started once more on others.

use std::net::{Ipv4Addr, TcpListener};

use crate::error::{OrFailed, Result, failed};

/// Ports that were all free at one moment, and differ.
pub(crate) fn free<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let address = listener.and_then(|listener| {
            let address = listener.local_addr();
            held.push(listener);
            address
        });
        *port = address
            .or_failed(|| "no port is free on 127.0.0.1".to_owned())?
            .port();
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
pub(crate) fn free_with_bus() -> Result<u16> {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    (0..CLUSTER_PORT_TRIES)
        .map(|_| rand::random_range(CLUSTER_PORTS))
        .find(|port| is_free(*port) && is_free(port + BUS_OFFSET))
        .ok_or_else(|| {
            failed(format!(
                "no port of {CLUSTER_PORTS:?} is free on 127.0.0.1 together with its bus port"
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ() {
        let [a, b, c] = free().expect("ports");
        assert!(a != b && b != c && a != c);
        assert!(CLUSTER_PORTS.contains(&free_with_bus().expect("a port with its bus")));
    }
}
