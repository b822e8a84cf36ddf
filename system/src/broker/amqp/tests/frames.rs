//! A TCP proxy that reads the AMQP frames a client sends, and counts its methods.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Bytes of the protocol header, which comes before the first frame.
const GREETING_LEN: usize = 8;
/// Bytes before a frame's payload: type, channel (2), length (4). One more ends it.
const HEADER_LEN: usize = 7;
/// Type of a frame that carries a method.
const METHOD_FRAME: u8 = 1;

/// Class and method, as AMQP 0-9-1 numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method(u16, u16);

impl Method {
    pub const CHANNEL_CLOSE: Self = Self(20, 40);
    pub const BASIC_CONSUME: Self = Self(60, 20);
    pub const BASIC_CANCEL: Self = Self(60, 30);
}

type Counts = Arc<Mutex<HashMap<Method, usize>>>;

#[derive(Debug)]
pub struct FrameProxy {
    url: String,
    counts: Counts,
}

impl FrameProxy {
    /// In front of the broker of this URL.
    pub async fn start(url: &str) -> Self {
        let (login, address) = url.rsplit_once('@').expect("a login");
        let (address, vhost) = address.split_once('/').expect("a virtual host");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("bound");
        let (counts, broker) = (Counts::default(), address.to_owned());
        tokio::spawn(accept(listener, broker, counts.clone()));
        Self {
            url: format!("{login}@{own}/{vhost}"),
            counts,
        }
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// How often clients have sent this method.
    pub fn count(&self, method: Method) -> usize {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&method).copied().unwrap_or_default()
    }

    /// Waits until they have sent it more often than this.
    pub async fn until_more(&self, method: Method, before: usize) {
        while self.count(method) <= before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn accept(listener: TcpListener, broker: String, counts: Counts) {
    while let Ok((client, _)) = listener.accept().await {
        let server = TcpStream::connect(&broker).await.expect("the broker");
        let (from_client, mut to_client) = client.into_split();
        let (mut from_server, to_server) = server.into_split();
        tokio::spawn(count_frames(from_client, to_server, counts.clone()));
        tokio::spawn(async move {
            let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        });
    }
}

/// Passes on frame by frame, whole.
async fn count_frames(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    counts: Counts,
) -> std::io::Result<()> {
    let mut greeting = [0; GREETING_LEN];
    client.read_exact(&mut greeting).await?;
    server.write_all(&greeting).await?;
    loop {
        let mut frame = vec![0; HEADER_LEN];
        client.read_exact(&mut frame).await?;
        let length = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]);
        frame.resize(HEADER_LEN + length as usize + 1, 0);
        client.read_exact(&mut frame[HEADER_LEN..]).await?;
        if frame[0] == METHOD_FRAME {
            let word = |at| u16::from_be_bytes([frame[at], frame[at + 1]]);
            let method = Method(word(HEADER_LEN), word(HEADER_LEN + 2));
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry(method).or_default() += 1;
        }
        server.write_all(&frame).await?;
    }
}
