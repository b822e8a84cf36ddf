//! A socket with its session. Moves bytes between the two, with one system call for all that has
//! gathered.

use crate::run::Request;
use crate::wire::{Ended, Session, Target};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Most bytes that one read may bring: more than the largest frame (16,393 bytes), so that a whole
/// frame always fits.
const INBOX_LEN: usize = 32 << 10;

#[derive(Debug)]
pub struct Connection {
    pub session: Session<Request>,
    socket: TcpStream,
    inbox: Vec<u8>,
    /// Bytes of the inbox that hold an incomplete frame.
    filled: usize,
}

impl Connection {
    /// Connects and waits for the server's settings.
    pub async fn establish(addresses: &[SocketAddr], target: &Target) -> Result<Self, String> {
        let socket = TcpStream::connect(addresses)
            .await
            .map_err(|error| error.to_string())?;
        socket
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        let mut connection = Self {
            session: Session::new(target),
            socket,
            inbox: vec![0; INBOX_LEN],
            filled: 0,
        };
        poll_fn(|cx| {
            loop {
                connection.flush(cx).map_err(|error| error.to_string())?;
                if connection.session.has_settings() {
                    return Poll::Ready(Ok::<_, String>(()));
                }
                ready!(connection.poll_receive(cx, &mut |_, _| {}))?;
            }
        })
        .await?;
        Ok(connection)
    }

    /// Sends as much as the socket takes; the rest is sent when it is writable again.
    pub fn flush(&mut self, cx: &mut Context) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.session.out.len() {
            match Pin::new(&mut self.socket).poll_write(cx, &self.session.out[sent..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(length)) => sent += length,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        self.session.out.drain(..sent);
        Ok(())
    }

    /// Reads once and handles what arrived. An error says why the connection can no longer be used.
    pub fn poll_receive(
        &mut self,
        cx: &mut Context,
        ended: &mut impl FnMut(Request, Ended),
    ) -> Poll<Result<(), String>> {
        let mut room = ReadBuf::new(&mut self.inbox[self.filled..]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut room))
            .map_err(|error| self.session.why_lost(&error.to_string()))?;
        let length = room.filled().len();
        if length == 0 {
            let why = self.session.why_lost("the server closed the connection");
            return Poll::Ready(Err(why));
        }
        self.filled += length;
        let used = self
            .session
            .receive(&self.inbox[..self.filled], ended)
            .map_err(|error| error.to_string())?;
        self.inbox.copy_within(used..self.filled, 0);
        self.filled -= used;
        Poll::Ready(Ok(()))
    }
}
