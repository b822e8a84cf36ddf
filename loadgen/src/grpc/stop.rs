//! How a run is told to end early, from any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const RUN: u8 = 0;
const DRAIN: u8 = 1;
const ABANDON: u8 = 2;

/// Clones tell the same run.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicU8>);

impl Stop {
    /// The first call stops sending and lets open requests end, up to their time-out. A second one
    /// gives those up, outcome unknown.
    pub fn stop(&self) {
        let next = if self.is_draining() { ABANDON } else { DRAIN };
        self.0.store(next, Ordering::Release);
    }

    /// Changes whenever the run is told something new.
    pub(crate) fn level(&self) -> u8 {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.level() != RUN
    }

    pub(crate) fn is_abandoning(&self) -> bool {
        self.level() == ABANDON
    }
}
