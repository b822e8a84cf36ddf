//! One connection and its requests, whatever the protocol. It is one task, and the replies that one
//! read brings are followed by one write with as many new requests; there are no wake-ups between
//! tasks, and no timer per request.

use crate::run::{Port, Request, RequestEnd};
use std::collections::VecDeque;
use std::fmt::{Debug, Display};
use std::future::{Future, poll_fn};
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Shortest time from one connection attempt to the next.
const CONNECT_EVERY: Duration = Duration::from_millis(50);
/// Longest time that a single attempt may take, until the server's settings have arrived.
const CONNECT_ATTEMPT_MAX: Duration = Duration::from_secs(1);

/// How a lane connects, and how a request looks on its connection.
pub trait Protocol: Debug + Send + 'static {
    type Link: Link;
    /// What keeps a request from being sent on a connection that is there.
    type Obstacle: Copy + Debug + Display + Send;

    /// A connection on which requests can be sent.
    fn connect(&self) -> impl Future<Output = Result<Self::Link, String>> + Send;

    /// Hands a request to the connection, which keeps it until it ends.
    fn send(
        &mut self,
        link: &mut Self::Link,
        request: Request,
        port: &Port,
    ) -> Result<(), Self::Obstacle>;
}

/// One connection, with the requests that are open on it.
pub trait Link: Debug + Send + 'static {
    /// Why there is no connection when none was there in time.
    const TOO_LATE: &'static str;

    /// Requests under way.
    fn open(&self) -> usize;
    /// How many more can be sent now.
    fn room(&self) -> usize;
    /// The request that has been under way the longest.
    fn oldest(&self) -> Option<&Request>;
    /// Gives that up.
    fn cancel_oldest(&mut self) -> Option<Request>;
    /// Whatever is under way when the connection is lost, from the first to the last.
    fn into_open(self) -> Vec<Request>;
    /// Whether nothing more can be sent on it.
    fn is_going_away(&self) -> bool;
    /// What the server said about its end, or this reason.
    fn why_lost(&self, reason: &str) -> String;
    /// Sends as much as the socket takes; the rest is sent when it is writable again.
    fn flush(&mut self, cx: &mut Context) -> io::Result<()>;
    /// Reads once and reports which requests have ended, and how; without an end, the server
    /// certainly did not process the request. These are reported from the last to the first. An
    /// error says why the connection can no longer be used.
    fn poll_receive(
        &mut self,
        cx: &mut Context,
        ended: &mut impl FnMut(Request, Option<RequestEnd>),
    ) -> Poll<Result<(), String>>;
}

enum Exit {
    Finished,
    Lost(String),
}

#[derive(Debug)]
pub struct Lane<P: Protocol> {
    port: Port,
    protocol: P,
    /// Requests that could not be sent yet, oldest first. In a closed loop at most one per worker;
    /// in an open one they go back to the others as soon as the lane cannot send.
    waiting: VecDeque<Request>,
    /// Requests that have ended and are not recorded yet.
    ended: Vec<(Request, RequestEnd)>,
    connect_not_before: Instant,
    lost_because: String,
    /// What keeps the oldest waiting request from being sent on a connection that is there.
    held_up_by: Option<P::Obstacle>,
    connection: Option<P::Link>,
}

impl<P: Protocol> crate::run::Lane for Lane<P> {
    async fn connect_first(&mut self, deadline: Instant) -> Result<(), String> {
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

    async fn run(mut self) {
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
        self.port.leave();
    }
}

impl<P: Protocol> Lane<P> {
    pub fn new(port: Port, protocol: P) -> Self {
        Self {
            port,
            protocol,
            waiting: VecDeque::new(),
            ended: Vec::new(),
            connect_not_before: Instant::now(),
            lost_because: String::new(),
            held_up_by: None,
            connection: None,
        }
    }

    async fn attempt(&mut self, deadline: Instant) -> Result<P::Link, String> {
        sleep_until(self.connect_not_before.min(deadline)).await;
        let now = Instant::now();
        if now >= deadline {
            return Err(self.lost_because.clone());
        }
        self.connect_not_before = now + CONNECT_EVERY;
        let limit = deadline.min(now + CONNECT_ATTEMPT_MAX);
        match timeout_at(limit, self.protocol.connect()).await {
            Ok(established) => established,
            // It was cut short, and an earlier attempt says more.
            Err(_) if limit == deadline && !self.lost_because.is_empty() => {
                Err(self.lost_because.clone())
            }
            Err(_) => Err(P::Link::TOO_LATE.to_owned()),
        }
    }

    /// Makes a new connection, for which a closed loop's requests wait until their time-out. `false`
    /// if nothing is left to send.
    async fn reconnect(&mut self) -> bool {
        loop {
            let now_ns = self.port.now_ns();
            self.expire_waiting(now_ns);
            self.port.end(now_ns, &mut self.ended);
            if !self.port.is_open_loop() {
                self.port.take(now_ns, 0, &mut self.waiting);
            }
            let deadline = match self.waiting.front() {
                Some(oldest) => self.port.instant(self.port.deadline_ns(oldest)).into(),
                None if self.port.is_over() => return false,
                None => Instant::now() + CONNECT_ATTEMPT_MAX,
            };
            match self.attempt(deadline).await {
                Ok(connection) => {
                    self.connection = Some(connection);
                    return true;
                }
                Err(reason) => {
                    if reason != self.lost_because {
                        self.port.disconnected(&mut self.waiting, &reason);
                    }
                    self.lost_because = reason;
                }
            }
        }
    }

    /// The outcome of every request open on a lost connection is unknown, because it may have
    /// reached the server.
    fn lost(&mut self, connection: P::Link, reason: String) {
        let open = connection.into_open().into_iter();
        self.ended
            .extend(open.map(|request| (request, RequestEnd::connection_lost(&reason))));
        self.port.disconnected(&mut self.waiting, &reason);
        self.lost_because = reason;
        self.held_up_by = None;
        let now_ns = self.port.now_ns();
        self.port.end(now_ns, &mut self.ended);
    }

    fn poll(&mut self, connection: &mut P::Link, cx: &mut Context) -> Poll<Exit> {
        self.port.register(cx.waker());
        loop {
            let now_ns = self.port.now_ns();
            self.expire_open(connection, now_ns);
            self.expire_waiting(now_ns);
            self.port.end(now_ns, &mut self.ended);
            self.send(connection, now_ns);
            if let Err(error) = connection.flush(cx) {
                // What the server said before it hung up counts all the same.
                while let Poll::Ready(Ok(())) = self.receive(connection, cx) {}
                self.port.end(now_ns, &mut self.ended);
                let why = connection.why_lost(&error.to_string());
                return Poll::Ready(Exit::Lost(why));
            }
            if connection.open() == 0 {
                if self.waiting.is_empty() && self.port.is_over() {
                    return Poll::Ready(Exit::Finished);
                }
                if connection.is_going_away() {
                    let why = connection.why_lost("no more requests");
                    return Poll::Ready(Exit::Lost(why));
                }
            }
            match self.receive(connection, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(reason)) => {
                    let now_ns = self.port.now_ns();
                    self.port.end(now_ns, &mut self.ended);
                    return Poll::Ready(Exit::Lost(reason));
                }
                Poll::Pending => {
                    self.look_at_oldest(connection);
                    return Poll::Pending;
                }
            }
        }
    }

    fn receive(&mut self, connection: &mut P::Link, cx: &mut Context) -> Poll<Result<(), String>> {
        let (waiting, ended) = (&mut self.waiting, &mut self.ended);
        let mut not_processed = 0;
        let read = connection.poll_receive(cx, &mut |request: Request, end| match end {
            Some(end) => ended.push((request, end)),
            // These are reported from the last to the first, so pushing each of them to the
            // front keeps their order, before anything newer.
            None => {
                not_processed += 1;
                waiting.push_front(Request {
                    sent_ns: None,
                    ..request
                });
            }
        });
        if not_processed > 0 {
            self.port.not_processed(not_processed);
        }
        read
    }

    /// Asks to be woken when the oldest request times out.
    fn look_at_oldest(&self, connection: &P::Link) {
        let oldest = [connection.oldest(), self.waiting.front()];
        let oldest = oldest.into_iter().flatten();
        let deadline_ns = oldest.map(|request| self.port.deadline_ns(request)).min();
        self.port.look_at(deadline_ns.unwrap_or(u64::MAX));
    }

    fn expire_open(&mut self, connection: &mut P::Link, now_ns: u64) {
        let abandoning = self.port.is_abandoning();
        while let Some(oldest) = connection.oldest() {
            let end = if self.port.deadline_ns(oldest) <= now_ns {
                RequestEnd::timed_out()
            } else if abandoning {
                RequestEnd::abandoned()
            } else {
                return;
            };
            let Some(request) = connection.cancel_oldest() else {
                return;
            };
            self.ended.push((request, end));
        }
    }

    /// A closed loop's requests end here if no connection took them in time. An open loop's wait
    /// elsewhere.
    fn expire_waiting(&mut self, now_ns: u64) {
        if self.port.is_open_loop() {
            return;
        }
        if self.port.is_stopping() {
            self.port.drop_stopped(now_ns, &mut self.waiting);
        }
        while let Some(oldest) = self
            .waiting
            .pop_front_if(|oldest| self.port.deadline_ns(oldest) <= now_ns)
        {
            let held_up_by = self.held_up_by.map(|obstacle| obstacle.to_string());
            let reason = held_up_by.as_ref().unwrap_or(&self.lost_because);
            self.ended.push((oldest, RequestEnd::not_sent(reason)));
        }
    }

    fn send(&mut self, connection: &mut P::Link, now_ns: u64) {
        self.port.take(now_ns, connection.room(), &mut self.waiting);
        let mut sent = 0;
        self.held_up_by = None;
        while let Some(next) = self.waiting.front() {
            let request = Request {
                sent_ns: Some(now_ns),
                ..*next
            };
            if let Err(obstacle) = self.protocol.send(connection, request, &self.port) {
                self.held_up_by = Some(obstacle);
                break;
            }
            self.waiting.pop_front();
            sent += 1;
        }
        // Room for streams is none if the window is used up.
        let room = match self.waiting.is_empty() {
            true => connection.room(),
            false => 0,
        };
        self.port.sent(sent, &mut self.waiting, room);
    }
}
