//! How a run is told to end early, from any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const RUN: u8 = 0;
const FINISH_OPEN: u8 = 1;
const ABANDON: u8 = 2;

/// All clones control the same run.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicU8>);

impl Stop {
    /// The first call stops the sending and lets open requests end until their time-out. A second
    /// one gives them up; their outcome is then unknown.
    pub fn stop(&self) {
        let next = if self.is_stopping() {
            ABANDON
        } else {
            FINISH_OPEN
        };
        self.0.store(next, Ordering::Release);
    }

    /// Changes whenever the run is told something new.
    pub fn level(&self) -> u8 {
        self.0.load(Ordering::Acquire)
    }

    pub fn is_stopping(&self) -> bool {
        self.level() != RUN
    }

    pub fn is_abandoning(&self) -> bool {
        self.level() == ABANDON
    }
}
