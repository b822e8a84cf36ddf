//! The cancel-consumer role: what is left in the outbox. Gives back the units of cancelled orders
//! that the order service could not give back at once, and tells listeners, by a copy on
//! `seckill.exchange`, at least once.
//!
//! It tries without end: a server that is away is no reason to give anything up.

mod backlog;
mod copies;

use crate::back_off::BackOff;
use crate::broker::Settings;
use crate::config::Config;
use crate::repair::releases::{self, OlderReleases};
use crate::roles::{self, RoleConfig};
use crate::shutdown::Shutdown;
use crate::store::{ReleasesLeft, Store};
use copies::Copies;
use engines::{SaleId, StockEngine};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Shortest pause between two looks for copies where none are written.
const UNWRITTEN_COPIES_PAUSE: Duration = Duration::from_secs(1);

/// Works until asked to stop.
pub async fn run(
    RoleConfig {
        config,
        registry,
        admin,
        ready,
        ..
    }: RoleConfig,
    (): (),
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let store = Store::connect(&config.database, roles::engine(&config, &registry)?).await?;
    admin.needs_database(&store);
    backlog::observe(&admin, &store);
    let engine = roles::build_shared_engine(&config, &registry).await?;
    ready(None)?;
    let interval = Duration::from_millis(config.outbox.interval_ms);
    let releasing = Relay {
        store: store.clone(),
        engine,
        older: OlderReleases::default(),
        seen: HashMap::new(),
        back_off: BackOff::default(),
    };
    let copies = Copies::new(store.clone(), Settings::new(&config));
    tokio::join!(
        releasing.run(interval, &shutdown),
        copies.run(pause_of_copies(&config, interval), &shutdown)
    );
    store.close().await;
    Ok(())
}

/// Between two looks for copies. Where none are written there are only those of before that was
/// changed, or of an order role that was told otherwise.
fn pause_of_copies(config: &Config, interval: Duration) -> Duration {
    match config.order.copies {
        true => interval,
        false => interval.max(UNWRITTEN_COPIES_PAUSE),
    }
}

/// Gives back what is left.
struct Relay {
    store: Store,
    engine: Option<Arc<dyn StockEngine>>,
    older: OlderReleases,
    /// The newest row of releases that was there at the last look, by sale. What has come since is the order
    /// service's: it is giving it back right now.
    seen: HashMap<SaleId, i64>,
    back_off: BackOff<SaleId>,
}

impl Relay {
    async fn run(mut self, interval: Duration, shutdown: &Shutdown) {
        loop {
            tokio::select! {
                // Cut off in the middle if need be: a release may be done twice.
                () = shutdown.requested() => return,
                () = self.look() => {}
            }
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(interval) => {}
            }
        }
    }

    async fn look(&mut self) {
        let (mut newest, mut tried) = (HashMap::new(), HashMap::new());
        let (seen, back_off) = (&self.seen, &self.back_off);
        let may_take = |left: &ReleasesLeft| {
            let sale = left.sale;
            newest.insert(sale, left.row);
            let is_left = seen.get(&sale).is_some_and(|newest| left.row <= *newest);
            let may = is_left && back_off.is_due(sale);
            if may {
                *tried.entry(sale).or_insert(0_u64) += left.releases.len() as u64;
            }
            may
        };
        let (store, engine) = (&self.store, self.engine.as_deref());
        let swept = releases::sweep(store, engine, &mut self.older, may_take).await;
        self.seen = newest;
        match swept {
            Ok(swept) => self.judge(&tried, &swept.done),
            Err(error) => tracing::warn!(%error, "what is left to be released cannot be read"),
        }
        let seen = &self.seen;
        self.back_off.retain(|sale| seen.contains_key(&sale));
    }

    /// A sale of which not everything could be given back is left alone for a while.
    fn judge(&mut self, tried: &HashMap<SaleId, u64>, done: &HashMap<SaleId, u64>) {
        for (sale, tried) in tried {
            match done.get(sale) == Some(tried) {
                true => self.back_off.succeeded(*sale),
                false => self.back_off.failed(*sale),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_that_nobody_writes_are_looked_for_now_and_then() {
        let mut config = Config::default();
        let pauses = |config: &Config| {
            let ms = [5, 100, 60_000].map(Duration::from_millis);
            ms.map(|interval| pause_of_copies(config, interval).as_millis())
        };
        assert_eq!(pauses(&config), [1_000, 1_000, 60_000]);
        config.order.copies = true;
        assert_eq!(pauses(&config), [5, 100, 60_000]);
    }
}
