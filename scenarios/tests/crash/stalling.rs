//! A connection to a server on which nothing moves for a while, though it is not closed.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Stands between a client and a server.
#[derive(Debug)]
pub struct Stalling {
    url: String,
    is_stalled: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Stalling {
    /// Before the server of `url`, which names a host and a port.
    pub async fn before(url: &str) -> Self {
        let server_at = match url.rfind('@') {
            Some(at) => at + 1,
            None => url.find("://").expect("a URL") + 3,
        };
        let (before, rest) = url.split_at(server_at);
        let (server, path) = rest.split_once('/').unwrap_or((rest, ""));
        let server: SocketAddr = server.parse().expect("an address and a port");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let here = listener.local_addr().expect("bound");
        let (is_stalled, stalled) = watch::channel(false);
        Self {
            url: format!("{before}{here}/{path}"),
            is_stalled,
            task: tokio::spawn(accept(listener, server, stalled)),
        }
    }

    /// Leads to the server through here.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on nothing reaches the other side.
    pub fn stall(&mut self) {
        self.is_stalled.send_replace(true);
    }

    /// What was sent meanwhile arrives.
    pub fn go_on(&mut self) {
        self.is_stalled.send_replace(false);
    }
}

impl Drop for Stalling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, stalled: watch::Receiver<bool>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(server).await else {
            continue;
        };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::spawn(pass_on(from_client, to_server, stalled.clone()));
        tokio::spawn(pass_on(from_server, to_client, stalled.clone()));
    }
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut stalled: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let is_over = stalled.wait_for(|is_stalled| !is_stalled).await.is_err();
        if is_over || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
