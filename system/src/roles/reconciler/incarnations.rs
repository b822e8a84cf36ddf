//! Retires incarnations that died or stopped: fence, drain, only then free the worker id and delete the queue.

use super::Pass;
use super::drain::Drainer;
use crate::store::NOW_MS;
use sqlx::{MySqlPool, Row};

/// Most incarnations looked at in one pass.
const MAX_PER_PASS: i64 = 64;
/// Bindings of this many generations back are taken away.
const MAX_OLD_GENERATIONS: i64 = 16;

/// Retires what can be retired now; the rest is counted as left.
pub async fn retire(pool: &MySqlPool, drainer: &Drainer, margin_ms: u64) -> anyhow::Result<Pass> {
    fence_expired(pool, margin_ms).await?;
    let mut pass = Pass::default();
    for (id, generation) in fenced_for_sure(pool, margin_ms).await? {
        for old in (generation - MAX_OLD_GENERATIONS).max(1)..generation {
            drainer.unbind(id, old).await?;
        }
        if !drainer.drain(id).await? {
            tracing::warn!(incarnation = id, "not drained yet; is a create-consumer running?");
            continue;
        }
        // R6: "drained" is stored before the queue goes.
        sqlx::query("UPDATE incarnations SET state = 'gone', holder = NULL WHERE id = ?")
            .bind(id)
            .execute(pool)
            .await?;
        drainer.delete_queue(id).await?;
        tracing::info!(incarnation = id, "fenced, drained, gone");
        pass.incarnations_retired += 1;
    }
    pass.left = count_fenced(pool).await?;
    Ok(pass)
}

/// R1: a publisher without heartbeats is fenced once its lease has run out for sure, also on its own clock.
async fn fence_expired(pool: &MySqlPool, margin_ms: u64) -> sqlx::Result<()> {
    let sql = format!(
        "UPDATE incarnations SET state = 'fenced', generation = generation + 1, fenced_at_ms = {NOW_MS}
         WHERE state = 'live' AND heartbeat_at_ms + lease_ms + ? < {NOW_MS}"
    );
    let fenced = sqlx::query(&sql).bind(margin_ms).execute(pool).await?.rows_affected();
    if fenced > 0 {
        tracing::warn!(fenced, "incarnations without heartbeat fenced");
    }
    Ok(())
}

/// Fenced for good, and acknowledged or with a lease that has run out.
async fn fenced_for_sure(pool: &MySqlPool, margin_ms: u64) -> sqlx::Result<Vec<(i64, i64)>> {
    let sql = format!(
        "SELECT id, generation FROM incarnations WHERE state = 'fenced'
         AND (acknowledged_generation = generation OR heartbeat_at_ms + lease_ms + ? < {NOW_MS}) ORDER BY id LIMIT ?"
    );
    let rows = sqlx::query(&sql).bind(margin_ms).bind(MAX_PER_PASS).fetch_all(pool).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Publishers that count as live and have not been heard since `since_ms`: each will either speak or be fenced.
pub async fn silent_since(pool: &MySqlPool, since_ms: i64) -> sqlx::Result<u64> {
    let row = sqlx::query("SELECT COUNT(*) FROM incarnations WHERE state = 'live' AND heartbeat_at_ms < ?")
        .bind(since_ms)
        .fetch_one(pool)
        .await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}

async fn count_fenced(pool: &MySqlPool) -> sqlx::Result<u64> {
    let row = sqlx::query("SELECT COUNT(*) FROM incarnations WHERE state = 'fenced'").fetch_one(pool).await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}
