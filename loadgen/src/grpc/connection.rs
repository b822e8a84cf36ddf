//! A socket with its session. Moves bytes between the two, with one system call for all that has
//! gathered.

use super::outcome;
use crate::lane::Link;
use crate::run::{Request, RequestEnd};
use crate::wire::{Session, Target};
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
}

impl Link for Connection {
    const TOO_LATE: &'static str = "no HTTP/2 settings came in time";

    fn open(&self) -> usize {
        self.session.open()
    }

    fn room(&self) -> usize {
        self.session.room()
    }

    fn oldest(&self) -> Option<&Request> {
        self.session.oldest()
    }

    fn cancel_oldest(&mut self) -> Option<Request> {
        self.session.cancel_oldest()
    }

    fn into_open(self) -> Vec<Request> {
        self.session.into_open().collect()
    }

    fn is_going_away(&self) -> bool {
        self.session.is_going_away()
    }

    fn why_lost(&self, reason: &str) -> String {
        self.session.why_lost(reason)
    }

    fn flush(&mut self, cx: &mut Context) -> io::Result<()> {
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

    fn poll_receive(
        &mut self,
        cx: &mut Context,
        ended: &mut impl FnMut(Request, Option<RequestEnd>),
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
        let mut judged = |request: Request, end| {
            ended(request, outcome::of(request.operation, end));
        };
        let used = self
            .session
            .receive(&self.inbox[..self.filled], &mut judged)
            .map_err(|error| error.to_string())?;
        self.inbox.copy_within(used..self.filled, 0);
        self.filled -= used;
        Poll::Ready(Ok(()))
    }
}
