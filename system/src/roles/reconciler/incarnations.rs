//! Retires incarnations that died or stopped: fence, drain, only then free the worker id, give back
//! what their leases have not sold, and delete the queue.

use super::watch::Watch;
use crate::failpoint;
use crate::repair::{Drainer, Pass};
use crate::store::Store;

/// Most incarnations looked at in one pass.
const MAX_PER_PASS: i64 = 64;
/// Bindings of this many generations back are taken away.
const MAX_OLD_GENERATIONS: i64 = 16;

/// Retires what can be retired now; the rest is counted as left.
pub async fn retire(store: &Store, drainer: &Drainer, watch: &Watch) -> anyhow::Result<Pass> {
    // fence-wait (R1): a publisher without heartbeats is fenced once its lease has run out for
    // sure, also on its own clock.
    for silent in watch.silent().await? {
        if store.fence_silent(&silent).await? {
            tracing::warn!(incarnation = silent.id.0, "without heartbeat; fenced");
        }
    }
    let mut pass = Pass::default();
    for fenced in store.fenced_for_sure(MAX_PER_PASS).await? {
        for old in fenced.generation.earlier(MAX_OLD_GENERATIONS) {
            drainer.unbind(fenced.id, old).await?;
        }
        if !drainer.drain(fenced.id).await? {
            tracing::warn!(
                incarnation = fenced.id.0,
                "not drained yet; is a create-consumer running?"
            );
            continue;
        }
        store.retire(fenced.id).await?;
        failpoint::hit("reconciler.after_retire");
        tracing::info!(incarnation = fenced.id.0, "fenced, drained, gone");
        pass.incarnations_retired += 1;
    }
    // exclusive-route (R6): "drained" is stored before the queue goes. One whose deletion failed is
    // found again here.
    for id in store.queues_to_delete(MAX_PER_PASS).await? {
        match drainer.delete_queue(id).await {
            Ok(()) => store.queue_deleted(id).await?,
            Err(error) => {
                tracing::warn!(
                    incarnation = id.0,
                    error = format!("{error:#}"),
                    "its queue stays for now"
                );
                pass.left += 1;
            }
        }
    }
    pass.left += store.count_fenced().await?;
    Ok(pass)
}
