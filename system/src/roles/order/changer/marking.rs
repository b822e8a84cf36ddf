//! Writes down what the engine has taken back, of many batches together: a batch that waited for its
//! own mark would pay for a commit of its own. Whoever dies before has left releases that are done
//! once more.

use crate::store::{Release, Store};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Batches that may wait to be marked.
const WAITING_MAX: usize = 100;
/// Pause between two marks, in which what is next gathers. Less than half of what the cancel-consumer
/// waits between two looks by default: what it sees at two of them, it does again.
const PAUSE: Duration = Duration::from_millis(40);

/// Cheap to clone; the work ends when the last clone is gone and everything is marked.
#[derive(Clone, Debug)]
pub struct Marker(mpsc::Sender<Vec<Release>>);

impl Marker {
    pub fn start(store: Store) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self(sender), run(store, receiver))
    }

    /// These are done. Waits only while too many others do.
    pub async fn mark(&self, done: Vec<Release>) {
        if !done.is_empty() {
            // It cannot be closed: the work goes on while there is a clone.
            let _ = self.0.send(done).await;
        }
    }
}

async fn run(store: Store, mut receiver: mpsc::Receiver<Vec<Release>>) {
    let mut batches = Vec::new();
    while receiver.recv_many(&mut batches, WAITING_MAX).await > 0 {
        let done = batches.concat();
        batches.clear();
        if let Err(error) = store.mark_released(&done).await {
            tracing::debug!(%error, "what was released is not marked; it will be released again");
        }
        // Whoever stops does not wait.
        if !receiver.is_closed() {
            sleep(PAUSE).await;
        }
    }
}
