//! What one thread has measured so far. Its lock is taken once per batch of replies by the thread
//! itself, and every few milliseconds by the reporter.

use super::outcome::RequestEnd;
use super::shared::Shared;
use crate::events::Sample;
use hdrhistogram::Histogram;
use reports::model::OutcomeCounts;
use reports::outcome_log::{Operation, Outcome, Record, Refusal};

/// Longest latency that is told apart. A longer one, which a time-out noticed a few ms late can be,
/// counts as this.
const LATENCY_MAX_US: u64 = 60_000_000;
const LATENCY_DIGITS: u8 = 3;
/// For the running display only.
const INTERVAL_DIGITS: u8 = 2;
/// Stands for "never sent" where a time counts from the draw.
const NEVER_US: u32 = u32::MAX;
/// Most entries in the status distribution of a thread; beyond that, statuses are counted by their
/// label, without details.
const STATUSES_MAX: usize = 32;

/// A request that a worker has taken.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub index: u32,
    pub drawn_us: u64,
    pub sent_us: Option<u64>,
}

/// What the outcome log needs of a request; 32 bytes.
#[derive(Clone, Copy, Debug)]
struct Kept {
    order_id: i64,
    drawn_us: u64,
    /// Counted from the draw; [`NEVER_US`] if it was never sent.
    sent_after_us: u32,
    /// Counted from the draw.
    ended_after_us: u32,
    index: u32,
    outcome: Outcome,
    refusal: Option<Refusal>,
}

/// Label, detail, count.
type Status = (&'static str, String, u64);

#[derive(Debug)]
pub struct Recorder {
    pub counts: OutcomeCounts,
    pub accepted_units: u64,
    pub latency: Histogram<u64>,
    /// Latencies since the reporter last took them.
    pub interval: Histogram<u64>,
    /// Since the reporter last took them.
    pub samples: Vec<Sample>,
    pub first_send_us: Option<u64>,
    pub last_end_us: u64,
    statuses: Vec<Status>,
    kept: Vec<Kept>,
    reports: bool,
}

impl Recorder {
    pub fn new(reports: bool) -> Self {
        Self {
            counts: OutcomeCounts::default(),
            accepted_units: 0,
            latency: latency_histogram(),
            interval: interval_histogram(),
            samples: Vec::new(),
            first_send_us: None,
            last_end_us: 0,
            statuses: Vec::new(),
            kept: Vec::new(),
            reports,
        }
    }

    /// Adds one ended request.
    pub fn record(&mut self, shared: &Shared, request: &Request, mut end: RequestEnd, now_us: u64) {
        let element = shared.element(request.index as usize);
        if end.outcome == Outcome::Accepted && shared.was_told(element.user_id, end.order_id) {
            end.outcome = Outcome::Duplicate;
        }
        match end.outcome {
            Outcome::Accepted => {
                if self.reports && self.counts.accepted.is_multiple_of(shared.sample_every) {
                    self.samples
                        .push((end.order_id, shared.clock.unix_us(now_us)));
                }
                self.counts.accepted += 1;
                self.accepted_units += element.quantity as u64;
            }
            Outcome::Refused => self.counts.refused += 1,
            Outcome::Duplicate => self.counts.duplicate += 1,
            Outcome::Error => self.counts.error += 1,
            Outcome::Unknown => self.counts.unknown += 1,
        }
        self.last_end_us = self.last_end_us.max(now_us);
        let at_us = request.sent_us.unwrap_or(request.drawn_us);
        let latency_us = now_us.saturating_sub(at_us).min(LATENCY_MAX_US);
        if let Some(sent_us) = request.sent_us {
            self.first_send_us = Some(
                self.first_send_us
                    .map_or(sent_us, |first| first.min(sent_us)),
            );
            self.latency.saturating_record(latency_us);
            if self.reports {
                self.interval.saturating_record(latency_us);
            }
        }
        if shared.keep_outcomes {
            let drawn_us = request.drawn_us;
            let after_draw = |at_us: u64| {
                let us = at_us.saturating_sub(drawn_us);
                u32::try_from(us).unwrap_or(NEVER_US).min(NEVER_US - 1)
            };
            self.kept.push(Kept {
                order_id: end.order_id,
                drawn_us,
                sent_after_us: request.sent_us.map_or(NEVER_US, after_draw),
                ended_after_us: after_draw(now_us),
                index: request.index,
                outcome: end.outcome,
                refusal: end.refusal,
            });
        }
        self.count_status(end);
    }

    fn count_status(&mut self, end: RequestEnd) {
        let RequestEnd {
            label, mut detail, ..
        } = end;
        let known = |statuses: &[Status], detail: &str| {
            statuses
                .iter()
                .position(|(known, its_detail, _)| *known == label && its_detail == detail)
        };
        let mut at = known(&self.statuses, &detail);
        if at.is_none() && self.statuses.len() >= STATUSES_MAX {
            detail = "…".to_owned();
            at = known(&self.statuses, &detail);
        }
        match at {
            Some(at) => self.statuses[at].2 += 1,
            None => self.statuses.push((label, detail, 1)),
        }
    }

    /// Status distribution as `(label, count)`.
    pub fn statuses(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        self.statuses.iter().map(|(label, detail, count)| {
            (
                if detail.is_empty() {
                    (*label).to_owned()
                } else {
                    format!("{label}: {detail}")
                },
                *count,
            )
        })
    }

    /// Records for the outcome log, if they were kept.
    pub fn outcomes<'a>(&'a self, shared: &'a Shared) -> impl Iterator<Item = Record> + 'a {
        self.kept.iter().map(|kept| {
            let element = shared.element(kept.index as usize);
            let at_unix_us =
                |after_us: u32| shared.clock.unix_us(kept.drawn_us + u64::from(after_us));
            Record {
                operation: Operation::Buy,
                user_id: element.user_id,
                product_id: element.product_id,
                asked_order_id: 0,
                quantity: element.quantity as u32,
                outcome: kept.outcome,
                refusal: kept.refusal,
                order_id: kept.order_id,
                due_at_unix_us: at_unix_us(0),
                sent_at_unix_us: (kept.sent_after_us != NEVER_US)
                    .then(|| at_unix_us(kept.sent_after_us)),
                ended_at_unix_us: at_unix_us(kept.ended_after_us),
            }
        })
    }
}

pub fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, LATENCY_DIGITS)
        .expect("bounds and digits are valid")
}

pub fn interval_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, INTERVAL_DIGITS)
        .expect("bounds and digits are valid")
}
