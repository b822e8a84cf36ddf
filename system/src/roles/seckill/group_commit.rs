//! Group commit: while a few batches are under way the next one gathers; engine and broker are
//! asked once per batch.
//!
//! So the gathering time is nil when the service is idle and grows with load.
//! `gather_us_per_request` adds to it.

mod batch;
mod confirms;
mod doubts;
mod lanes;
mod pending;
mod proving;
mod sold;

use super::counts::{Counts, Told};
use super::replies::{Reason, Reply};
use super::shared::Shared;
use crate::broker::Publisher;
use crate::clock::monotonic_ms;
use crate::metrics::nanos;
use batch::Batch;
use engines::StockEngine;
use lanes::Lanes;
pub use pending::Asked;
use pending::Pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Gathering times below this are not worth a timer, whose resolution is 1 ms.
const MIN_GATHER_US: u64 = 1_000;

/// Requests outside their sale's window may fill one part in so many of `seckill.max_pending`.
const CLOSED_SHARE: usize = 4;

/// The way into the group commit of one serving thread; cheap to clone.
#[derive(Clone, Debug)]
pub struct Committer {
    sender: mpsc::UnboundedSender<Pending>,
    /// Requests submitted and not yet answered; bounded by `seckill.max_pending`.
    waiting: Arc<AtomicUsize>,
    max_pending: usize,
    publish_timeout_ms: u64,
    /// What this thread counts.
    pub counts: Arc<Counts>,
}

impl Committer {
    /// Starts the gathering task on the current runtime; it ends when the last clone is dropped.
    pub fn start(
        shared: Arc<Shared>,
        engine: Arc<dyn StockEngine>,
        publisher: Arc<dyn Publisher>,
    ) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let config = &shared.config;
        let committer = Self {
            sender,
            waiting: Arc::default(),
            max_pending: config.seckill.max_pending,
            publish_timeout_ms: config.seckill.publish_timeout_ms,
            counts: Arc::default(),
        };
        let counts = committer.counts.clone();
        counts.register(shared.admin.metrics());
        let waiting = committer.waiting.clone();
        let (name, help) = ("seckill_pending_requests", "Held at the moment");
        shared
            .admin
            .metrics()
            .gauge(name, help, move || waiting.load(Ordering::Relaxed) as f64);
        let (supervisor, asked) = (shared.supervisor.clone(), shared.shutdown.clone());
        let gathering = gather(shared, (engine, publisher), receiver, counts);
        tokio::spawn(
            supervisor.task("the group commit".to_owned(), asked, async {
                gathering.await;
                anyhow::Ok(())
            }),
        );
        committer
    }

    /// Waits for the outcome of one request.
    pub async fn submit(&self, asked: Asked, now_ms: i64) -> Reply {
        // Whoever asks outside the window leaves most of the room to sales that are on.
        let most = match asked.closed {
            None => self.max_pending,
            Some(_) => self.max_pending.div_ceil(CLOSED_SHARE),
        };
        let Some(_admission) = Admission::take(&self.waiting, most) else {
            self.counts
                .tell(Told::of(Reply::Unavailable(Reason::Crowded)));
            return Reply::Unavailable(Reason::Crowded);
        };
        let (reply, answer) = oneshot::channel();
        let expires_at_ms = now_ms.saturating_add_unsigned(self.publish_timeout_ms);
        let pending = Pending {
            expires_at_ms: expires_at_ms.min(asked.not_after_ms),
            asked,
            came: Instant::now(),
            deadline_ms: monotonic_ms() + self.publish_timeout_ms,
            reply,
        };
        if self.sender.send(pending).is_err() {
            self.counts
                .tell(Told::of(Reply::Unavailable(Reason::Stopping)));
            return Reply::Unavailable(Reason::Stopping);
        }
        // A batch that ended without an answer was cut off after it may have been sent on.
        answer.await.unwrap_or_else(|_| {
            self.counts.tell(Told::of(Reply::Unknown));
            Reply::Unknown
        })
    }
}

/// Leave to wait for an answer, of which there is a bounded number; given back on drop.
struct Admission<'a>(&'a AtomicUsize);

impl<'a> Admission<'a> {
    fn take(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        // One too many is dropped right here, which gives it back.
        let admission = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < most).then_some(admission)
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn gather(
    shared: Arc<Shared>,
    (engine, publisher): (Arc<dyn StockEngine>, Arc<dyn Publisher>),
    mut receiver: mpsc::UnboundedReceiver<Pending>,
    counts: Arc<Counts>,
) {
    let config = &shared.config.group_commit;
    let (incarnation, loser) = (shared.incarnation.clone(), shared.incarnation.clone());
    let lanes = Lanes::start(
        config.max_in_flight,
        publisher.clone(),
        shared.config.seckill.publish_timeout_ms,
        shared.lanes_in_doubt.clone(),
        move || incarnation.current().map(|own| (own.id, own.generation)),
        move |id, generation| {
            let own = loser.current();
            if let Some(own) = own.filter(|own| (own.id, own.generation) == (id, generation)) {
                own.route_is_lost();
            }
        },
        (&shared.supervisor, &shared.shutdown),
    );
    lanes.register(shared.admin.metrics());
    let keeps_stock = engine.info().guarantees.keeps_stock;
    let mut last_len = 0;
    loop {
        let asked = Instant::now();
        let turn = lanes.turn().await;
        let (begins, is_awaited) = (Instant::now(), !receiver.is_empty());
        let mut pending = Vec::with_capacity(config.max_batch);
        if receiver.recv_many(&mut pending, config.max_batch).await == 0 {
            return;
        }
        let wait_us = gather_us(last_len, config.gather_us_per_request, config.max_gather_us);
        if wait_us > 0 && pending.len() < config.max_batch {
            tokio::time::sleep(Duration::from_micros(wait_us)).await;
            while pending.len() < config.max_batch {
                let Ok(next) = receiver.try_recv() else { break };
                pending.push(next);
            }
        }
        let since = match pending.first() {
            Some(first) if is_awaited => asked.max(first.came),
            _ => begins,
        };
        shared.pressure.batch(lanes.all_confirming(since, begins));
        last_len = pending.len();
        counts.batches.observe(last_len as u64);
        if let Some(first) = pending.first() {
            counts.gathering.observe(nanos(first.came.elapsed()));
        }
        let turn = lanes.renewed(turn).await;
        let batch = Batch {
            shared: shared.clone(),
            engine: engine.clone(),
            keeps_stock,
            publisher: publisher.clone(),
            counts: counts.clone(),
        };
        tokio::spawn(batch.run(pending, turn));
    }
}

/// How long the next batch gathers, µs: in proportion to the one before, nil when that is too short
/// to matter.
fn gather_us(last_len: usize, us_per_request: u64, most_us: u64) -> u64 {
    let wanted = u64::try_from(last_len)
        .unwrap_or(u64::MAX)
        .saturating_mul(us_per_request)
        .min(most_us);
    if wanted < MIN_GATHER_US { 0 } else { wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_service_does_not_wait_and_a_busy_one_waits_within_its_bound() {
        assert_eq!(gather_us(0, 40, 10_000), 0);
        assert_eq!(gather_us(1, 40, 10_000), 0);
        assert_eq!(gather_us(100, 40, 10_000), 4_000);
        assert_eq!(gather_us(10_000, 40, 10_000), 10_000);
        assert_eq!(gather_us(500, 0, 10_000), 0);
    }

    #[test]
    fn admissions_are_bounded_and_given_back() {
        let waiting = AtomicUsize::new(0);
        let held = [Admission::take(&waiting, 2), Admission::take(&waiting, 2)];
        assert!(held.iter().all(Option::is_some));
        assert!(Admission::take(&waiting, 2).is_none());
        drop(held);
        assert!(Admission::take(&waiting, 2).is_some());
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }
}
