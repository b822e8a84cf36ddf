//! Which products have changed, whoever changed them, and looks at those that are asked for.
//!
//! Both in turns: what a look has seen holds every change that was read before it, and any later one
//! is read after it.

use super::looks::Looks;
use crate::store::{ProductPage, ProductView, Store};
use engines::SaleId;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

/// Longest time that products are believed without a look at what has changed.
pub const TRUST_MAX: Duration = Duration::from_secs(5);
/// Pause after a look that failed.
const PAUSE: Duration = Duration::from_millis(50);

/// Keeps products up to date, and makes lists forget what has changed.
#[derive(Debug)]
pub struct Changes<P> {
    pub store: Store,
    pub products: Looks<SaleId, Arc<ProductView>>,
    pub pages: Looks<ProductPage, P>,
    /// Changes up to this version are read.
    pub version: i64,
    /// How often the next ones are.
    pub interval: Duration,
}

impl<P: Clone> Changes<P> {
    /// Does so without end; at once for whoever asks, who is told when it is done.
    pub async fn follow(mut self, mut asked: mpsc::Receiver<oneshot::Sender<()>>) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    self.read().await;
                }
                Some(done) = asked.recv() => {
                    if self.read().await {
                        let _ = done.send(());
                    }
                }
                () = self.products.wanted() => self.look().await,
            }
        }
    }

    async fn look(&self) {
        let Some(look) = self.products.next() else {
            return;
        };
        match self.store.products(&look.keys).await {
            Ok(found) => {
                let found = found.into_iter();
                let found = found.map(|product| (product.id, Arc::new(product)));
                self.products.done(look, Ok(found.collect()));
            }
            Err(error) => {
                self.products.done(look, Err(error.to_string()));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Whether it could be read what has changed.
    async fn read(&mut self) -> bool {
        let read_at = Instant::now();
        let before = self.version;
        loop {
            let changed = match self.store.products_changed(self.version).await {
                Ok(changed) => changed,
                Err(error) => {
                    tracing::warn!(%error, "cannot read which products have changed");
                    return false;
                }
            };
            let Some((_, last)) = changed.last().copied() else {
                break;
            };
            for (id, version) in changed {
                self.products.forget(id, |seen| {
                    let known = seen.value.as_ref();
                    known.is_none_or(|product| product.version < version)
                });
            }
            self.version = last;
        }
        if self.version != before {
            self.pages.forget_all();
        }
        self.products.trust_until(read_at + TRUST_MAX);
        true
    }
}
