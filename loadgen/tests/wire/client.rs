//! A session with its byte stream: whole reads and writes for real servers, pieces of random
//! lengths for the randomised tests.

use loadgen::wire::{Ended, Session, Target};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub const PATH: &str = "/seckill.SeckillService/ExecuteSeckill";

/// As the driver has it: more than a frame.
pub const INBOX_LEN: usize = 32 << 10;

pub struct Client<S> {
    pub session: Session<u32>,
    /// All bytes that came, in order.
    pub received: Vec<u8>,
    socket: S,
    inbox: Vec<u8>,
    filled: usize,
    pieces: Option<SmallRng>,
    /// Writing failed; what the server said before is still read.
    deaf: bool,
}

pub fn target(authority: &str) -> Target {
    Target::new(authority, PATH, 20_000).expect("short")
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub fn new(socket: S, authority: &str, pieces: Option<u64>) -> Self {
        Self {
            session: Session::new(&target(authority)),
            received: Vec::new(),
            socket,
            inbox: vec![0; INBOX_LEN],
            filled: 0,
            pieces: pieces.map(SmallRng::seed_from_u64),
            deaf: false,
        }
    }

    /// Writes what the socket takes and reads once. An error says why the connection is lost.
    pub async fn step(&mut self, ended: &mut impl FnMut(u32, Ended)) -> Result<(), String> {
        poll_fn(|cx| {
            self.poll_write(cx);
            self.poll_read(cx, ended)
        })
        .await
        .map_err(|reason| self.session.why_lost(&reason))
    }

    /// Hangs up and returns what was open.
    pub fn into_open(self) -> impl Iterator<Item = u32> {
        self.session.into_open()
    }

    fn piece(&mut self, whole: usize) -> usize {
        let Some(random) = &mut self.pieces else {
            return whole;
        };
        if whole < 2 || random.random_bool(0.5) {
            return whole;
        }
        let most = if random.random_bool(0.5) { 20 } else { whole };
        random.random_range(1..=most.min(whole))
    }

    fn poll_write(&mut self, cx: &mut Context) {
        while !self.session.out.is_empty() && !self.deaf {
            let length = self.piece(self.session.out.len());
            let bytes = &self.session.out[..length];
            match Pin::new(&mut self.socket).poll_write(cx, bytes) {
                Poll::Ready(Ok(written)) => drop(self.session.out.drain(..written)),
                Poll::Ready(Err(_)) => self.deaf = true,
                Poll::Pending => return,
            }
        }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context,
        ended: &mut impl FnMut(u32, Ended),
    ) -> Poll<Result<(), String>> {
        let room = self.piece(INBOX_LEN - self.filled);
        let mut room = ReadBuf::new(&mut self.inbox[self.filled..][..room]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut room))
            .map_err(|error| error.to_string())?;
        let new = room.filled();
        if new.is_empty() {
            return Poll::Ready(Err("end of file".to_owned()));
        }
        self.received.extend_from_slice(new);
        self.filled += new.len();
        let used = self
            .session
            .receive(&self.inbox[..self.filled], ended)
            .map_err(|error| error.to_string())?;
        self.inbox.copy_within(used..self.filled, 0);
        self.filled -= used;
        Poll::Ready(Ok(()))
    }
}

/// Sends what is to do, several at once as far as the server allows, until everything has ended or
/// the server closes the connection in good order; what it never looked at is to do again.
pub async fn call_all<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    messages: &[Vec<u8>],
    todo: &mut VecDeque<u32>,
    ends: &mut [Option<Ended>],
) -> Result<(), String> {
    loop {
        while let Some(tag) = todo.front().copied()
            && let message = &messages[tag as usize]
            && client.session.can_send(message.len())
        {
            client.session.send(message, tag);
            todo.pop_front();
        }
        if client.session.open() == 0 && (todo.is_empty() || client.session.is_going_away()) {
            return Ok(());
        }
        let set = &mut |tag: u32, end| {
            if end == Ended::NotProcessed {
                return todo.push_front(tag);
            }
            let known = ends[tag as usize].replace(end);
            assert_eq!(known, None, "request {tag} ended twice");
        };
        client.step(set).await?;
    }
}
