//! Takes a free worker id, declares the incarnation's queue and binds its key.

use super::identity::{Identity, minted_until_ms};
use crate::broker::{self, Settings};
use crate::clock::{monotonic_ms, unix_ms};
use crate::ids::{Generation, WorkerId};
use crate::order_id::{MAX_AHEAD_MS, Minter, WORKER_IDS};
use crate::store::{Publisher, Store};
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
    minted_until_ms: i64,
}

impl Registrar {
    /// A new incarnation in its first generation.
    pub(super) async fn register(&self) -> anyhow::Result<Arc<Identity>> {
        let sent_ms = monotonic_ms();
        let registered = self.take_worker_id().await?;
        let minter = Arc::new(Minter::new(registered.worker, registered.minted_until_ms));
        let identity = self
            .bind(registered.id, Generation::FIRST, minter, sent_ms)
            .await?;
        tracing::info!(
            incarnation = identity.id.0,
            worker = registered.worker.0,
            "registered"
        );
        Ok(identity)
    }

    /// The same incarnation in a later generation, after its fence was acknowledged.
    pub(super) async fn adopt(
        &self,
        id: IncarnationId,
        generation: Generation,
        minter: Arc<Minter>,
    ) -> anyhow::Result<Arc<Identity>> {
        let sent_ms = monotonic_ms();
        // Acknowledged here too: a second fence may have come between the acknowledgement and the
        // reading of the generation, and no identity acts at this point. Its fencer would otherwise
        // wait for ever.
        ensure!(self.store.adopt(id, generation).await?, "fenced again");
        self.bind(id, generation, minter, sent_ms).await
    }

    /// bind-then-recheck (R2): bind, read the generation again, use it only if unchanged.
    async fn bind(
        &self,
        id: IncarnationId,
        generation: Generation,
        minter: Arc<Minter>,
        sent_ms: u64,
    ) -> anyhow::Result<Arc<Identity>> {
        let broker = broker::connect(&self.broker, &format!("incarnation-{id}")).await?;
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
            let (worker, last_minted_ms) = self.pick_worker_id().await?;
            let until_ms = last_minted_ms.max(unix_ms() + MAX_AHEAD_MS);
            let until_ms = minted_until_ms(until_ms, self.publisher.lease_ms);
            let id = self.store.register(worker, &self.publisher, until_ms).await;
            if let Some(id) = id.context("cannot register this process")? {
                return Ok(Registered {
                    id,
                    worker,
                    minted_until_ms: last_minted_ms,
                });
            }
        }
        bail!("cannot get a worker id: lost the race for one {PICK_ATTEMPTS} times")
    }

    /// worker-id-outlives-lease (R17): a worker id is free when nobody holds it; of the free ones
    /// the one used longest ago is taken.
    async fn pick_worker_id(&self) -> anyhow::Result<(WorkerId, i64)> {
        let known = self
            .store
            .worker_ids()
            .await
            .context("cannot read the worker ids")?;
        let used: HashMap<WorkerId, _> =
            known.into_iter().map(|used| (used.worker, used)).collect();
        let free = (0..WORKER_IDS)
            .map(WorkerId)
            .filter_map(|worker| match used.get(&worker) {
                None => Some((worker, 0)),
                Some(used) if used.is_held => None,
                Some(used) => Some((worker, used.minted_until_ms)),
            });
        free.min_by_key(|(worker, until)| (*until, *worker))
            .with_context(|| {
                format!("all {WORKER_IDS} worker ids are held; is the reconciler running?")
            })
    }
}
