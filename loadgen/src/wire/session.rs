//! One client connection: turns requests into bytes to send, and bytes received into replies. It
//! keeps to the peer's settings (streams, windows), answers PING and SETTINGS, and says of every
//! request whether the server may have processed it.

mod receive;
mod request_block;
#[cfg(test)]
mod tests;

use super::error::{Obstacle, error_name};
use super::frame::{self, FLAG_END_HEADERS, FLAG_END_STREAM};
use super::hpack::Decoder;
use request_block::RequestBlock;
pub use request_block::Target;
use std::collections::VecDeque;

/// Receive window of the connection and of every stream, in bytes; topped up when half of it is
/// used.
const RECEIVE_WINDOW: u32 = 32 << 20;
/// The protocol's window before anything is announced, in bytes.
const DEFAULT_WINDOW: i64 = 65_535;
/// The last stream id that may be opened; the connection is then replaced.
const STREAM_ID_LAST: u32 = (1 << 31) - 1;

/// A reply, as much of it as has arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// 0 until headers arrive.
    pub http_status: u16,
    pub grpc_status: Option<u32>,
    pub grpc_message: String,
    /// gRPC prefix and message.
    pub body: Vec<u8>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The server closed the stream in good order.
    Replied(Reply),
    /// The server is closing the connection and never looked at this request, which may be sent
    /// again on another connection.
    NotProcessed,
    /// The server gave up the stream, with this HTTP/2 error code.
    Reset(u32),
}

#[derive(Debug)]
struct Stream<T> {
    tag: T,
    reply: Reply,
    /// Bytes of DATA so far, padding included.
    received: usize,
}

/// State of one connection. `T` is whatever the caller wants back with the end of a request.
#[derive(Debug)]
pub struct Session<T> {
    /// Bytes to send, in order; the caller takes them away from the front.
    pub out: Vec<u8>,
    block: RequestBlock,
    decoder: Decoder,
    /// Streams `first_id`, `first_id + 2`, …; `None` for one that has ended. The front is never
    /// `None`.
    streams: VecDeque<Option<Stream<T>>>,
    first_id: u32,
    open: usize,
    streams_max: usize,
    send_window: i64,
    /// What a new stream begins with.
    stream_window: i64,
    /// Rest of the newest request's message, for which there was no window. No other request is
    /// ever partly sent, so only the newest stream's window is looked after. It may be negative.
    unsent: Vec<u8>,
    newest_window: i64,
    received_unacknowledged: u32,
    /// Bytes of answers to PING and SETTINGS since `out` was last empty.
    answers_len: usize,
    has_settings: bool,
    /// Code and debug data of the last GOAWAY, in words.
    going_away: Option<String>,
    /// Header block that continues in the next frame: stream, flags of its HEADERS frame, bytes so
    /// far.
    partial_block: Option<(u32, u8, Vec<u8>)>,
}

impl<T> Session<T> {
    /// A fresh connection whose preface is ready to be sent.
    pub fn new(target: &Target) -> Self {
        let mut out = Vec::with_capacity(1_024);
        out.extend_from_slice(frame::PREFACE);
        let settings = [
            (frame::SETTING_ENABLE_PUSH, 0),
            (frame::SETTING_INITIAL_WINDOW_SIZE, RECEIVE_WINDOW),
        ];
        frame::write_settings(&mut out, &settings);
        frame::write_window_update(&mut out, 0, RECEIVE_WINDOW - DEFAULT_WINDOW as u32);
        Self {
            out,
            block: RequestBlock::new(target),
            decoder: Decoder::default(),
            streams: VecDeque::new(),
            first_id: 1,
            open: 0,
            streams_max: usize::MAX,
            send_window: DEFAULT_WINDOW,
            stream_window: DEFAULT_WINDOW,
            unsent: Vec::new(),
            newest_window: 0,
            received_unacknowledged: 0,
            answers_len: 0,
            has_settings: false,
            going_away: None,
            partial_block: None,
        }
    }

    /// Whether the server's settings have arrived. Nothing may be sent before.
    pub fn has_settings(&self) -> bool {
        self.has_settings
    }

    /// Whether this connection takes no further requests; once none is open it should be replaced.
    pub fn is_going_away(&self) -> bool {
        self.going_away.is_some() || self.next_id() > STREAM_ID_LAST
    }

    /// Why it takes none, if it does not: the code and the debug data of the server's GOAWAY.
    pub fn why_going_away(&self) -> Option<&str> {
        let used_up = (self.next_id() > STREAM_ID_LAST).then_some("all stream ids are used up");
        self.going_away.as_deref().or(used_up)
    }

    /// Why the connection is lost: `reason`, and what the server had announced before.
    pub fn why_lost(&self, reason: &str) -> String {
        match self.why_going_away() {
            Some(why) => format!("{reason} after {why}"),
            None => reason.to_owned(),
        }
    }

    /// How many requests were sent and have not ended.
    pub fn open(&self) -> usize {
        self.open
    }

    /// How many more requests may be sent now, as far as their messages fit into the window.
    pub fn room(&self) -> usize {
        match self.obstacle(0) {
            None => self.streams_max - self.open,
            Some(_) => 0,
        }
    }

    /// Whether a message of this length may be sent now.
    pub fn can_send(&self, length: usize) -> bool {
        self.obstacle(length).is_none()
    }

    /// What keeps a message of this length from being sent now.
    pub fn obstacle(&self, length: usize) -> Option<Obstacle> {
        if !self.has_settings {
            Some(Obstacle::NoSettings)
        } else if self.is_going_away() {
            Some(Obstacle::GoingAway)
        } else if self.open >= self.streams_max {
            Some(Obstacle::StreamLimit)
        } else if !self.unsent.is_empty() {
            Some(Obstacle::Window)
        } else {
            (length > frame::PAYLOAD_MAX).then_some(Obstacle::TooLong)
        }
    }

    /// Appends a request to `out`, as much of it as the windows take; the rest follows when the
    /// server widens them. The caller must have asked [`Session::can_send`].
    pub fn send(&mut self, message: &[u8], tag: T) {
        debug_assert!(self.can_send(message.len()));
        let id = self.next_id();
        frame::write(
            &mut self.out,
            frame::HEADERS,
            FLAG_END_HEADERS,
            id,
            self.block.next(),
        );
        self.streams.push_back(Some(Stream {
            tag,
            reply: Reply::default(),
            received: 0,
        }));
        self.open += 1;
        let length = message.len() as i64;
        self.newest_window = self.stream_window;
        if length <= self.send_window.min(self.newest_window) {
            frame::write(&mut self.out, frame::DATA, FLAG_END_STREAM, id, message);
            self.send_window -= length;
            self.newest_window -= length;
        } else {
            self.unsent.extend_from_slice(message);
            self.send_rest();
        }
    }

    /// Sends what the windows take of the newest request.
    fn send_rest(&mut self) {
        let window = self.send_window.min(self.newest_window).max(0) as usize;
        let length = window.min(self.unsent.len());
        if length == 0 {
            return;
        }
        let id = self.next_id() - 2;
        let last = length == self.unsent.len();
        let flags = if last { FLAG_END_STREAM } else { 0 };
        // At most a message, which fits into one frame.
        frame::write(
            &mut self.out,
            frame::DATA,
            flags,
            id,
            &self.unsent[..length],
        );
        self.unsent.drain(..length);
        self.send_window -= length as i64;
        self.newest_window -= length as i64;
    }

    /// The request that was sent first of those still open.
    pub fn oldest(&self) -> Option<&T> {
        self.streams.front()?.as_ref().map(|stream| &stream.tag)
    }

    /// Gives up the oldest request and tells the server so.
    pub fn cancel_oldest(&mut self) -> Option<T> {
        let id = self.first_id;
        let tag = self.end(id)?.tag;
        frame::write_reset(&mut self.out, id, frame::ERROR_CANCEL);
        Some(tag)
    }

    /// Everything still open, oldest first, for a connection that is lost.
    pub fn into_open(self) -> impl Iterator<Item = T> {
        self.streams.into_iter().flatten().map(|stream| stream.tag)
    }

    fn next_id(&self) -> u32 {
        self.first_id + 2 * self.streams.len() as u32
    }

    fn is_newest(&self, id: u32) -> bool {
        id + 2 == self.next_id()
    }

    fn stream_mut(&mut self, id: u32) -> Option<&mut Stream<T>> {
        let index = position(self.first_id, id)?;
        self.streams.get_mut(index)?.as_mut()
    }

    /// Takes a stream out, and the ended ones before the next open one with it.
    fn end(&mut self, id: u32) -> Option<Stream<T>> {
        let index = position(self.first_id, id)?;
        let stream = self.streams.get_mut(index)?.take()?;
        self.open -= 1;
        if self.is_newest(id) {
            self.unsent.clear();
        }
        while let Some(None) = self.streams.front() {
            self.streams.pop_front();
            self.first_id += 2;
        }
        Some(stream)
    }
}

fn position(first_id: u32, id: u32) -> Option<usize> {
    (id % 2 == 1)
        .then(|| id.checked_sub(first_id))
        .flatten()
        .map(|distance| distance as usize / 2)
}
