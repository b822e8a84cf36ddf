//! Looks after an engine that keeps its state in this process: refills its leases, hands back what others need, and
//! settles, or voids, the holds that only this process knows.

use super::serving::Shared;
use crate::repair::{Drainer, HoldRepair, Look};
use crate::shutdown::Shutdown;
use crate::store::Store;
use engines::{Maintain, StockEngine};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often leases are tended: a block must last longer than this.
const TEND_INTERVAL: Duration = Duration::from_millis(5);
/// How often open holds are looked for in the database. The pause doubles, up to the longest, while most of them are
/// not there yet, so that a consumer that lags behind is not asked for what it has not written.
const SETTLE_MIN: Duration = Duration::from_millis(100);
const SETTLE_MAX: Duration = Duration::from_secs(2);
/// Longest wait for the database when handing back: a process that stops does not wait for one that hangs.
const HAND_BACK_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs until it is stopped.
#[derive(Debug)]
pub struct Caretaker {
    shared: Arc<Shared>,
    engine: Arc<dyn StockEngine>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Caretaker {
    /// Starts on the current runtime.
    pub fn start(shared: Arc<Shared>, engine: Arc<dyn StockEngine>, store: Store) -> Self {
        let (stop, stopped) = Shutdown::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(tend(shared.clone(), engine.clone(), stopped.clone()));
        tasks.spawn(settle(shared.clone(), engine.clone(), store, stopped));
        Self { shared, engine, stop, tasks }
    }

    /// Ends the care and hands back what is not sold. Call it when nothing is served any more, and while the process
    /// still has its lease.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        let Some(identity) = self.shared.incarnation.current() else { return };
        let task = Maintain::HandBack { publisher: identity.id };
        let handing_back = async {
            // Connections that a serving thread had opened went with it: each fails once.
            while let Err(error) = self.engine.maintain(&task).await {
                tracing::debug!(%error, "handing back again");
                tokio::time::sleep(TEND_INTERVAL).await;
            }
        };
        if tokio::time::timeout(HAND_BACK_TIMEOUT, handing_back).await.is_err() {
            tracing::warn!("could not hand the leases back in time; the reconciler will");
        }
    }
}

async fn tend(shared: Arc<Shared>, engine: Arc<dyn StockEngine>, stopped: Shutdown) {
    loop {
        if let Some(identity) = shared.incarnation.current() {
            for row in shared.terms.sales().values() {
                let Some(open) = row.open else { continue };
                let task = Maintain::Tend { term: open.term, publisher: Some(identity.id) };
                if let Err(error) = engine.maintain(&task).await {
                    tracing::warn!(sale = row.sale.0, %error, "cannot tend");
                }
            }
        }
        tokio::select! {
            () = stopped.requested() => return,
            () = tokio::time::sleep(TEND_INTERVAL) => {}
        }
    }
}

async fn settle(shared: Arc<Shared>, engine: Arc<dyn StockEngine>, store: Store, stopped: Shutdown) {
    let drainer = Drainer::new(store.clone(), &shared.config);
    let mut holds = HoldRepair::new(shared.config.reconciler.grace_ms, Look::AtEverything);
    let mut pause = SETTLE_MIN;
    loop {
        tokio::select! {
            () = stopped.requested() => return,
            () = tokio::time::sleep(pause) => {}
        }
        tokio::select! {
            // Cut off in the middle if need be: what is left the lease's end takes along.
            () = stopped.requested() => return,
            pass = holds.repair(&store, engine.as_ref(), &drainer) => match pass {
                Ok(pass) if pass.left > pass.holds_settled => pause = (pause * 2).min(SETTLE_MAX),
                Ok(_) => pause = SETTLE_MIN,
                Err(error) => tracing::debug!(error = format!("{error:#}"), "open holds were not looked at"),
            }
        }
    }
}
