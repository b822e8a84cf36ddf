//! Retires incarnations that died or stopped: fence, drain, only then free the worker id, give back
//! what their leases have not sold, and delete the queue.

use super::watch::Watch;
use crate::back_off::BackOff;
use crate::failpoint;
use crate::repair::{Drainer, Pass};
use crate::store::{Fenced, Store};
use engines::IncarnationId;

/// Most incarnations looked at in one pass.
const MAX_PER_PASS: i64 = 64;
/// Bindings of this many generations back are taken away.
const MAX_OLD_GENERATIONS: i64 = 16;

/// Retires what can be retired now; the rest is counted as left. An incarnation whose queue cannot
/// be reached keeps nobody else waiting, and is tried again after a pause.
pub async fn retire(
    store: &Store,
    drainer: &Drainer,
    watch: &Watch,
    back_off: &mut BackOff<IncarnationId>,
) -> anyhow::Result<Pass> {
    // fence-wait (R1): a publisher without heartbeats is fenced once its lease has run out for
    // sure, also on its own clock.
    for silent in watch.silent().await? {
        if store.fence_silent(&silent).await? {
            tracing::warn!(incarnation = silent.id.0, "without heartbeat; fenced");
        }
    }
    let mut pass = Pass::default();
    for fenced in store.fenced_for_sure(MAX_PER_PASS).await? {
        if !back_off.is_due(fenced.id) {
            continue;
        }
        match retire_one(store, drainer, &fenced).await {
            Ok(true) => {
                back_off.succeeded(fenced.id);
                pass.incarnations_retired += 1;
            }
            Ok(false) => {
                tracing::warn!(
                    incarnation = fenced.id.0,
                    "not drained yet; is a create-consumer running?"
                );
            }
            Err(error) => {
                give_way(fenced.id, &error, "it cannot be retired yet", back_off);
                if !drainer.is_connected().await {
                    break;
                }
            }
        }
    }
    // exclusive-route (R6): "drained" is stored before the queue goes. One whose deletion failed is
    // found again here.
    for id in store.queues_to_delete(MAX_PER_PASS).await? {
        let deleted = match back_off.is_due(id) {
            true => drainer.delete_queue(id).await,
            false => {
                pass.left += 1;
                continue;
            }
        };
        match deleted {
            Ok(()) => {
                store.queue_deleted(id).await?;
                back_off.succeeded(id);
            }
            Err(error) => {
                give_way(id, &error, "its queue stays for now", back_off);
                pass.left += 1;
                if !drainer.is_connected().await {
                    break;
                }
            }
        }
    }
    pass.left += store.count_fenced().await?;
    Ok(pass)
}

/// `false`: its queue is not drained yet.
async fn retire_one(store: &Store, drainer: &Drainer, fenced: &Fenced) -> anyhow::Result<bool> {
    for old in fenced.generation.earlier(MAX_OLD_GENERATIONS) {
        drainer.unbind(fenced.id, old).await?;
    }
    if !drainer.drain(fenced.id).await? {
        return Ok(false);
    }
    store.retire(fenced.id).await?;
    failpoint::hit("reconciler.after_retire");
    tracing::info!(incarnation = fenced.id.0, "fenced, drained, gone");
    Ok(true)
}

fn give_way(
    id: IncarnationId,
    error: &anyhow::Error,
    what: &str,
    back_off: &mut BackOff<IncarnationId>,
) {
    tracing::warn!(incarnation = id.0, error = format!("{error:#}"), "{what}");
    back_off.failed(id);
}
