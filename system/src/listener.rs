//! The sockets that a role serves on: bound by whoever starts the role, given to it, and gone with
//! it.

mod connections;
mod incoming;
pub(crate) mod open_files;

pub(crate) use connections::Connections;
pub(crate) use incoming::{accept, incoming};

use anyhow::{Context, ensure};
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{SocketAddr, TcpListener};

/// Pending connections of one socket.
const LISTEN_BACKLOG: i32 = 4_096;

/// One address with a listening socket per serving thread.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    sockets: Vec<TcpListener>,
}

impl Listener {
    /// Binds `ip:port` for `threads` serving threads, at least one. Port 0 is any free port.
    ///
    /// Several sockets share the address by SO_REUSEPORT, and the kernel deals connections out
    /// among them. A single one does not set it, so that a second process on the same address is
    /// refused.
    pub fn bind(address: &str, threads: usize) -> anyhow::Result<Self> {
        ensure!(threads > 0, "a listener needs at least one serving thread");
        let mut address: SocketAddr = address.parse().with_context(|| {
            format!("{address:?} is not of the form ip:port, e.g. 127.0.0.1:50053")
        })?;
        let mut sockets = Vec::with_capacity(threads);
        for index in 0..threads {
            let socket = listen(address, threads > 1)
                .with_context(|| format!("cannot listen on {address}"))?;
            if index == 0 {
                // Port 0 was a request for any port; the other sockets join the one that was given.
                address = socket.local_addr()?;
            }
            sockets.push(socket);
        }
        Ok(Self { address, sockets })
    }

    /// The same where `key` of the configuration says; an address that other machines reach is logged,
    /// once, because nobody should find out later that it is one.
    pub fn of_setting(key: &'static str, address: &str, threads: usize) -> anyhow::Result<Self> {
        let listener = Self::bind(address, threads).context(key)?;
        if is_beyond_loopback(listener.address) {
            let address = listener.address;
            tracing::warn!(key, %address, "listens beyond this machine");
        }
        Ok(listener)
    }

    /// Where it listens: never port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// One socket for each serving thread, in non-blocking mode.
    pub fn into_sockets(self) -> Vec<TcpListener> {
        self.sockets
    }
}

/// Whether other machines may reach it: all but 127.0.0.0/8 and ::1, in whichever notation.
fn is_beyond_loopback(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

fn listen(address: SocketAddr, shared: bool) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_serving_thread_gets_a_socket_on_the_one_address() {
        let listener = Listener::bind("127.0.0.1:0", 3).expect("a free port");
        let address = listener.address();
        assert_ne!(address.port(), 0);
        let sockets = listener.into_sockets();
        assert_eq!(sockets.len(), 3);
        for socket in sockets {
            assert_eq!(socket.local_addr().expect("bound"), address);
        }
    }

    #[test]
    fn only_this_machine_is_not_beyond_loopback() {
        for (address, is_beyond) in [
            ("127.0.0.1:1", false),
            ("127.3.2.1:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("10.0.0.7:1", true),
        ] {
            let parsed = address.parse().expect("an address");
            assert_eq!(is_beyond_loopback(parsed), is_beyond, "{address}");
        }
    }

    #[test]
    fn an_address_that_is_none_or_taken_is_refused_with_its_name() {
        let refused = |address: &str| {
            let error = Listener::bind(address, 1).expect_err("refused");
            format!("{error:#}")
        };
        assert!(refused("everywhere").contains("\"everywhere\" is not of the form ip:port"));
        let taken = Listener::bind("127.0.0.1:0", 1).expect("a free port");
        let address = taken.address().to_string();
        assert!(refused(&address).contains(&format!("cannot listen on {address}")));
    }
}
