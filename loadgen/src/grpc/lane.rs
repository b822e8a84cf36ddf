//! One connection and its workers. A worker is nothing but the right to have one request open on
//! this connection. So a connection is one task, and the replies that one read brings are followed
//! by one write with as many new requests; there are no wake-ups between tasks, and no timer per
//! request.

mod alarm;
mod connection;

pub use alarm::Alarm;
use connection::Connection;

use super::outcome::RequestEnd;
use super::recorder::{Recorder, Request};
use super::shared::Shared;
use crate::wire::Ended;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Shortest time from one connection attempt to the next.
const CONNECT_EVERY: Duration = Duration::from_millis(50);
/// Longest time that a single attempt may take, until the server's settings have arrived.
const CONNECT_ATTEMPT_MAX: Duration = Duration::from_secs(1);

enum Exit {
    Finished,
    Lost(String),
}

#[derive(Debug)]
pub struct Lane {
    shared: Arc<Shared>,
    recorder: Arc<Mutex<Recorder>>,
    alarm: Arc<Alarm>,
    addresses: Arc<[SocketAddr]>,
    /// Workers without a request.
    idle: u32,
    /// Requests that could not be sent yet, oldest first; at most one per worker.
    waiting: VecDeque<Request>,
    /// Requests that have ended and are not recorded yet.
    ended: Vec<(Request, RequestEnd)>,
    exhausted: bool,
    connect_not_before: Instant,
    lost_because: String,
    connection: Option<Connection>,
}

impl Lane {
    pub fn new(
        shared: Arc<Shared>,
        recorder: Arc<Mutex<Recorder>>,
        addresses: Arc<[SocketAddr]>,
        workers: u32,
    ) -> Self {
        Self {
            shared,
            recorder,
            alarm: Arc::default(),
            addresses,
            idle: workers,
            waiting: VecDeque::new(),
            ended: Vec::new(),
            exhausted: false,
            connect_not_before: Instant::now(),
            lost_because: String::new(),
            connection: None,
        }
    }

    pub fn alarm(&self) -> Arc<Alarm> {
        Arc::clone(&self.alarm)
    }

    /// Connects before the run, retrying until the deadline.
    pub async fn connect_first(&mut self, deadline: Instant) -> Result<(), String> {
        loop {
            match self.attempt(deadline).await {
                Ok(connection) => {
                    self.connection = Some(connection);
                    return Ok(());
                }
                Err(reason) if Instant::now() + CONNECT_EVERY >= deadline => return Err(reason),
                Err(reason) => self.lost_because = reason,
            }
        }
    }

    /// Sends and receives until the run has no more requests for this connection.
    pub async fn run(mut self) {
        loop {
            if let Some(mut connection) = self.connection.take() {
                match poll_fn(|cx| self.poll(&mut connection, cx)).await {
                    Exit::Finished => break,
                    Exit::Lost(reason) => self.lost(connection, reason),
                }
            }
            if !self.reconnect().await {
                break;
            }
        }
        self.alarm.disarm();
    }

    async fn attempt(&mut self, deadline: Instant) -> Result<Connection, String> {
        sleep_until(self.connect_not_before.min(deadline)).await;
        let now = Instant::now();
        if now >= deadline {
            return Err(self.lost_because.clone());
        }
        self.connect_not_before = now + CONNECT_EVERY;
        let limit = deadline.min(now + CONNECT_ATTEMPT_MAX);
        match timeout_at(
            limit,
            Connection::establish(&self.addresses, &self.shared.target),
        )
        .await
        {
            Ok(established) => established,
            Err(_) => Err("no HTTP/2 settings came in time".to_owned()),
        }
    }

    /// Makes a new connection, for which requests wait until their time-out. `false` if nothing is
    /// left to send.
    async fn reconnect(&mut self) -> bool {
        loop {
            let now_us = self.shared.clock.now_us();
            self.expire_waiting(now_us);
            self.record_ended(now_us);
            self.draw_into_waiting(now_us);
            let Some(oldest) = self.waiting.front() else {
                return false;
            };
            let deadline = self
                .shared
                .clock
                .instant(oldest.drawn_us + self.shared.timeout_us);
            match self.attempt(deadline.into()).await {
                Ok(connection) => {
                    self.connection = Some(connection);
                    return true;
                }
                Err(reason) => self.lost_because = reason,
            }
        }
    }

    /// The outcome of every request open on a lost connection is unknown, because it may have
    /// reached the server.
    fn lost(&mut self, connection: Connection, reason: String) {
        self.ended.extend(
            connection
                .session
                .into_open()
                .map(|request| (request, RequestEnd::connection_lost(&reason))),
        );
        self.lost_because = reason;
        self.record_ended(self.shared.clock.now_us());
    }

    fn poll(&mut self, connection: &mut Connection, cx: &mut Context) -> Poll<Exit> {
        self.alarm.register(cx.waker());
        loop {
            let now_us = self.shared.clock.now_us();
            self.expire_open(connection, now_us);
            self.expire_waiting(now_us);
            self.record_ended(now_us);
            self.send(connection, now_us);
            if let Err(error) = connection.flush(cx) {
                let why = connection.session.why_lost(&error.to_string());
                return Poll::Ready(Exit::Lost(why));
            }
            if connection.session.open() == 0 {
                if self.exhausted && self.waiting.is_empty() {
                    return Poll::Ready(Exit::Finished);
                }
                if connection.session.is_going_away() {
                    let why = connection.session.why_lost("no more requests");
                    return Poll::Ready(Exit::Lost(why));
                }
            }
            let (waiting, ended) = (&mut self.waiting, &mut self.ended);
            let read =
                connection.poll_receive(
                    cx,
                    &mut |request: Request, end: Ended| match RequestEnd::of(end) {
                        Some(end) => ended.push((request, end)),
                        // These are reported from the last to the first, so pushing each of them to
                        // the front keeps their order, before anything newer.
                        None => waiting.push_front(Request {
                            sent_us: None,
                            ..request
                        }),
                    },
                );
            match read {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(reason)) => {
                    self.record_ended(self.shared.clock.now_us());
                    return Poll::Ready(Exit::Lost(reason));
                }
                Poll::Pending => {
                    self.arm(connection);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Sets the alarm to the moment when the oldest request times out.
    fn arm(&self, connection: &Connection) {
        let oldest = [connection.session.oldest(), self.waiting.front()];
        let oldest_us = oldest
            .into_iter()
            .flatten()
            .map(|request| request.drawn_us)
            .min();
        self.alarm
            .arm(oldest_us.map_or(u64::MAX, |drawn_us| drawn_us + self.shared.timeout_us));
    }

    fn expire_open(&mut self, connection: &mut Connection, now_us: u64) {
        let abandoning = self.shared.stop.is_abandoning();
        while let Some(oldest) = connection.session.oldest() {
            let end = if oldest.drawn_us + self.shared.timeout_us <= now_us {
                RequestEnd::timed_out()
            } else if abandoning {
                RequestEnd::abandoned()
            } else {
                return;
            };
            let Some(request) = connection.session.cancel_oldest() else {
                return;
            };
            self.ended.push((request, end));
        }
    }

    fn expire_waiting(&mut self, now_us: u64) {
        if self.shared.stop.is_stopping() {
            // A worker has taken these, but they were never sent, so they count as never begun.
            self.waiting.clear();
            self.exhausted = true;
        }
        while let Some(oldest) = self
            .waiting
            .pop_front_if(|oldest| oldest.drawn_us + self.shared.timeout_us <= now_us)
        {
            self.ended
                .push((oldest, RequestEnd::not_sent(&self.lost_because)));
        }
    }

    /// Records the requests that ended, and frees their workers.
    fn record_ended(&mut self, now_us: u64) {
        if self.ended.is_empty() {
            return;
        }
        self.idle += self.ended.len() as u32;
        let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        for (request, end) in self.ended.drain(..) {
            recorder.record(&self.shared, &request, end, now_us);
        }
    }

    fn send(&mut self, connection: &mut Connection, now_us: u64) {
        self.draw_into_waiting(now_us);
        let shared = &self.shared;
        let session = &mut connection.session;
        while let Some(request) = self
            .waiting
            .pop_front_if(|next| session.can_send(shared.message(next.index as usize).len()))
        {
            session.send(
                shared.message(request.index as usize),
                Request {
                    sent_us: Some(now_us),
                    ..request
                },
            );
        }
    }

    fn draw_into_waiting(&mut self, now_us: u64) {
        while self.idle > 0 && !self.exhausted {
            match self.shared.draw() {
                Some(index) => {
                    self.idle -= 1;
                    self.waiting.push_back(Request {
                        index: index as u32,
                        drawn_us: now_us,
                        sent_us: None,
                    });
                }
                None => self.exhausted = true,
            }
        }
    }
}
