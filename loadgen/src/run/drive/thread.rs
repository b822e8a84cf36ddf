//! One thread of the driver: its lanes, the timers that wake them, and its end.

use crate::plan::TIMEOUT_RESOLUTION;
use crate::run::Lane;
use crate::run::pacer::Pacer;
use crate::run::shared::Shared;
use crate::run::slot::{Slot, alarm};
use crate::{Error, Result};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long the server may take to accept all connections before the run.
const CONNECT_FIRST_MAX: Duration = Duration::from_secs(5);
/// How late a worker may be who has thought, and what follows a yes: the resolution of the runtime's
/// timers.
const PUNCTUAL: Duration = Duration::from_millis(1);

/// What a thread tells whoever reports.
pub enum FromThread {
    Connected,
    Failed(NotReady),
    Done,
}

/// Why a thread cannot begin.
pub struct NotReady {
    /// It was the order service that did not answer.
    pub is_order_service: bool,
    pub reason: String,
}

/// One thread of the driver and what runs on it.
pub struct Thread<L> {
    /// Of the lanes of purchases.
    pub paced: Vec<Arc<Slot>>,
    pub lanes: Vec<L>,
    /// Lanes of what comes after a yes.
    pub following_slots: Vec<Arc<Slot>>,
    pub following: Vec<L>,
    pub shared: Arc<Shared>,
}

impl<L: Lane> Thread<L> {
    pub fn spawn(
        self,
        number: u32,
        to_reporter: Sender<FromThread>,
        start: watch::Receiver<bool>,
    ) -> Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Error::System {
                action: "build a runtime",
                source,
            })?;
        std::thread::Builder::new()
            .name(format!("driver-{number}"))
            .spawn(move || {
                let mut until_read = start.clone();
                let said = runtime.block_on(self.run(&to_reporter, start));
                // The receiver only goes away when the run is over anyway.
                let _ =
                    to_reporter.send(said.map_or_else(FromThread::Failed, |()| FromThread::Done));
                // A thread that ended in a panic must be noticed while others still wait here.
                drop(to_reporter);
                runtime.block_on(async { while until_read.changed().await.is_ok() {} });
            })
            .map_err(|source| Error::System {
                action: "start a thread",
                source,
            })
    }

    async fn run(
        mut self,
        to_reporter: &Sender<FromThread>,
        mut start: watch::Receiver<bool>,
    ) -> std::result::Result<(), NotReady> {
        let deadline = tokio::time::Instant::now() + CONNECT_FIRST_MAX;
        // The connections are made one after the other: a burst of hundreds would overflow the
        // server's backlog of connections to accept.
        for lane in &mut self.lanes {
            lane.connect_first(deadline)
                .await
                .map_err(|reason| NotReady {
                    is_order_service: false,
                    reason,
                })?;
        }
        for lane in &mut self.following {
            lane.connect_first(deadline)
                .await
                .map_err(|reason| NotReady {
                    is_order_service: true,
                    reason,
                })?;
        }
        let pacer = match self.shared.source.is_open() {
            true => Some(
                Pacer::new(Arc::clone(&self.shared), self.paced.clone()).map_err(|error| {
                    NotReady {
                        is_order_service: false,
                        reason: format!("no timer of the kernel: {error}"),
                    }
                })?,
            ),
            false => None,
        };
        let _ = to_reporter.send(FromThread::Connected);
        if start.wait_for(|started| *started).await.is_err() {
            return Ok(());
        }
        let is_punctual = self.shared.think_ns > 0 || self.shared.follow.is_some();
        let period = match is_punctual {
            true => PUNCTUAL,
            false => TIMEOUT_RESOLUTION,
        };
        let slots = [self.paced, self.following_slots].concat();
        let alarm = tokio::spawn(alarm(slots, self.shared, period));
        // The lanes have their turn before the pacer, and tell their room.
        let lanes = self.lanes.into_iter().chain(self.following).map(Lane::run);
        let lanes: JoinSet<()> = lanes.collect();
        let pacer = tokio::spawn(async move {
            if let Some(pacer) = pacer {
                pacer.run().await;
            }
        });
        lanes.join_all().await;
        alarm.abort();
        match pacer.await {
            Ok(()) => Ok(()),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}
