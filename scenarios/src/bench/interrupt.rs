//! Ctrl-C and similar signals: the first one ends the leg in an orderly way; the second one ends
//! the process, and the guard then takes the servers down.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::progress::say;

/// Exit code of a process that was interrupted, as shells count it.
const INTERRUPTED_EXIT_CODE: i32 = 130;

/// The work was cut short because the user asked for it.
#[derive(Debug)]
pub struct Interrupted;

impl std::error::Error for Interrupted {}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

#[derive(Clone, Debug)]
pub struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Starts to listen for SIGINT, SIGTERM and SIGHUP. Once per process.
    pub fn listen() -> anyhow::Result<Self> {
        let mut signals = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ];
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                let [int, term, hup] = &mut signals;
                tokio::select! { _ = int.recv() => {} _ = term.recv() => {} _ = hup.recv() => {} }
                if sender.send_replace(true) {
                    std::process::exit(INTERRUPTED_EXIT_CODE);
                }
                say(
                    "interrupted: ending this leg and taking the stack down (interrupt again to exit immediately)",
                );
            }
        });
        Ok(Self(receiver))
    }

    /// An interrupt that never comes, for tests and for steps that must not be cut short.
    pub fn never() -> Self {
        let (sender, receiver) = watch::channel(false);
        // A closed channel counts as "never" in `wait`.
        drop(sender);
        Self(receiver)
    }

    pub fn is_raised(&self) -> bool {
        *self.0.borrow()
    }

    pub async fn wait(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|raised| *raised).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Runs `work` to its end, or drops it on an interrupt.
    pub async fn cut_short<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        tokio::select! {
            biased;
            () = self.wait() => Err(Interrupted.into()),
            result = work => result,
        }
    }
}
