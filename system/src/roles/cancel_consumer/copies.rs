//! Copies for listeners: published in the order in which they were written, and remembered as
//! published when the broker has confirmed them. A copy may come twice, and none is lost; nothing of
//! the sale waits for it.

use crate::broker::{self, Copier, Settings};
use crate::failpoint;
use crate::shutdown::Shutdown;
use crate::store::{CopyLeft, Store};
use std::sync::Arc;
use std::time::Duration;

/// Copies read, and published, together.
const PAGE: usize = 500;
/// First and longest pause while the broker is away, or takes nothing.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Longest wait for the confirms of a page: a broker that is stalled gives none.
const CONFIRM_MAX: Duration = Duration::from_secs(5);

/// Publishes what is left.
#[derive(Debug)]
pub struct Copies {
    store: Store,
    settings: Settings,
    copier: Option<Arc<dyn Copier>>,
}

impl Copies {
    /// Connects when there is something to publish.
    pub fn new(store: Store, settings: Settings) -> Self {
        Self {
            store,
            settings,
            copier: None,
        }
    }

    /// Works until asked to stop.
    pub async fn run(mut self, interval: Duration, shutdown: &Shutdown) {
        let mut pause = PAUSE_MIN;
        loop {
            let looked = tokio::select! {
                // What is published and not remembered is published again.
                () = shutdown.requested() => return,
                looked = self.look() => looked,
            };
            let wait = match looked {
                Ok(()) => {
                    pause = PAUSE_MIN;
                    interval
                }
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "copies wait in the outbox");
                    pause = (pause * 2).min(PAUSE_MAX);
                    pause
                }
            };
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Publishes everything that is left. What one listener refuses does not keep the others from
    /// theirs.
    async fn look(&mut self) -> anyhow::Result<()> {
        let (mut after, mut refused) = (0, 0);
        loop {
            let page = self.store.copies_left(after, PAGE as i64).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            refused += self.publish(&page).await?;
        }
        anyhow::ensure!(
            refused == 0,
            "{refused} copies were refused: the queue of a listener is full"
        );
        Ok(())
    }

    /// How many of a page were refused.
    async fn publish(&mut self, page: &[CopyLeft]) -> anyhow::Result<usize> {
        // One that fails is not used again.
        let copier = match self.copier.take() {
            Some(copier) if copier.is_connected() => copier,
            _ => broker::copier(&self.settings, "cancel-consumer").await?,
        };
        let mut taken = Vec::with_capacity(page.len());
        let publishing = copier.publish(page, &mut taken);
        let published = tokio::time::timeout(CONFIRM_MAX, publishing).await;
        failpoint::hit("copies.after_publish");
        // Whatever became of the others, these are not sent again.
        self.store.mark_published(&taken).await?;
        let late = |_| anyhow::anyhow!("the broker did not confirm within {CONFIRM_MAX:?}");
        published.map_err(late)??;
        self.copier = Some(copier);
        Ok(page.len() - taken.len())
    }
}
