//! How long after the reply "accepted" the order's row is committed, as a reader with a connection
//! of its own sees it. Every few milliseconds it queries the database for a sample of the accepted
//! orders, so it shares no clock, cache or code with the consumer.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use reports::model::{DurableLatency, LatencySummary};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::timestamp::now_unix_us;
use crate::tables::Tables;

/// Time between two queries.
const POLL: Duration = Duration::from_millis(10);
/// How often the driver reports samples.
const HAND_OVER: Duration = Duration::from_millis(10);
/// Most orders in one query; more would make the reader a load of its own.
const ASKED_MAX: usize = 256;
/// Most samples that wait for their row; while the consumer lags behind, further samples are left
/// out.
const WAITING_MAX: usize = 4_096;
/// Longest latency that is told apart: 10 minutes.
const LATENCY_US_MAX: u64 = 600_000_000;

/// An accepted order and when the driver heard of it, in Unix µs.
pub(super) type Sample = (i64, i64);

#[derive(Debug)]
pub(super) struct DurableReader {
    samples: mpsc::Sender<Sample>,
    task: JoinHandle<anyhow::Result<DurableLatency>>,
}

impl DurableReader {
    pub(super) async fn start(database_url: &str) -> anyhow::Result<Self> {
        let tables = Tables::open(database_url).await?;
        let (samples, receiver) = mpsc::channel(WAITING_MAX);
        let task = tokio::spawn(read(tables, receiver));
        Ok(Self { samples, task })
    }

    /// Adds samples to those that are watched. Never waits: a sample that does not fit is left out.
    pub(super) fn watch(&self, samples: &[Sample]) {
        for sample in samples {
            let _ = self.samples.try_send(*sample);
        }
    }

    /// Looks up the waiting samples one last time, and sums up.
    pub(super) async fn finish(self) -> anyhow::Result<DurableLatency> {
        drop(self.samples);
        self.task
            .await
            .context("the reader of durable rows panicked")?
    }
}

async fn read(
    mut tables: Tables,
    mut samples: mpsc::Receiver<Sample>,
) -> anyhow::Result<DurableLatency> {
    let mut latencies = Histogram::<u64>::new_with_bounds(1, LATENCY_US_MAX, 3)?;
    let mut waiting: VecDeque<Sample> = VecDeque::new();
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let ended = take_new(&mut samples, &mut waiting);
        // At the end, all samples that still wait are looked up once, in several queries.
        let rounds = if ended {
            waiting.len().div_ceil(ASKED_MAX)
        } else {
            1
        };
        for _ in 0..rounds {
            ask(&mut tables, &mut waiting, &mut latencies).await?;
        }
        if ended {
            break;
        }
    }
    Ok(DurableLatency {
        summary: LatencySummary::of(&latencies),
        samples: latencies.len() + waiting.len() as u64,
        missing: waiting.len() as u64,
        resolution_us: (POLL + HAND_OVER).as_micros() as u64,
    })
}

/// True when no more samples will come. Those still in the channel are then taken whatever their
/// number, which the channel itself bounds.
fn take_new(samples: &mut mpsc::Receiver<Sample>, waiting: &mut VecDeque<Sample>) -> bool {
    let ended = samples.is_closed();
    while ended || waiting.len() < WAITING_MAX {
        match samples.try_recv() {
            Ok(sample) => waiting.push_back(sample),
            Err(_) => break,
        }
    }
    ended
}

/// Looks up the samples that have waited longest; those without a row go to the end of the queue.
async fn ask(
    tables: &mut Tables,
    waiting: &mut VecDeque<Sample>,
    latencies: &mut Histogram<u64>,
) -> anyhow::Result<()> {
    let asked: Vec<Sample> = waiting.drain(..waiting.len().min(ASKED_MAX)).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = asked
        .iter()
        .map(|(order_id, _)| order_id.to_string())
        .collect();
    let query = format!(
        "SELECT order_id FROM orders WHERE order_id IN ({})",
        ids.join(",")
    );
    let found: HashSet<i64> = tables.integers(&query).await?.into_iter().collect();
    let seen_unix_us = now_unix_us();
    for (order_id, accepted_unix_us) in asked {
        if found.contains(&order_id) {
            let latency_us = u64::try_from(seen_unix_us - accepted_unix_us).unwrap_or(0);
            latencies.saturating_record(latency_us.max(1));
        } else {
            waiting.push_back((order_id, accepted_unix_us));
        }
    }
    Ok(())
}
