//! Looks after an engine that keeps its state in this process: refills its leases, hands back what
//! others need, and settles, or voids, the holds that only this process knows.

mod refusals;
mod tending;

use super::published::{Published, PublishedBatch};
use super::shared::Shared;
use crate::envelope::OrderEvent;
use crate::repair::releases::{self, OlderReleases};
use crate::repair::{Drainer, HoldRepair, HoldScope};
use crate::shutdown::Shutdown;
use crate::store::Store;
use engines::{Finish, FinishKind, StockEngine};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use refusals::Refusals;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often leases are tended: a block must last longer than this.
const TEND_INTERVAL: Duration = Duration::from_millis(5);
/// The same while nothing is being sold: no lease gets smaller then, and more often nothing is done for
/// other processes. The first requests after that fetch what they lack themselves.
const IDLE_TEND_INTERVAL: Duration = Duration::from_millis(25);
/// Pause between two markers that prove that what was published before has become rows.
const SETTLE_INTERVAL: Duration = Duration::from_millis(100);
/// Pause after such a marker failed.
const SETTLE_RETRY: Duration = Duration::from_secs(1);
/// Pause between two looks at holds that stay open.
const REPAIR_INTERVAL: Duration = Duration::from_millis(500);
/// How often the outbox is looked at for cancelled orders: bounds how long a buyer who has cancelled
/// cannot buy again.
const RELEASE_INTERVAL: Duration = Duration::from_millis(25);
/// Pause after the outbox could not be read.
const RELEASE_RETRY: Duration = Duration::from_secs(1);
/// Holds settled in one engine call.
const CHUNK: usize = 500;
/// Longest wait for the database when handing back: a process that stops does not wait for one that
/// hangs.
const HAND_BACK_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs until it is stopped.
#[derive(Debug)]
pub struct Caretaker {
    shared: Arc<Shared>,
    engine: Arc<dyn StockEngine>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Caretaker {
    /// Starts on the current runtime.
    pub fn start(shared: Arc<Shared>, engine: Arc<dyn StockEngine>, store: Store) -> Self {
        let (stop, stopped) = Shutdown::channel();
        let mut tasks = JoinSet::new();
        let mut spawn = |name: &str, task: BoxFuture<'static, ()>| {
            let task = task.map(anyhow::Ok);
            let supervisor = shared.supervisor.clone();
            tasks.spawn(supervisor.task(name.to_owned(), stopped.clone(), task));
        };
        let tending = tend(shared.clone(), engine.clone(), stopped.clone());
        spawn("the care for leases", tending.boxed());
        if shared.published.is_some() {
            let settling = settle(
                shared.clone(),
                engine.clone(),
                store.clone(),
                stopped.clone(),
            );
            spawn("the settling of holds", settling.boxed());
        }
        if engine.info().guarantees.settles_own_holds {
            let releasing = release(store.clone(), engine.clone(), stopped.clone());
            spawn("the release of cancelled orders", releasing.boxed());
            let repairing = repair(shared.clone(), engine.clone(), store, stopped.clone());
            spawn("the repair of holds", repairing.boxed());
        }
        Self {
            shared,
            engine,
            stop,
            tasks,
        }
    }

    /// Ends the care and hands back what is not sold. Call it when nothing is served any more, and
    /// while the process still has its lease.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        let Some(identity) = self.shared.incarnation.current() else {
            return;
        };
        let handing_back = async {
            // Connections that a serving thread had opened went with it: each fails once.
            while let Err(error) = self.engine.hand_back(identity.id).await {
                tracing::debug!(%error, "handing back again");
                tokio::time::sleep(TEND_INTERVAL).await;
            }
        };
        if tokio::time::timeout(HAND_BACK_TIMEOUT, handing_back)
            .await
            .is_err()
        {
            tracing::warn!("could not hand the leases back in time; the reconciler will");
        }
    }
}

async fn tend(shared: Arc<Shared>, engine: Arc<dyn StockEngine>, stopped: Shutdown) {
    let mut tended = tending::Tended::default();
    let mut changes = shared.terms.changes();
    loop {
        let sales = shared.terms.sales();
        if let Some(identity) = shared.incarnation.current() {
            tended.tend(&engine, &sales, identity.id).await;
        }
        tended.retire(engine.as_ref(), &sales).await;
        tended.report();
        tokio::select! {
            () = stopped.requested() => return,
            () = tokio::time::sleep(tend_pause(shared.published.as_ref())) => {}
            // A lease of a new epoch is loaded at once.
            Ok(()) = changes.changed() => {}
        }
    }
}

/// Something is being sold for as long as anything is on its way to a row.
fn tend_pause(published: Option<&Published>) -> Duration {
    match published.is_some_and(Published::is_empty) {
        true => IDLE_TEND_INTERVAL,
        false => TEND_INTERVAL,
    }
}

/// Settles what was published before a marker once the marker is committed: two or three statements
/// for thousands of orders, where looking for their rows would cost the database several µs each.
async fn settle(
    shared: Arc<Shared>,
    engine: Arc<dyn StockEngine>,
    store: Store,
    stopped: Shutdown,
) {
    let Some(published) = &shared.published else {
        return;
    };
    let mut settling = Settling {
        shared: &shared,
        engine: engine.as_ref(),
        store: &store,
        drainer: Drainer::new(store.clone(), &shared.config),
        refusals: Refusals::default(),
    };
    let mut waiting = Vec::new();
    loop {
        waiting.append(&mut published.take());
        let settling = async {
            let before = count(&waiting);
            let settled = settling.settle_drained(&mut waiting).await;
            published.forgotten(before - count(&waiting));
            if let Err(error) = &settled {
                tracing::debug!(error = format!("{error:#}"), "holds are not settled yet");
            }
            tokio::time::sleep(if settled.is_ok() {
                SETTLE_INTERVAL
            } else {
                SETTLE_RETRY
            })
            .await;
        };
        tokio::select! {
            // What is left, the end of the lease takes along.
            () = stopped.requested() => return,
            () = settling => {}
        }
    }
}

fn count(batches: &[PublishedBatch]) -> usize {
    batches.iter().map(|batch| batch.orders.len()).sum()
}

struct Settling<'a> {
    shared: &'a Shared,
    engine: &'a dyn StockEngine,
    store: &'a Store,
    drainer: Drainer,
    refusals: Refusals,
}

impl Settling<'_> {
    async fn settle_drained(&mut self, waiting: &mut Vec<PublishedBatch>) -> anyhow::Result<()> {
        let Some(first) = waiting.first() else {
            return Ok(());
        };
        let incarnation = first.incarnation;
        anyhow::ensure!(
            self.drainer.drain(incarnation).await?,
            "the queue of incarnation {incarnation} does not drain"
        );
        // void-before-release (R9): only what became a live row is settled.
        self.refusals.look(self.store, incarnation).await?;
        let (drained, others): (Vec<_>, Vec<_>) = std::mem::take(waiting)
            .into_iter()
            .partition(|batch| batch.incarnation == incarnation);
        *waiting = others;
        let before = count(&drained);
        let became_rows: Vec<_> = drained
            .into_iter()
            .filter(|batch| self.refusals.none_is_in_a_message_of(batch.before_ms))
            .collect();
        let in_doubt = before - count(&became_rows);
        if in_doubt > 0 {
            tracing::info!(
                incarnation = incarnation.0,
                in_doubt,
                "a message was parked meanwhile; the rows of these orders are looked for"
            );
        }
        let orders = became_rows.into_iter().flat_map(|batch| batch.orders);
        let orders: Vec<_> = orders
            .filter(|order| !self.refusals.is_refused(order.order))
            .collect();
        for chunk in orders
            .chunk_by(|a, b| a.sale == b.sale)
            .flat_map(|of_sale| of_sale.chunks(CHUNK))
        {
            let sale = self.shared.terms.sale(chunk[0].sale);
            let Some(open) = sale.and_then(|row| row.open) else {
                continue;
            };
            let finishes: Vec<_> = chunk.iter().map(settled).collect();
            // A hold of an earlier epoch is settled in the gate of the present one already.
            for result in self.engine.finish(&open.term, &finishes).await {
                result?;
            }
        }
        Ok(())
    }
}

fn settled(order: &OrderEvent) -> Finish {
    Finish {
        user: order.user,
        order: order.order,
        kind: FinishKind::Settle,
    }
}

/// Gives back what was cancelled of this process's buyers. What is cancelled of others' is theirs,
/// and of one who is dead ends with the next epoch (release-by-epoch, R12).
async fn release(store: Store, engine: Arc<dyn StockEngine>, stopped: Shutdown) {
    let mut older = OlderReleases::default();
    loop {
        let looking = releases::sweep(&store, Some(engine.as_ref()), &mut older, |_| true);
        let pause = tokio::select! {
            // Cut off in the middle if need be: a release may be done twice.
            () = stopped.requested() => return,
            looked = looking => match looked {
                Ok(_) => RELEASE_INTERVAL,
                Err(error) => {
                    tracing::warn!(%error, "cancelled orders are not given back yet");
                    RELEASE_RETRY
                }
            }
        };
        tokio::select! {
            () = stopped.requested() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Deals with holds that stay open, as the reconciler does for engines that keep them in a server.
async fn repair(
    shared: Arc<Shared>,
    engine: Arc<dyn StockEngine>,
    store: Store,
    stopped: Shutdown,
) {
    let drainer = Drainer::new(store.clone(), &shared.config);
    // Without confirms no marker proves anything, so rows are looked for from the beginning.
    let scope = if shared.published.is_some() {
        HoldScope::Orphans
    } else {
        HoldScope::All
    };
    let mut holds = HoldRepair::new(&shared.config, scope);
    loop {
        tokio::select! {
            () = stopped.requested() => return,
            () = tokio::time::sleep(REPAIR_INTERVAL) => {}
        }
        tokio::select! {
            // Cut off in the middle if need be: what is left, the end of the lease takes along.
            () = stopped.requested() => return,
            pass = holds.repair(&store, engine.as_ref(), &drainer) => if let Err(error) = pass {
                tracing::debug!(error = format!("{error:#}"), "open holds were not looked at");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engines::{AllocationId, IncarnationId, OrderId, SaleId, UserId};

    #[test]
    fn leases_are_tended_often_for_as_long_as_an_order_is_on_its_way() {
        let published = Published::default();
        let pause = || tend_pause(Some(&published));
        assert_eq!(pause(), IDLE_TEND_INTERVAL);
        let order = OrderEvent {
            order: OrderId(1),
            user: UserId(1),
            sale: SaleId(1),
            quantity: 1,
            total_price_cents: 1,
            allocation: AllocationId(1),
            created_at_ms: 1,
        };
        published.confirmed(PublishedBatch {
            incarnation: IncarnationId(1),
            before_ms: 1,
            orders: vec![order],
        });
        assert_eq!(pause(), TEND_INTERVAL);
        let taken = count(&published.take());
        assert_eq!(pause(), TEND_INTERVAL, "it is not dealt with yet");
        published.forgotten(taken);
        assert_eq!(pause(), IDLE_TEND_INTERVAL);
        // Of whoever does not remember what is published nobody knows.
        assert_eq!(tend_pause(None), TEND_INTERVAL);
    }
}
