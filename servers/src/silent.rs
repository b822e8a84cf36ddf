//! A network that swallows what was begun: a TCP proxy whose connections fall silent on command.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::{OrFailed, Result};

/// Bytes passed on at once; a commit is far smaller and the last thing that a client sends before
/// it waits.
const CHUNK_BYTES: usize = 64 * 1_024;
const COMMIT: &[u8] = b"COMMIT";

const PASS: u8 = 0;
/// The next commit is not passed on.
const SWALLOW: u8 = 1;
/// The next commit is passed on, and its answer is not.
const SWALLOW_ANSWER: u8 = 2;

/// Passes everything on to one server, until connections fall silent, for good: then nothing comes
/// through in either direction, and no socket is closed, so that neither side learns of it. Later
/// connections work.
#[derive(Debug)]
pub struct SilentProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    silent: watch::Sender<Silent>,
    at_commit: AtomicU8,
}

#[derive(Debug, Default)]
struct Silent {
    /// Number of the next connection.
    next: u64,
    /// Connections with a smaller number are silent,
    below: u64,
    /// and these.
    single: BTreeSet<u64>,
    /// The proxy is gone, and its connections may go.
    is_over: bool,
}

impl SilentProxy {
    /// A proxy in front of `server`, on a free port of the loopback address.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn start(server: SocketAddr) -> Result<Self> {
        let cannot = || "a proxy cannot listen".to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.or_failed(cannot)?;
        let address = listener.local_addr().or_failed(cannot)?;
        let shared = Arc::new(Shared {
            silent: watch::Sender::default(),
            at_commit: AtomicU8::new(PASS),
        });
        let passed_on = shared.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = passed_on.silent.borrow().next;
                passed_on.silent.send_modify(|silent| silent.next += 1);
                let shared = passed_on.clone();
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(server).await {
                        shared.pass_on(client, server, number).await;
                    }
                });
            }
        });
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connections that there are fall silent; how many there have been so far.
    pub fn silence(&self) -> u64 {
        self.shared
            .silent
            .send_modify(|silent| silent.below = silent.next);
        self.shared.silent.borrow().next
    }

    /// The connection of the next SQL `COMMIT` falls silent: with the commit on its way to the
    /// server, or without.
    pub fn silence_at_commit(&self, is_passed_on: bool) {
        let how = if is_passed_on {
            SWALLOW_ANSWER
        } else {
            SWALLOW
        };
        self.shared.at_commit.store(how, Ordering::SeqCst);
    }
}

impl Drop for SilentProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared
            .silent
            .send_modify(|silent| silent.is_over = true);
    }
}

impl Silent {
    fn is(&self, number: u64) -> bool {
        self.is_over || number < self.below || self.single.contains(&number)
    }
}

impl Shared {
    async fn pass_on(&self, client: TcpStream, server: TcpStream, number: u64) {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::join!(
            self.pump(from_client, to_server, number, true),
            self.pump(from_server, to_client, number, false),
        );
    }

    /// Ends with its source, or with the proxy.
    async fn pump(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        number: u64,
        is_from_client: bool,
    ) {
        let mut silent = self.silent.subscribe();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = tokio::select! {
                biased;
                _ = silent.wait_for(|silent| silent.is(number)) => break,
                read = from.read(&mut chunk) => read.unwrap_or(0),
            };
            let bytes = &chunk[..read];
            let is_commit = is_from_client && bytes.ends_with(COMMIT);
            let how = match is_commit {
                true => self.at_commit.swap(PASS, Ordering::SeqCst),
                false => PASS,
            };
            if how != PASS {
                self.silent.send_modify(|silent| {
                    silent.single.insert(number);
                });
            }
            if how == SWALLOW {
                break;
            }
            if bytes.is_empty() || to.write_all(bytes).await.is_err() {
                let _ = to.shutdown().await;
                return;
            }
        }
        let _ = silent.wait_for(|silent| silent.is_over).await;
    }
}
