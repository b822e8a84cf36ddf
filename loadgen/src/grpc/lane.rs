//! One connection and its requests. It is one task, and the replies that one read brings are
//! followed by one write with as many new requests; there are no wake-ups between tasks, and no
//! timer per request.

use super::Server;
use super::connection::Connection;
use super::outcome;
use crate::data::{Encoded, write_message};
use crate::message::OrderRequest;
use crate::run::{Operation, Port, Request, RequestEnd};
use crate::wire::{Ended, Obstacle};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
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
    port: Port,
    data: Arc<Encoded>,
    server: Server,
    /// Requests that could not be sent yet, oldest first. In a closed loop at most one per worker;
    /// in an open one they go back to the others as soon as the lane cannot send.
    waiting: VecDeque<Request>,
    /// Requests that have ended and are not recorded yet.
    ended: Vec<(Request, RequestEnd)>,
    connect_not_before: Instant,
    lost_because: String,
    /// What keeps the oldest waiting request from being sent on a connection that is there.
    held_up_by: Option<Obstacle>,
    connection: Option<Connection>,
    /// A message about an order.
    asking: Vec<u8>,
}

impl crate::run::Lane for Lane {
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

impl Lane {
    pub fn new(port: Port, data: Arc<Encoded>, server: Server) -> Self {
        Self {
            port,
            data,
            server,
            asking: Vec::new(),
            waiting: VecDeque::new(),
            ended: Vec::new(),
            connect_not_before: Instant::now(),
            lost_because: String::new(),
            held_up_by: None,
            connection: None,
        }
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
            Connection::establish(&self.server.addresses, &self.server.target),
        )
        .await
        {
            Ok(established) => established,
            // It was cut short, and an earlier attempt says more.
            Err(_) if limit == deadline && !self.lost_because.is_empty() => {
                Err(self.lost_because.clone())
            }
            Err(_) => Err("no HTTP/2 settings came in time".to_owned()),
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
    fn lost(&mut self, connection: Connection, reason: String) {
        let open = connection.session.into_open();
        self.ended
            .extend(open.map(|request| (request, RequestEnd::connection_lost(&reason))));
        self.port.disconnected(&mut self.waiting, &reason);
        self.lost_because = reason;
        self.held_up_by = None;
        let now_ns = self.port.now_ns();
        self.port.end(now_ns, &mut self.ended);
    }

    fn poll(&mut self, connection: &mut Connection, cx: &mut Context) -> Poll<Exit> {
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
                let why = connection.session.why_lost(&error.to_string());
                return Poll::Ready(Exit::Lost(why));
            }
            if connection.session.open() == 0 {
                if self.waiting.is_empty() && self.port.is_over() {
                    return Poll::Ready(Exit::Finished);
                }
                if connection.session.is_going_away() {
                    let why = connection.session.why_lost("no more requests");
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

    fn receive(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context,
    ) -> Poll<Result<(), String>> {
        let (waiting, ended) = (&mut self.waiting, &mut self.ended);
        let mut not_processed = 0;
        let read = connection.poll_receive(cx, &mut |request: Request, end: Ended| {
            match outcome::of(request.operation, end) {
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
            }
        });
        if not_processed > 0 {
            self.port.not_processed(not_processed);
        }
        read
    }

    /// Asks to be woken when the oldest request times out.
    fn look_at_oldest(&self, connection: &Connection) {
        let oldest = [connection.session.oldest(), self.waiting.front()];
        let oldest = oldest.into_iter().flatten();
        let deadline_ns = oldest.map(|request| self.port.deadline_ns(request)).min();
        self.port.look_at(deadline_ns.unwrap_or(u64::MAX));
    }

    fn expire_open(&mut self, connection: &mut Connection, now_ns: u64) {
        let abandoning = self.port.is_abandoning();
        while let Some(oldest) = connection.session.oldest() {
            let end = if self.port.deadline_ns(oldest) <= now_ns {
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

    fn send(&mut self, connection: &mut Connection, now_ns: u64) {
        let session = &mut connection.session;
        self.port.take(now_ns, session.room(), &mut self.waiting);
        let mut sent = 0;
        while let Some(next) = self.waiting.front() {
            let message = match next.operation {
                Operation::Buy { element } => self.data.message(element as usize),
                following => {
                    let (order_id, element) = self.port.asked(following);
                    let element = element as usize;
                    if let Operation::BuyAgain { .. } = following {
                        self.data.message(element)
                    } else {
                        let user_id = self.data.element(element).user_id;
                        write_message(&mut self.asking, &OrderRequest { order_id, user_id });
                        &self.asking
                    }
                }
            };
            self.held_up_by = session.obstacle(message.len());
            if self.held_up_by.is_some() {
                break;
            }
            let request = Request {
                sent_ns: Some(now_ns),
                ..*next
            };
            session.send(message, request);
            self.waiting.pop_front();
            sent += 1;
        }
        // Room for streams is none if the window is used up.
        let room = match self.waiting.is_empty() {
            true => session.room(),
            false => 0,
        };
        self.port.sent(sent, &mut self.waiting, room);
    }
}
