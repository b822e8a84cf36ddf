//! Turns SIGTERM and SIGINT into one future that every part of a role can wait on.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Resolves when the process has been asked to stop; cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown {
    receiver: watch::Receiver<bool>,
}

impl Shutdown {
    /// Listens for SIGTERM and SIGINT on the current runtime.
    pub fn on_signals() -> std::io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (sender, shutdown) = Self::channel();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("asked to stop");
            sender.send_replace(true);
        });
        Ok(shutdown)
    }

    /// A shutdown that the holder of the sender triggers by sending `true`, or by dropping it.
    pub fn channel() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self { receiver })
    }

    /// Whether stopping has been asked for.
    pub fn is_requested(&self) -> bool {
        *self.receiver.borrow()
    }

    /// Waits until stopping is asked for.
    pub async fn requested(&self) {
        let mut receiver = self.receiver.clone();
        // An error means the sender is gone, which is a request to stop too.
        let _ = receiver.wait_for(|stop| *stop).await;
    }
}
