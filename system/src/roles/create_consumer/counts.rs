//! What a create-consumer counts, once per transaction.

use crate::broker::Broker;
use crate::clock::unix_ms;
use crate::metrics::{BATCH, CALL, Histogram, Kind, Metrics, ROW};
use engines::IncarnationId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Of one process.
#[derive(Debug)]
pub struct Counts {
    /// Orders whose rows were written.
    pub rows: AtomicU64,
    /// Orders of messages that had their row already, were refused, or void or cancelled.
    pub not_live: AtomicU64,
    pub commits: Histogram,
    pub committing: Histogram,
    pub failures: AtomicU64,
    /// From order to row.
    pub delays: Histogram,
    /// The engine is told of rows.
    pub settling: Histogram,
    /// Holds that wait to be settled.
    pub unsettled: AtomicU64,
    /// What waits in the queues of this consumer.
    waiting: AtomicU64,
    lags: Mutex<HashMap<IncarnationId, Arc<Lag>>>,
}

/// How far behind the consumer of one queue is.
#[derive(Debug, Default)]
pub struct Lag {
    /// When the oldest order was made that is gathered and has no row yet, unix ms; 0 without one.
    since_ms: AtomicI64,
}

impl Lag {
    /// Orders are there whose oldest was made then.
    pub fn begins(&self, made_at_ms: i64) {
        self.since_ms.store(made_at_ms, Ordering::Relaxed);
    }

    /// They have their rows.
    pub fn ends(&self) {
        self.since_ms.store(0, Ordering::Relaxed);
    }

    fn now(&self) -> Duration {
        let since_ms = self.since_ms.load(Ordering::Relaxed);
        let behind_ms = match since_ms {
            0 => 0,
            since_ms => unix_ms().saturating_sub(since_ms),
        };
        Duration::from_millis(u64::try_from(behind_ms).unwrap_or(0))
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            rows: AtomicU64::new(0),
            not_live: AtomicU64::new(0),
            commits: Histogram::counts(&BATCH),
            committing: Histogram::durations(&CALL),
            failures: AtomicU64::new(0),
            delays: Histogram::durations(&ROW),
            settling: Histogram::durations(&CALL),
            unsettled: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            lags: Mutex::default(),
        }
    }
}

impl Counts {
    /// The lag of this queue.
    pub fn lag(&self, queue: IncarnationId) -> Arc<Lag> {
        self.lags().entry(queue).or_default().clone()
    }

    /// This consumer has these queues and no others: asks how much waits in them.
    pub async fn look(&self, broker: &dyn Broker, queues: &[IncarnationId]) -> anyhow::Result<()> {
        self.lags().retain(|queue, _| queues.contains(queue));
        let mut waiting = 0;
        for queue in queues {
            waiting += broker.waiting(*queue).await?.unwrap_or_default();
        }
        self.waiting.store(waiting, Ordering::Relaxed);
        Ok(())
    }

    /// Registers what is counted.
    pub fn register(self: &Arc<Self>, metrics: &Metrics) {
        let counts = self.clone();
        let help = "Orders of committed transactions; not_live: repeated, refused, or cancelled or void already";
        metrics.register(
            Kind::Counter,
            "seckill_rows_written_total",
            help,
            move |out| {
                let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
                out.count(&[("kind", "live")], of(&counts.rows));
                out.count(&[("kind", "not_live")], of(&counts.not_live));
            },
        );
        let help = "Orders of one transaction";
        metrics.histogram("seckill_commit_orders", help, self.clone(), |counts| {
            &counts.commits
        });
        let (name, help) = ("seckill_commit_duration_seconds", "Begin to commit");
        metrics.histogram(name, help, self.clone(), |counts| &counts.committing);
        let help = "Transactions that were done again";
        let counts = self.clone();
        metrics.counter("seckill_commit_failures_total", help, move || {
            counts.failures.load(Ordering::Relaxed)
        });
        let (name, help) = (
            "seckill_order_row_delay_seconds",
            "Order made to row committed",
        );
        metrics.histogram(name, help, self.clone(), |counts| &counts.delays);
        let counts = self.clone();
        let (name, help) = ("seckill_engine_call_duration_seconds", "The engine");
        metrics.register(Kind::Histogram, name, help, move |out| {
            out.histogram(&[("call", "finish")], &counts.settling);
        });
        let counts = self.clone();
        let help = "Holds whose row is there and that the engine has not been told of";
        metrics.gauge("seckill_settles_pending", help, move || {
            counts.unsettled.load(Ordering::Relaxed) as f64
        });
        let counts = self.clone();
        let help = "Messages that wait, over the queues of this consumer's share";
        metrics.gauge("seckill_queue_messages", help, move || {
            counts.waiting.load(Ordering::Relaxed) as f64
        });
        let counts = self.clone();
        let help = "Age of the oldest order that was taken from its queue and has no row";
        metrics.gauge("seckill_consumer_lag_seconds", help, move || {
            let lags = counts.lags();
            let longest = lags.values().map(|lag| lag.now()).max();
            longest.unwrap_or_default().as_secs_f64()
        });
    }

    fn lags(&self) -> MutexGuard<'_, HashMap<IncarnationId, Arc<Lag>>> {
        self.lags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
