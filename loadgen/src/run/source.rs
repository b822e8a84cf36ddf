//! Where requests come from: the source owns arrivals. In a closed loop it is a counter that workers
//! draw from; in an open one, a schedule with the backlog of what is due and could not be sent.

mod backlog;

pub use backlog::{Backlog, Drops};

use super::request::{Operation, Request};
use super::stop::Stop;
use crate::duration::ns;
use crate::plan::{Arrival, End, LoadPlan};
use crate::schedule::due_times_ns;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub struct Source {
    kind: Kind,
    stop: Stop,
    data_len: u64,
    start_index: u64,
    /// When the run began; due times count from here. Set before any lane asks.
    started_ns: AtomicU64,
    /// The first moment at which a worker found no request left; `u64::MAX` before.
    exhausted_ns: AtomicU64,
}

#[derive(Debug)]
enum Kind {
    Closed {
        requests: u64,
        /// Since the start; `u64::MAX` if it ends by count.
        end_ns: u64,
        next: AtomicU64,
    },
    Open {
        backlog: Mutex<Backlog>,
        over: AtomicBool,
    },
}

impl Source {
    pub fn new(plan: &LoadPlan, data_len: u64, stop: Stop) -> Self {
        let kind = match &plan.arrival {
            Arrival::Closed { .. } => Kind::Closed {
                requests: match plan.end {
                    End::Count(count) => count,
                    End::Time(_) => u64::MAX,
                },
                end_ns: match plan.end {
                    End::Count(_) => u64::MAX,
                    End::Time(time) => ns(time),
                },
                next: AtomicU64::new(0),
            },
            Arrival::Open {
                shape,
                backlog_max,
                in_flight_max,
            } => {
                let backlog = Backlog::new(
                    due_times_ns(shape, plan.end, plan.seed),
                    *backlog_max as usize,
                    in_flight_max.unwrap_or(u64::MAX),
                    ns(plan.timeout),
                );
                Kind::Open {
                    over: AtomicBool::new(false),
                    backlog: Mutex::new(backlog),
                }
            }
        };
        Self {
            kind,
            stop,
            data_len,
            start_index: plan.start_index % data_len,
            started_ns: AtomicU64::new(0),
            exhausted_ns: AtomicU64::new(u64::MAX),
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.kind, Kind::Open { .. })
    }

    pub fn start_at(&self, now_ns: u64) {
        self.started_ns.store(now_ns, Ordering::Release);
    }

    pub fn started_ns(&self) -> u64 {
        self.started_ns.load(Ordering::Acquire)
    }

    /// Closed loop: the next request for a worker who is free; none when all are taken, the time is
    /// over or the run is stopping.
    pub fn draw(&self, now_ns: u64) -> Option<Request> {
        let Kind::Closed {
            requests,
            end_ns,
            next,
        } = &self.kind
        else {
            return None;
        };
        let time_is_over = *end_ns != u64::MAX && now_ns >= self.started_ns() + end_ns;
        if !time_is_over && !self.stop.is_stopping() {
            let request = next.fetch_add(1, Ordering::Relaxed);
            if request < *requests {
                return Some(self.request(request, now_ns));
            }
        }
        self.exhaust(now_ns);
        None
    }

    /// Closed loop: from now on, workers may be idle.
    pub fn exhaust(&self, now_ns: u64) {
        self.exhausted_ns.fetch_min(now_ns, Ordering::Relaxed);
    }

    /// Closed loop: until when no worker was idle; `u64::MAX` as long as none is.
    pub fn exhausted_ns(&self) -> u64 {
        self.exhausted_ns.load(Ordering::Relaxed)
    }

    /// Open loop: makes due whatever is, drops what must be dropped, and gives each waiting request
    /// to `give` for as long as that takes them. Returns when to look again; none when everything
    /// has ended.
    pub fn dispatch(&self, now_ns: u64, mut give: impl FnMut(Request) -> bool) -> Option<u64> {
        let mut backlog = self.backlog()?;
        let started_ns = self.started_ns();
        backlog.advance(now_ns - started_ns.min(now_ns), self.stop.is_stopping());
        while let Some((number, due_ns)) = backlog.next() {
            if !give(self.request(number, started_ns + due_ns)) {
                break;
            }
            backlog.take();
        }
        self.note_end(&backlog);
        let next_ns = backlog.look_again_ns(now_ns - started_ns.min(now_ns));
        (!self.is_over()).then(|| started_ns + next_ns)
    }

    /// Open loop: as many of the waiting requests as a lane has room for.
    pub fn take_waiting(&self, room: usize, mut give: impl FnMut(Request)) {
        let Some(mut backlog) = self.backlog() else {
            return;
        };
        let started_ns = self.started_ns();
        for _ in 0..room {
            let Some((number, due_ns)) = backlog.next() else {
                return;
            };
            backlog.take();
            give(self.request(number, started_ns + due_ns));
        }
    }

    /// Open loop: requests that were taken and certainly not processed wait again, at the front.
    pub fn give_back(&self, requests: impl DoubleEndedIterator<Item = Request>) {
        let Some(mut backlog) = self.backlog() else {
            return;
        };
        let started_ns = self.started_ns();
        for request in requests.rev() {
            backlog.give_back(request.due_ns - started_ns, self.number(&request));
        }
    }

    /// Open loop: so many requests have ended.
    pub fn ended(&self, count: u64) {
        if let Some(mut backlog) = self.backlog() {
            backlog.ended(count);
            self.note_end(&backlog);
        }
    }

    /// Open loop: whether everything that was due has ended.
    pub fn is_over(&self) -> bool {
        match &self.kind {
            Kind::Open { over, .. } => over.load(Ordering::Acquire),
            Kind::Closed { .. } => false,
        }
    }

    /// Requests that have begun, and of those, the open loop's that were dropped, by reason, and
    /// that wait.
    pub fn tally(&self) -> Tally {
        match &self.kind {
            Kind::Closed { requests, next, .. } => Tally {
                due: next.load(Ordering::Relaxed).min(*requests),
                ..Tally::default()
            },
            Kind::Open { .. } => self.backlog().map_or_else(Tally::default, |backlog| Tally {
                due: backlog.due(),
                waiting: backlog.waiting(),
                drops: backlog.drops(),
            }),
        }
    }

    /// Open loop: when the first request was due, and the time from there to the last that has
    /// become due, in ns.
    pub fn scheduled(&self) -> Option<(u64, u64)> {
        let backlog = self.backlog()?;
        let first_ns = self.started_ns() + backlog.first_due_ns();
        Some((first_ns, backlog.scheduled_ns()))
    }

    fn note_end(&self, backlog: &Backlog) {
        if let Kind::Open { over, .. } = &self.kind
            && backlog.is_over()
        {
            over.store(true, Ordering::Release);
        }
    }

    fn backlog(&self) -> Option<MutexGuard<'_, Backlog>> {
        match &self.kind {
            Kind::Open { backlog, .. } => {
                Some(backlog.lock().unwrap_or_else(PoisonError::into_inner))
            }
            Kind::Closed { .. } => None,
        }
    }

    fn request(&self, number: u64, due_ns: u64) -> Request {
        let element = (self.start_index + number % self.data_len) % self.data_len;
        Request {
            operation: Operation::Buy {
                element: element as u32,
            },
            due_ns,
            sent_ns: None,
        }
    }

    /// A number that gives the same element again.
    fn number(&self, request: &Request) -> u64 {
        // What follows a yes never waits here.
        let (Operation::Buy { element }
        | Operation::Cancel { order: element }
        | Operation::Pay { order: element }
        | Operation::BuyAgain { order: element }) = request.operation;
        (u64::from(element) + self.data_len - self.start_index) % self.data_len
    }
}

/// Requests as a source has counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub due: u64,
    pub waiting: u64,
    pub drops: Drops,
}
