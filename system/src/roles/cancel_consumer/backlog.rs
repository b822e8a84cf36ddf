//! What is left in the outbox, and what waits for people, looked up when somebody scrapes.

use crate::admin::Admin;
use crate::clock::unix_ms;
use crate::metrics::Kind;
use crate::store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// As it was looked up last.
#[derive(Debug, Default)]
struct Backlog {
    releases: AtomicU64,
    copies: AtomicU64,
    release_age_ms: AtomicU64,
    parked: AtomicU64,
    parked_age_ms: AtomicU64,
}

/// Has it looked up.
pub fn observe(admin: &Admin, store: &Store) {
    let backlog = Arc::<Backlog>::default();
    register(admin, &backlog);
    let store = store.clone();
    admin.measure("the outbox", move || {
        let (backlog, store) = (backlog.clone(), store.clone());
        async move {
            if let Err(error) = backlog.look(&store).await {
                tracing::debug!(%error, "the outbox was not looked at");
            }
        }
    });
}

fn register(admin: &Admin, backlog: &Arc<Backlog>) {
    let metrics = admin.metrics();
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let s = move |age_ms: &AtomicU64| of(age_ms) as f64 / 1e3;
    let left = backlog.clone();
    let (name, help) = ("seckill_outbox_pending", "Still to be done");
    metrics.register(Kind::Gauge, name, help, move |out| {
        out.count(&[("kind", "release")], of(&left.releases));
        out.count(&[("kind", "copy")], of(&left.copies));
    });
    let left = backlog.clone();
    let (name, help) = ("seckill_outbox_age_seconds", "Of the oldest release");
    metrics.gauge(name, help, move || s(&left.release_age_ms));
    let left = backlog.clone();
    let help = "Dead letters that nobody has resolved";
    metrics.gauge("seckill_parked_messages", help, move || {
        of(&left.parked) as f64
    });
    let left = backlog.clone();
    let (name, help) = ("seckill_parked_age_seconds", "Of the oldest of them");
    metrics.gauge(name, help, move || s(&left.parked_age_ms));
}

impl Backlog {
    async fn look(&self, store: &Store) -> database::Result<()> {
        let (left, letters) = (store.left_over().await?, store.open_dead_letters().await?);
        let age_ms = left.oldest_release_ms.map_or(0, |ms| unix_ms() - ms);
        for (shown, seen) in [
            (&self.releases, left.releases),
            (&self.copies, left.copies),
            (&self.release_age_ms, u64::try_from(age_ms).unwrap_or(0)),
            (&self.parked, letters.open),
            (
                &self.parked_age_ms,
                u64::try_from(letters.oldest_age_ms).unwrap_or(0),
            ),
        ] {
            shown.store(seen, Ordering::Relaxed);
        }
        Ok(())
    }
}
