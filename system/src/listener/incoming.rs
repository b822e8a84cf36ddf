//! The clients of one listening socket: accepted within a bound, closed when they stay silent.

use super::connections::{Connections, Place};
use crate::tls::{Socket, Wrapping};
use anyhow::Context as _;
use futures_util::{Stream, stream};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Bytes that every HTTP/2 client sends first.
const PREFACE_LEN: usize = 24;
/// Pause after the process could not accept: the socket stays readable, and asking again at once
/// would cost a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts clients for as long as it is polled; never ends and never fails.
///
/// Whoever finds no place is accepted and closed at once, which tells them to go elsewhere; left in
/// the backlog they would wait for a time-out. Whoever has not sent the whole HTTP/2 preface within
/// `first_bytes` of being accepted is closed.
///
/// Sockets are wrapped first; the handshake of TLS is within `first_bytes`, too.
pub fn incoming(
    listener: std::net::TcpListener,
    connections: Arc<Connections>,
    first_bytes: Duration,
    wrapping: Wrapping,
) -> anyhow::Result<impl Stream<Item = io::Result<Client>>> {
    let listener = TcpListener::from_std(listener).context("cannot use the listener")?;
    Ok(stream::unfold(
        (listener, connections, wrapping),
        move |(listener, connections, wrapping)| async move {
            let (stream, _, place) = accept(&listener, &connections).await;
            let client = Client {
                connect_info: stream.connect_info(),
                stream: wrapping.wrap(stream),
                preface: Some(Preface {
                    missing: PREFACE_LEN,
                    late: Box::pin(tokio::time::sleep(first_bytes)),
                }),
                _place: place,
            };
            Some((Ok(client), (listener, connections, wrapping)))
        },
    ))
}

/// The next client, with its address and its place. Whoever finds no place is closed at once.
pub async fn accept(
    listener: &TcpListener,
    connections: &Arc<Connections>,
) -> (TcpStream, SocketAddr, Place) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_client(&error) => continue,
            Err(error) => {
                if let Some(times) = connections.failures.count() {
                    tracing::warn!(%error, times, "cannot accept connections");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = connections.take() else {
            if let Some(times) = connections.turn_away() {
                let most = connections.most();
                tracing::warn!(most, times, "too many connections; closed at once");
            }
            continue;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        return (stream, peer, place);
    }
}

/// Whether a failed accept says nothing about the next one.
fn is_of_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// An accepted connection with its place among the others.
#[derive(Debug)]
pub struct Client {
    stream: Socket,
    connect_info: TcpConnectInfo,
    /// What has to come first, until it has.
    preface: Option<Preface>,
    _place: Place,
}

#[derive(Debug)]
struct Preface {
    missing: usize,
    late: Pin<Box<Sleep>>,
}

impl Connected for Client {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.connect_info.clone()
    }
}

impl AsyncRead for Client {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let client = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut client.stream).poll_read(cx, buffer);
        let Some(preface) = &mut client.preface else {
            return polled;
        };
        let got = buffer.filled().len() - before;
        preface.missing = preface.missing.saturating_sub(got);
        if preface.missing == 0 {
            client.preface = None;
        }
        client.unless_late(cx, polled)
    }
}

impl Client {
    /// `polled`, unless it still waits although the first bytes should have come by now. Under TLS
    /// writes wait for the client, too, and nothing is read before they are done.
    fn unless_late<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Some(preface) = &mut self.preface
            && polled.is_pending()
            && preface.late.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let client = self.get_mut();
        let polled = Pin::new(&mut client.stream).poll_write(cx, bytes);
        client.unless_late(cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let client = self.get_mut();
        let polled = Pin::new(&mut client.stream).poll_write_vectored(cx, slices);
        client.unless_late(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let client = self.get_mut();
        let polled = Pin::new(&mut client.stream).poll_flush(cx);
        client.unless_late(cx, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
