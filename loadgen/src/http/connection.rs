//! A socket with at most one request under way.

use super::answer::{self, ANSWER_BYTES_MAX, Read};
use super::outcome;
use crate::lane::Link;
use crate::run::{Request, RequestEnd};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Most bytes that one read may bring; an answer is a few hundred.
const READ_LEN: usize = 4 << 10;

/// Why a connection takes no request at this moment.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum Busy {
    #[error("the connection has a request under way")]
    Asking,
    #[error("the connection is being closed")]
    Closing,
}

#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    /// What is still to be sent, from `sent` on.
    out: Vec<u8>,
    sent: usize,
    inbox: Vec<u8>,
    asking: Option<Request>,
    /// Nothing more is sent on it, because of this.
    closing: Option<&'static str>,
}

impl Connection {
    pub async fn establish(addresses: &[SocketAddr]) -> Result<Self, String> {
        let socket = TcpStream::connect(addresses).await;
        let socket = socket.map_err(|error| error.to_string())?;
        let set = socket.set_nodelay(true);
        set.map_err(|error| error.to_string())?;
        Ok(Self {
            socket,
            out: Vec::new(),
            sent: 0,
            inbox: Vec::new(),
            asking: None,
            closing: None,
        })
    }

    /// Where this request is to be written, which is under way from now on.
    pub fn begin(&mut self, request: Request) -> Result<&mut Vec<u8>, Busy> {
        if self.closing.is_some() {
            return Err(Busy::Closing);
        }
        if self.asking.is_some() {
            return Err(Busy::Asking);
        }
        self.asking = Some(request);
        Ok(&mut self.out)
    }

    /// Whatever comes beside the one answer that is waited for is nobody's, and the connection is
    /// given up before it can be taken for the next request's.
    fn read_answer(
        &mut self,
        ended: &mut impl FnMut(Request, Option<RequestEnd>),
    ) -> Result<(), String> {
        let Some(request) = self.asking else {
            return Err("the server said something without being asked".to_owned());
        };
        let (answer, used) = match answer::read(&self.inbox)? {
            Read::Whole(answer, used) => (answer, used),
            _ if self.inbox.len() > ANSWER_BYTES_MAX => {
                return Err("the answer is longer than 64 KiB".to_owned());
            }
            Read::Part | Read::UntilClosed(_) => return Ok(()),
        };
        self.asking = None;
        ended(request, Some(outcome::of(request.operation, &answer)));
        if used < self.inbox.len() {
            return Err("the server said more than its answer".to_owned());
        }
        self.inbox.clear();
        if answer.is_last {
            self.closing = Some("the server closes the connection");
        }
        Ok(())
    }

    /// The connection has ended, and with it an answer that had no length.
    fn ended(&mut self, ended: &mut impl FnMut(Request, Option<RequestEnd>)) -> String {
        if let Ok(Read::UntilClosed(answer)) = answer::read(&self.inbox)
            && let Some(request) = self.asking.take()
        {
            ended(request, Some(outcome::of(request.operation, &answer)));
        }
        self.why_lost("the server closed the connection")
    }
}

impl Link for Connection {
    const TOO_LATE: &'static str = "the connection was not accepted in time";

    fn open(&self) -> usize {
        usize::from(self.asking.is_some())
    }

    fn room(&self) -> usize {
        usize::from(self.asking.is_none() && self.closing.is_none())
    }

    fn oldest(&self) -> Option<&Request> {
        self.asking.as_ref()
    }

    /// Its answer may still come, so the connection goes with it.
    fn cancel_oldest(&mut self) -> Option<Request> {
        self.closing = Some("a request was given up");
        self.asking.take()
    }

    fn into_open(self) -> Vec<Request> {
        self.asking.into_iter().collect()
    }

    fn is_going_away(&self) -> bool {
        self.closing.is_some()
    }

    fn why_lost(&self, reason: &str) -> String {
        self.closing.unwrap_or(reason).to_owned()
    }

    fn flush(&mut self, cx: &mut Context) -> io::Result<()> {
        while self.sent < self.out.len() {
            match Pin::new(&mut self.socket).poll_write(cx, &self.out[self.sent..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(length)) => self.sent += length,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context,
        ended: &mut impl FnMut(Request, Option<RequestEnd>),
    ) -> Poll<Result<(), String>> {
        let filled = self.inbox.len();
        self.inbox.resize(filled + READ_LEN, 0);
        let mut room = ReadBuf::new(&mut self.inbox[filled..]);
        let read = Pin::new(&mut self.socket).poll_read(cx, &mut room);
        let length = room.filled().len();
        self.inbox.truncate(filled + length);
        ready!(read).map_err(|error| self.why_lost(&error.to_string()))?;
        if length == 0 {
            return Poll::Ready(Err(self.ended(ended)));
        }
        Poll::Ready(self.read_answer(ended))
    }
}
