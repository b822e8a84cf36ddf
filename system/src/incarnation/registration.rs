//! Takes a free worker id, declares the incarnation's queue and binds its key.

use super::identity::Identity;
use crate::broker::{self, Broker, Settings};
use crate::clock::{monotonic_ms, unix_ms};
use crate::ids::{Generation, WorkerId};
use crate::order_id::{MAX_AHEAD_MS, Minter, WORKER_IDS, minted_until_ms};
use crate::store::{Publisher, Store, WorkerUse};
use crate::terms::Terms;
use anyhow::{Context, bail, ensure};
use engines::IncarnationId;
use std::collections::HashMap;
use std::sync::Arc;

/// Two processes may pick the same free worker id; the loser picks again, at most this often.
const PICK_ATTEMPTS: usize = 16;

#[derive(Debug)]
pub(super) struct Registrar {
    pub(super) store: Store,
    pub(super) broker: Settings,
    pub(super) terms: Terms,
    pub(super) publisher: Publisher,
}

struct Registered {
    id: IncarnationId,
    worker: WorkerId,
    minter: Arc<Minter>,
}

impl Registrar {
    /// A new incarnation in its first generation.
    pub(super) async fn register(&self) -> anyhow::Result<Arc<Identity>> {
        let sent_ms = monotonic_ms();
        let registered = self.take_worker_id().await?;
        let minter = registered.minter;
        let broker = self.broker(registered.id).await?;
        ensure!(
            broker.declare_queue(registered.id).await?,
            "the node of a new queue is down"
        );
        let identity = self
            .bind(&*broker, registered.id, Generation::FIRST, minter, sent_ms)
            .await?;
        tracing::info!(
            incarnation = identity.id.0,
            worker = registered.worker.0,
            "registered"
        );
        Ok(identity)
    }

    /// The same incarnation in a later generation, after its fence was acknowledged. `None`: its
    /// queue is gone, or cannot be reached (exclusive-route, R6).
    pub(super) async fn adopt(
        &self,
        id: IncarnationId,
        generation: Generation,
        minter: Arc<Minter>,
    ) -> anyhow::Result<Option<Arc<Identity>>> {
        let sent_ms = monotonic_ms();
        // Acknowledged here too: a second fence may have come between the acknowledgement and the
        // reading of the generation, and no identity acts at this point. Its fencer would otherwise
        // wait for ever.
        ensure!(self.store.adopt(id, generation).await?, "fenced again");
        let broker = self.broker(id).await?;
        if !broker.has_queue(id).await? {
            broker.close("no queue").await;
            return Ok(None);
        }
        let bound = self.bind(&*broker, id, generation, minter, sent_ms);
        bound.await.map(Some)
    }

    async fn broker(&self, id: IncarnationId) -> anyhow::Result<Arc<dyn Broker>> {
        broker::connect(&self.broker, &format!("incarnation-{id}")).await
    }

    /// bind-then-recheck (R2): bind, read the generation again, use it only if unchanged.
    async fn bind(
        &self,
        broker: &dyn Broker,
        id: IncarnationId,
        generation: Generation,
        minter: Arc<Minter>,
        sent_ms: u64,
    ) -> anyhow::Result<Arc<Identity>> {
        broker.bind(id, generation).await?;
        if !self
            .store
            .confirm_binding(id, generation, &self.broker.queue_name(id))
            .await?
        {
            broker.unbind(id, generation).await?;
            bail!("fenced while binding generation {generation}");
        }
        broker.close("bound").await;
        // one-term-per-batch (R3): whoever fenced the generation before this one had claimed a new
        // epoch first. A term read from now on cannot be the one that ended with that fence; one
        // remembered from before could be.
        self.terms
            .refresh()
            .await
            .context("cannot read the sales")?;
        Ok(Identity::new(
            id,
            generation,
            minter,
            sent_ms + self.publisher.lease_ms,
        ))
    }

    async fn take_worker_id(&self) -> anyhow::Result<Registered> {
        for _ in 0..PICK_ATTEMPTS {
            let known = self.store.worker_ids().await;
            let known = known.context("cannot read the worker ids")?;
            let (worker, last_minted_ms) = free_worker_id(&known)?;
            let until_ms = last_minted_ms.max(unix_ms() + MAX_AHEAD_MS);
            let until_ms = minted_until_ms(until_ms, self.publisher.lease_ms);
            let id = self.store.register(worker, &self.publisher, until_ms).await;
            if let Some(id) = id.context("cannot register this process")? {
                let minter = Arc::new(Minter::new(worker, last_minted_ms, until_ms));
                return Ok(Registered { id, worker, minter });
            }
        }
        bail!("cannot get a worker id: lost the race for one {PICK_ATTEMPTS} times")
    }
}

/// worker-id-outlives-lease (R17): a worker id is free when nobody holds it. Whoever held it was
/// retired, behind their own word that they have stopped or behind the wait for their lease. Of the
/// free ones one that was never used is taken, or the one used longest ago; with until when ids may
/// have been minted under it, unix ms.
fn free_worker_id(known: &[WorkerUse]) -> anyhow::Result<(WorkerId, i64)> {
    let used: HashMap<WorkerId, &WorkerUse> =
        known.iter().map(|used| (used.worker, used)).collect();
    let free = (0..WORKER_IDS)
        .map(WorkerId)
        .filter_map(|worker| match used.get(&worker) {
            None => Some((worker, 0)),
            Some(used) if used.is_held => None,
            Some(used) => Some((worker, used.minted_until_ms)),
        });
    free.min_by_key(|(worker, until)| (*until, *worker))
        .with_context(|| {
            format!(
                "all {WORKER_IDS} worker ids are held; a reconciler frees those of processes that are gone"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(worker: i64, minted_until_ms: i64, is_held: bool) -> WorkerUse {
        let worker = WorkerId(worker);
        WorkerUse {
            worker,
            minted_until_ms,
            is_held,
        }
    }

    #[test]
    fn a_worker_id_that_is_held_is_never_taken_and_one_that_was_never_used_goes_first() {
        let mut known = vec![used(0, 9, true), used(1, 5, false)];
        assert_eq!(free_worker_id(&known).unwrap(), (WorkerId(2), 0));
        known.extend((2..WORKER_IDS).map(|worker| used(worker, worker, worker != 7)));
        assert_eq!(free_worker_id(&known).unwrap(), (WorkerId(1), 5));
        known[1].is_held = true;
        assert_eq!(free_worker_id(&known).unwrap(), (WorkerId(7), 7));
        known[7].is_held = true;
        let refused = free_worker_id(&known).unwrap_err().to_string();
        assert!(
            refused.starts_with("all 1024 worker ids are held"),
            "{refused}"
        );
    }
}
