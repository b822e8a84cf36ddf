//! What one serving thread counts: answers by their kind, batches and what they wait for. Added to
//! once per batch, and read when somebody scrapes.

use super::replies::{Fault, Reason, Refusal, Reply};
use crate::metrics::{BATCH, CALL, Histogram, Kind, Metrics, REQUEST, Samples, bucket_of, nanos};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Everything that a buyer can be told: the index is [`Told`].
const KINDS: [(Outcome, &str); 20] = [
    (Outcome::Accepted, "new"),
    (Outcome::Accepted, "repeated"),
    (Outcome::Refused, "sold_out"),
    (Outcome::Refused, "not_started"),
    (Outcome::Refused, "ended"),
    (Outcome::Refused, "paused"),
    (Outcome::Refused, "invalid"),
    (Outcome::Refused, "unknown_product"),
    (Outcome::Unavailable, "overload"),
    (Outcome::Unavailable, "lease"),
    (Outcome::Unavailable, "clock"),
    (Outcome::Unavailable, "not_open"),
    (Outcome::Unavailable, "database"),
    (Outcome::Unavailable, "wrong_instance"),
    (Outcome::Unavailable, "busy"),
    (Outcome::Unavailable, "engine"),
    (Outcome::Unavailable, "broker"),
    (Outcome::Unavailable, "stopping"),
    (Outcome::Unknown, ""),
    (Outcome::Refused, "no_order"),
];

/// The coarse kinds, by which durations are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Accepted,
    Refused,
    Unavailable,
    Unknown,
}

const OUTCOMES: [(Outcome, &str); 4] = [
    (Outcome::Accepted, "accepted"),
    (Outcome::Refused, "refused"),
    (Outcome::Unavailable, "unavailable"),
    (Outcome::Unknown, "unknown"),
];

/// One more than there are bounds.
const BUCKETS: usize = REQUEST.len() + 1;

/// What a buyer is told, as an index of the kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told(usize);

impl Told {
    /// Yes, about the order that they had before.
    pub const REPEATED: Self = Self(1);

    /// Yes, about an order that is new or not.
    pub fn yes(is_new: bool) -> Self {
        Self(usize::from(!is_new))
    }

    /// Of a reply; a yes is about a new order.
    pub fn of(reply: Reply) -> Self {
        Self(match reply {
            Reply::Accepted(_) => 0,
            Reply::Refused(refusal) => match refusal {
                Refusal::SoldOut => 2,
                Refusal::NotStarted => 3,
                Refusal::Ended => 4,
                Refusal::Paused => 5,
                Refusal::NoOrder => 19,
            },
            Reply::Unavailable(reason) => match reason {
                Reason::Crowded | Reason::TooLate => 8,
                Reason::NoLease => 9,
                Reason::ClockBack => 10,
                Reason::SaleOpening | Reason::SaleEnding => 11,
                Reason::OrdersAway => 12,
                Reason::OtherInstance => 13,
                Reason::Busy => 14,
                Reason::EngineAway => 15,
                Reason::BrokerAway | Reason::QueueFull | Reason::QueueGone => 16,
                Reason::Stopping => 17,
            },
            Reply::Unknown => 18,
        })
    }

    /// Of what is wrong with a request.
    pub fn of_fault(fault: &Fault) -> Self {
        Self(match fault {
            Fault::User(_) | Fault::Quantity { .. } => 6,
            Fault::Sale(_) => 7,
        })
    }

    fn outcome(self) -> Outcome {
        KINDS[self.0].0
    }
}

/// Of one serving thread.
#[derive(Debug)]
pub struct Counts {
    told: [AtomicU64; KINDS.len()],
    /// By outcome.
    durations: [Histogram; OUTCOMES.len()],
    pub batches: Histogram,
    pub gathering: Histogram,
    pub reserving: Histogram,
    pub publishing: Histogram,
    /// Messages that came back.
    pub returned: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            told: std::array::from_fn(|_| AtomicU64::new(0)),
            durations: std::array::from_fn(|_| Histogram::durations(&REQUEST)),
            batches: Histogram::counts(&BATCH),
            gathering: Histogram::durations(&CALL),
            reserving: Histogram::durations(&CALL),
            publishing: Histogram::durations(&CALL),
            returned: AtomicU64::new(0),
        }
    }
}

impl Counts {
    /// Counts an answer outside of a batch.
    pub fn tell(&self, told: Told) {
        self.told[told.0].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the answers of a batch.
    pub fn tally(&self) -> Tally<'_> {
        Tally {
            counts: self,
            now: Instant::now(),
            told: [0; KINDS.len()],
            durations: [[0; BUCKETS]; OUTCOMES.len()],
            sums_ns: [0; OUTCOMES.len()],
        }
    }

    /// Registers the metrics of this thread.
    pub fn register(self: &Arc<Self>, metrics: &Metrics) {
        for (outcome, name, label, help) in [
            (
                Outcome::Accepted,
                "seckill_accepted_total",
                "kind",
                "Told yes; repeated: the same buyer, the same order",
            ),
            (
                Outcome::Refused,
                "seckill_refused_total",
                "reason",
                "Told no, for good or until something changes",
            ),
            (
                Outcome::Unavailable,
                "seckill_unavailable_total",
                "reason",
                "Told to come back later; nothing is reserved",
            ),
            (
                Outcome::Unknown,
                "seckill_unknown_total",
                "",
                "The publish deadline passed: the order may exist",
            ),
        ] {
            let counts = self.clone();
            metrics.register(Kind::Counter, name, help, move |out| {
                counts.told(outcome, label, out);
            });
        }
        let counts = self.clone();
        let (name, help) = ("seckill_request_duration_seconds", "Taken to answered");
        metrics.register(Kind::Histogram, name, help, move |out| {
            for ((_, outcome), durations) in OUTCOMES.iter().zip(&counts.durations) {
                out.histogram(&[("outcome", outcome)], durations);
            }
        });
        let (name, help) = ("seckill_batch_requests", "Requests of a batch");
        metrics.histogram(name, help, self.clone(), |counts| &counts.batches);
        let help = "First request of a batch to its start";
        let name = "seckill_batch_gather_seconds";
        metrics.histogram(name, help, self.clone(), |counts| &counts.gathering);
        let counts = self.clone();
        let (name, help) = ("seckill_engine_call_duration_seconds", "The engine");
        metrics.register(Kind::Histogram, name, help, move |out| {
            out.histogram(&[("call", "reserve")], &counts.reserving);
        });
        let (name, help) = ("seckill_publish_duration_seconds", "Published to confirmed");
        metrics.histogram(name, help, self.clone(), |counts| &counts.publishing);
        let counts = self.clone();
        let (name, help) = ("seckill_returned_messages_total", "Came back as unroutable");
        metrics.counter(name, help, move || counts.returned.load(Ordering::Relaxed));
    }

    fn told(&self, of: Outcome, label: &'static str, out: &mut Samples) {
        for ((outcome, kind), count) in KINDS.iter().zip(&self.told) {
            if *outcome == of {
                let labels = [(label, *kind)];
                let labels = &labels[..usize::from(!label.is_empty())];
                out.count(labels, count.load(Ordering::Relaxed));
            }
        }
    }
}

/// The answers of one batch, added up when it is dropped.
#[derive(Debug)]
pub struct Tally<'a> {
    counts: &'a Counts,
    /// When those are answered that are counted now.
    now: Instant,
    told: [u64; KINDS.len()],
    durations: [[u64; BUCKETS]; OUTCOMES.len()],
    sums_ns: [u64; OUTCOMES.len()],
}

impl Tally<'_> {
    /// Looks at the clock for the answers that follow.
    pub fn look(&mut self) {
        self.now = Instant::now();
    }

    /// Counts the answer to a request that came at `came`.
    pub fn count(&mut self, told: Told, came: Instant) {
        let took = nanos(self.now.saturating_duration_since(came));
        let outcome = told.outcome() as usize;
        self.told[told.0] += 1;
        self.durations[outcome][bucket_of(&REQUEST, took)] += 1;
        self.sums_ns[outcome] = self.sums_ns[outcome].saturating_add(took);
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        for (sum, more) in self.counts.told.iter().zip(self.told) {
            if more > 0 {
                sum.fetch_add(more, Ordering::Relaxed);
            }
        }
        let sums_ns = self.sums_ns.iter_mut();
        for ((histogram, buckets), sum_ns) in self
            .counts
            .durations
            .iter()
            .zip(self.durations)
            .zip(sums_ns)
        {
            for (bucket, count) in buckets.into_iter().enumerate() {
                if count > 0 {
                    histogram.add(bucket, count, std::mem::take(sum_ns));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engines::{OrderId, SaleId, UserId};
    use std::time::Duration;

    #[test]
    fn every_answer_has_the_label_that_says_it() {
        let of = |reply| KINDS[Told::of(reply).0];
        assert_eq!(of(Reply::Accepted(OrderId(1))), (Outcome::Accepted, "new"));
        assert_eq!(KINDS[Told::REPEATED.0], (Outcome::Accepted, "repeated"));
        for (refusal, label) in [
            (Refusal::SoldOut, "sold_out"),
            (Refusal::NotStarted, "not_started"),
            (Refusal::Ended, "ended"),
            (Refusal::Paused, "paused"),
            (Refusal::NoOrder, "no_order"),
        ] {
            assert_eq!(of(Reply::Refused(refusal)), (Outcome::Refused, label));
        }
        for (reason, label) in [
            (Reason::Crowded, "overload"),
            (Reason::TooLate, "overload"),
            (Reason::NoLease, "lease"),
            (Reason::ClockBack, "clock"),
            (Reason::SaleOpening, "not_open"),
            (Reason::SaleEnding, "not_open"),
            (Reason::OrdersAway, "database"),
            (Reason::OtherInstance, "wrong_instance"),
            (Reason::Busy, "busy"),
            (Reason::EngineAway, "engine"),
            (Reason::BrokerAway, "broker"),
            (Reason::QueueFull, "broker"),
            (Reason::QueueGone, "broker"),
            (Reason::Stopping, "stopping"),
        ] {
            let told = of(Reply::Unavailable(reason));
            assert_eq!(told, (Outcome::Unavailable, label));
        }
        assert_eq!(of(Reply::Unknown), (Outcome::Unknown, ""));
        for (fault, label) in [
            (Fault::User(UserId(0)), "invalid"),
            (Fault::Quantity { got: 0, most: 1 }, "invalid"),
            (Fault::Sale(SaleId(7)), "unknown_product"),
        ] {
            assert_eq!(KINDS[Told::of_fault(&fault).0], (Outcome::Refused, label));
        }
    }

    #[test]
    fn a_batch_is_added_up_once_with_its_durations() {
        let (metrics, counts) = (Metrics::default(), Arc::new(Counts::default()));
        counts.register(&metrics);
        let mut tally = counts.tally();
        let came = |ms| {
            tally
                .now
                .checked_sub(Duration::from_millis(ms))
                .expect("a while")
        };
        let (early, late) = (came(30), came(2));
        tally.count(Told::of(Reply::Accepted(OrderId(1))), early);
        tally.count(Told::REPEATED, late);
        tally.count(Told::of(Reply::Refused(Refusal::SoldOut)), late);
        let before = metrics.text();
        assert!(
            before.contains("seckill_accepted_total{kind=\"new\"} 0\n"),
            "{before}"
        );
        drop(tally);
        let after = metrics.text();
        for line in [
            "seckill_accepted_total{kind=\"new\"} 1",
            "seckill_accepted_total{kind=\"repeated\"} 1",
            "seckill_refused_total{reason=\"sold_out\"} 1",
            "seckill_refused_total{reason=\"ended\"} 0",
            "seckill_unknown_total 0",
            "seckill_request_duration_seconds_bucket{outcome=\"accepted\",le=\"0.0025\"} 1",
            "seckill_request_duration_seconds_bucket{outcome=\"accepted\",le=\"0.05\"} 2",
            "seckill_request_duration_seconds_sum{outcome=\"accepted\"} 0.032",
            "seckill_request_duration_seconds_count{outcome=\"refused\"} 1",
        ] {
            assert!(after.contains(line), "{line}: {after}");
        }
    }
}
