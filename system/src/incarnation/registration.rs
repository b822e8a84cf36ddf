//! Takes a free worker id, declares the incarnation's queue and binds its key.

use super::Identity;
use crate::broker::{self, Names};
use crate::clock::{monotonic_ms, unix_ms};
use crate::config::MqConfig;
use crate::order_id::{MAX_AHEAD_MS, Minter, WORKER_IDS};
use crate::store::NOW_MS;
use crate::terms::Terms;
use anyhow::{Context, bail, ensure};
use engines::IncarnationId;
use sqlx::{MySqlPool, Row};
use std::collections::HashMap;
use std::sync::Arc;

/// Two processes may pick the same free worker id; the loser picks again, at most this often.
const PICK_ATTEMPTS: usize = 16;

#[derive(Debug)]
pub(super) struct Registrar {
    pub(super) pool: MySqlPool,
    pub(super) mq: MqConfig,
    pub(super) terms: Terms,
    pub(super) lease_ms: u64,
}

struct Registered {
    id: IncarnationId,
    worker: u16,
    minted_until_ms: i64,
}

impl Registrar {
    /// A new incarnation in its first generation.
    pub(super) async fn register(&self) -> anyhow::Result<Arc<Identity>> {
        let sent_ms = monotonic_ms();
        let registered = self.take_worker_id().await?;
        let minter = Arc::new(Minter::new(registered.worker, registered.minted_until_ms));
        let identity = self.bind(registered.id, 1, minter, sent_ms).await?;
        tracing::info!(incarnation = identity.id.0, worker = registered.worker, "registered");
        Ok(identity)
    }

    /// The same incarnation in a later generation, after its fence was acknowledged.
    pub(super) async fn adopt(
        &self,
        id: IncarnationId,
        generation: i64,
        minter: Arc<Minter>,
    ) -> anyhow::Result<Arc<Identity>> {
        let sent_ms = monotonic_ms();
        // Acknowledged here too: a second fence may have come between the acknowledgement and the reading of the
        // generation, and no identity acts at this point. Its fencer would otherwise wait for ever.
        let found = sqlx::query(&format!(
            "UPDATE incarnations SET heartbeat_at_ms = {NOW_MS}, acknowledged_generation = generation
             WHERE id = ? AND generation = ? AND state = 'live'"
        ))
        .bind(id.0)
        .bind(generation)
        .execute(&self.pool)
        .await?
        .rows_affected();
        ensure!(found == 1, "fenced again");
        self.bind(id, generation, minter, sent_ms).await
    }

    /// R2: bind, read the generation again, use it only if unchanged.
    async fn bind(
        &self,
        id: IncarnationId,
        generation: i64,
        minter: Arc<Minter>,
        sent_ms: u64,
    ) -> anyhow::Result<Arc<Identity>> {
        let names = Names::new(&self.mq);
        let connection = broker::connect(&self.mq, &format!("incarnation-{id}")).await?;
        let channel = connection.create_channel().await.context("cannot open a channel")?;
        broker::declare_exchanges(&channel, &names).await?;
        broker::declare_order_queue(&channel, &names, &self.mq, id.0).await?;
        broker::bind_generation(&channel, &names, id.0, generation).await?;
        let found = sqlx::query("UPDATE incarnations SET queue = ? WHERE id = ? AND generation = ? AND state = 'live'")
            .bind(names.order_queue(id.0).as_str())
            .bind(id.0)
            .bind(generation)
            .execute(&self.pool)
            .await?
            .rows_affected();
        if found != 1 {
            broker::unbind_generation(&channel, &names, id.0, generation).await?;
            bail!("fenced while binding generation {generation}");
        }
        let _ = connection.close(200, "bound".into()).await;
        // R3: who fenced the generation before this one had claimed a new epoch first. A term read from now on cannot
        // be the one that ended with that fence; one remembered from before could be.
        self.terms.refresh().await.context("cannot read the sales")?;
        Ok(Identity::new(id, generation, minter, sent_ms + self.lease_ms))
    }

    async fn take_worker_id(&self) -> anyhow::Result<Registered> {
        for _ in 0..PICK_ATTEMPTS {
            let (worker, minted_until_ms) = self.pick_worker_id().await?;
            let sql = format!(
                "INSERT INTO incarnations (worker_id, holder, lease_ms, heartbeat_at_ms, minted_until_ms) VALUES (?, 1, ?, {NOW_MS}, ?)"
            );
            let until_ms = minted_until_ms.max(unix_ms() + MAX_AHEAD_MS);
            let inserted = sqlx::query(&sql)
                .bind(worker)
                .bind(self.lease_ms)
                .bind(super::minted_until_ms(until_ms, self.lease_ms))
                .execute(&self.pool)
                .await;
            match inserted {
                Ok(done) => {
                    let id =
                        IncarnationId(i64::try_from(done.last_insert_id()).context("incarnation id out of range")?);
                    return Ok(Registered { id, worker, minted_until_ms });
                }
                Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {}
                Err(error) => return Err(error).context("cannot register this process"),
            }
        }
        bail!("cannot get a worker id: lost the race for one {PICK_ATTEMPTS} times")
    }

    /// R17: a worker id is free when nobody holds it; of the free ones the one used longest ago is taken.
    async fn pick_worker_id(&self) -> anyhow::Result<(u16, i64)> {
        let rows = sqlx::query(
            "SELECT worker_id, MAX(minted_until_ms), MAX(holder IS NOT NULL) FROM incarnations GROUP BY worker_id",
        )
        .fetch_all(&self.pool)
        .await
        .context("cannot read the worker ids")?;
        let mut used = HashMap::with_capacity(rows.len());
        for row in rows {
            let (worker, until, held): (i16, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            used.insert(u16::try_from(worker).unwrap_or(u16::MAX), (until, held != 0));
        }
        let free = (0..WORKER_IDS).filter_map(|worker| match used.get(&worker) {
            None => Some((worker, 0)),
            Some((until, false)) => Some((worker, *until)),
            Some((_, true)) => None,
        });
        free.min_by_key(|(worker, until)| (*until, *worker))
            .with_context(|| format!("all {WORKER_IDS} worker ids are held; is the reconciler running?"))
    }
}
