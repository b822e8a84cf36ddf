//! How many lanes are in doubt.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// Counts lanes in doubt; cheap to clone.
#[derive(Clone, Debug)]
pub struct Doubts {
    /// Those of one serving thread.
    here: watch::Sender<usize>,
    /// Those of all threads of the process.
    in_process: Arc<AtomicUsize>,
}

impl Doubts {
    /// None so far in this thread.
    pub fn new(in_process: Arc<AtomicUsize>) -> Self {
        Self {
            here: watch::Sender::new(0),
            in_process,
        }
    }

    /// How many this thread has.
    pub fn count(&self) -> usize {
        *self.here.borrow()
    }

    /// Waits until this thread has `lanes` of them.
    pub async fn reach(&self, lanes: usize) {
        // The sender is here, so there is no other end of the waiting.
        let _ = self.here.subscribe().wait_for(|here| *here >= lanes).await;
    }
}

/// One lane in doubt, for as long as this lives.
#[derive(Debug)]
pub struct Doubt(Doubts);

impl Doubt {
    /// Counts at once.
    pub fn new(doubts: &Doubts) -> Self {
        doubts.here.send_modify(|here| *here += 1);
        doubts.in_process.fetch_add(1, Ordering::Relaxed);
        Self(doubts.clone())
    }
}

impl Drop for Doubt {
    fn drop(&mut self) {
        self.0.here.send_modify(|here| *here -= 1);
        self.0.in_process.fetch_sub(1, Ordering::Relaxed);
    }
}
