//! How long after the reply "accepted" the order's row is committed, as a reader with a connection
//! of its own sees it. Every few milliseconds it queries the database for a sample of the accepted
//! orders, so it shares no clock, cache or code with the consumer. A sample's time is that of its
//! reply at the driver, by the clock of the same machine; which samples are followed, and what they
//! count for, is decided in [`followed`].

mod followed;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use reports::result::Durable;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use self::followed::Followed;
use super::timestamp::now_unix_us;
use crate::tables::Tables;

/// Time between two queries.
const POLL: Duration = Duration::from_millis(10);
/// Most samples on their way to the reader. It takes all of them at each poll, so more come together
/// only while a query hangs; those that do not fit are left out.
const ARRIVING_MAX: usize = 65_536;

/// An accepted order and when the driver heard of it, in Unix µs.
pub(super) type Sample = (i64, i64);

#[derive(Debug)]
pub(super) struct DurableReader {
    samples: mpsc::Sender<Sample>,
    did_not_fit: AtomicU64,
    task: JoinHandle<anyhow::Result<Followed>>,
}

impl DurableReader {
    pub(super) async fn start(database_url: &str) -> anyhow::Result<Self> {
        let tables = Tables::open(database_url).await?;
        let (samples, receiver) = mpsc::channel(ARRIVING_MAX);
        let task = tokio::spawn(read(tables, receiver));
        Ok(Self {
            samples,
            did_not_fit: AtomicU64::new(0),
            task,
        })
    }

    /// Adds samples to those that may be followed. Never waits.
    pub(super) fn watch(&self, samples: &[Sample]) {
        for sample in samples {
            if self.samples.try_send(*sample).is_err() {
                self.did_not_fit.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Looks up the samples that are still followed one last time, and sums up.
    ///
    /// # Errors
    /// When the database did not answer a query.
    pub(super) async fn finish(self) -> anyhow::Result<Durable> {
        drop(self.samples);
        let followed = self.task.await;
        let followed = followed.context("the reader of durable rows panicked")??;
        let mut durable = followed.sum_up();
        durable.left_out += self.did_not_fit.into_inner();
        Ok(durable)
    }
}

async fn read(mut tables: Tables, mut samples: mpsc::Receiver<Sample>) -> anyhow::Result<Followed> {
    let mut followed = Followed::new();
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let ended = samples.is_closed();
        while let Ok((order_id, accepted_unix_us)) = samples.try_recv() {
            followed.add(order_id, accepted_unix_us);
        }
        if let Some(query) = followed.query() {
            let asked_unix_us = now_unix_us();
            let found = tables.integers(&query).await;
            let found = found.context("the rows of accepted orders cannot be read")?;
            followed.answer(&found, asked_unix_us, now_unix_us());
        }
        if ended {
            return Ok(followed);
        }
    }
}

#[cfg(test)]
mod tests;
