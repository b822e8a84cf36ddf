//! What one thread has measured so far: the recorder owns outcomes, and every clock's latencies. Its
//! lock is taken once per batch of replies by the thread itself, and every few milliseconds by the
//! reporter.

mod kept;
mod operation;
mod statuses;

pub use operation::OperationRecorder;

use super::follow::AgainRecorder;
use super::request::{Operation, Request, RequestEnd};
use super::shared::Shared;
use crate::events::Sample;
use kept::{Kept, KeptRecords};
use reports::outcome_log::{Outcome, Record};
use reports::result::{HistRecorder, Outcomes};
use statuses::Statuses;

/// The kind of purchases, [`Operation::kind`].
const BUY: usize = 0;

#[derive(Debug)]
pub struct Recorder {
    /// By the kind of operation.
    pub operations: [OperationRecorder; Operation::KINDS],
    /// Open loop: real send minus intended send, of every request of the schedule that ended.
    pub lag: HistRecorder,
    /// Of purchases, by the headline clock, since the reporter last took them.
    pub interval: Interval,
    /// Since the reporter last took them.
    pub samples: Vec<Sample>,
    /// Of those that have ended, how many a server may have seen.
    pub ended_sent: u64,
    /// Taken by a worker of a closed loop, or due after a yes, and not sent because the run was told
    /// to stop; and how many of them were purchases.
    pub stopped: u64,
    pub purchases_stopped: u64,
    pub again: AgainRecorder,
    /// The earliest moment at which a request was due or taken; `u64::MAX` if none was.
    pub first_due_ns: u64,
    /// When the last purchase ended, and when the last request of any kind did.
    pub last_bought_ns: u64,
    pub last_end_ns: u64,
    /// Closed loop: how long workers had a request, in all, until the first of them found none.
    pub busy_ns: u64,
    /// Connections that were lost or could not be made, and why the last one was not.
    pub connections_lost: u64,
    pub lost_because: String,
    statuses: Statuses,
    kept: KeptRecords,
}

/// Purchases that ended within a stretch of time.
#[derive(Clone, Debug)]
pub struct Interval {
    pub counts: Outcomes,
    pub latency: HistRecorder,
}

impl Interval {
    pub fn new() -> Self {
        Self {
            counts: Outcomes::default(),
            latency: HistRecorder::coarse(),
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.latency.merge(&other.latency);
    }

    /// Forgets everything, and keeps the memory.
    pub fn reset(&mut self) {
        self.counts = Outcomes::default();
        self.latency.reset();
    }
}

impl Recorder {
    pub fn new() -> Self {
        Self {
            operations: std::array::from_fn(|_| OperationRecorder::default()),
            lag: HistRecorder::new(),
            interval: Interval::new(),
            samples: Vec::new(),
            ended_sent: 0,
            stopped: 0,
            purchases_stopped: 0,
            again: AgainRecorder::default(),
            first_due_ns: u64::MAX,
            last_bought_ns: 0,
            last_end_ns: 0,
            busy_ns: 0,
            connections_lost: 0,
            lost_because: String::new(),
            statuses: Statuses::default(),
            kept: KeptRecords::default(),
        }
    }

    /// Adds one ended request.
    pub fn record(&mut self, shared: &Shared, request: &Request, mut end: RequestEnd, now_ns: u64) {
        let (asked_order_id, index) = shared.asked(request.operation);
        let element = shared.element(index);
        let (kind, follows) = (request.operation.kind(), request.operation.follows());
        let buys = kind == BUY;
        if buys && end.outcome == Outcome::Accepted {
            let is_old = follows && end.order_id == asked_order_id;
            if is_old || shared.was_told(index, end.order_id) {
                end.outcome = Outcome::Duplicate;
            }
        }
        let operation = &mut self.operations[kind];
        if buys && end.outcome == Outcome::Accepted {
            let accepted = operation.counts.accepted;
            if shared.report && accepted.is_multiple_of(shared.sample_every) {
                self.samples
                    .push((end.order_id, shared.clock.unix_us(now_ns)));
            }
            operation.units_accepted += element.quantity as u64;
        }
        operation.record(end.outcome, request, now_ns);
        if buys {
            self.last_bought_ns = self.last_bought_ns.max(now_ns);
            count(&mut self.interval.counts, end.outcome);
            let headline_ns = now_ns.saturating_sub(request.due_ns);
            self.interval.latency.record_ns(headline_ns);
        }
        self.first_due_ns = self.first_due_ns.min(request.due_ns);
        self.last_end_ns = self.last_end_ns.max(now_ns);
        if let Some(sent_ns) = request.sent_ns {
            self.ended_sent += 1;
            if shared.source.is_open() && !follows {
                self.lag.record_ns(sent_ns.saturating_sub(request.due_ns));
            }
        }
        if !follows {
            self.busy(shared, request, now_ns);
        }
        if let Some(follow) = &shared.follow {
            follow.after(request, &end, now_ns, &mut self.again);
        }
        if shared.keep_outcomes {
            self.kept.push(Kept::new(request, &end, now_ns));
        }
        self.statuses.count(kind, end);
    }

    /// Closed loop: a worker had taken a request that is not sent any more.
    pub fn drop_stopped(&mut self, shared: &Shared, request: &Request, now_ns: u64) {
        self.stopped += 1;
        self.purchases_stopped += 1;
        self.busy(shared, request, now_ns);
    }

    pub fn connection_lost(&mut self, reason: &str) {
        self.connections_lost += 1;
        if self.lost_because != reason {
            reason.clone_into(&mut self.lost_because);
        }
    }

    fn busy(&mut self, shared: &Shared, request: &Request, now_ns: u64) {
        let until_ns = now_ns.min(shared.source.exhausted_ns());
        self.busy_ns += until_ns.saturating_sub(request.due_ns);
    }

    /// Status distribution as `(label, count)`.
    pub fn statuses(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        self.statuses.iter()
    }

    /// Records for the outcome log, if they were kept.
    pub fn outcomes<'a>(&'a self, shared: &'a Shared) -> impl Iterator<Item = Record> + 'a {
        self.kept.iter().map(|kept| kept.record(shared))
    }
}

pub fn count(counts: &mut Outcomes, outcome: Outcome) {
    match outcome {
        Outcome::Accepted => counts.accepted += 1,
        Outcome::Refused => counts.refused += 1,
        Outcome::Duplicate => counts.duplicate += 1,
        Outcome::Error => counts.error += 1,
        Outcome::Unknown => counts.unknown += 1,
    }
}
