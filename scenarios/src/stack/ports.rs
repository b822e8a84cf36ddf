//! Free ports on the loopback address. Somebody else can take one before the server does; then the server is started
//! once more on others.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;

/// How the lab says that somebody else answers on a port.
pub(super) const TAKEN: &str = "port taken";
/// How servers say it, in lower case.
const TAKEN_WORDS: [&str; 4] = ["address already in use", "eaddrinuse", "already running", TAKEN];

/// Ports that were all free at one moment, and differ.
pub(super) fn free<const N: usize>() -> anyhow::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free on 127.0.0.1")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
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
        assert!(is_taken(&anyhow::anyhow!(
            "x\n  | Could not create server TCP listening socket: bind: Address already in use"
        )));
        assert!(!is_taken(&anyhow::anyhow!("no space left on device")));
    }
}
