//! Open holds that stay open: settles those whose row exists, voids those that provably never will
//! have one.
//!
//! Never on age alone: a slow consumer makes old holds that are all right. An orphan is marked (a
//! retry is then told "busy"), every queue it may have gone through is drained, and only then its
//! absence is made final (mark-with-age, R8; void-before-release, R9).

use super::drain::Drainer;
use super::pass::Pass;
use super::troubles::Troubles;
use crate::back_off::BackOff;
use crate::clock::monotonic_ms;
use crate::config::Config;
use crate::failpoint;
use crate::store::{OpenSale, Store};
use engines::{
    Finish, FinishKind, Finished, HoldKey, HoldPageQuery, IncarnationId, OpenHold, OrderId, SaleId,
    StockEngine, Term,
};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Holds per page, and per engine call.
const PAGE: u32 = 500;
/// Holds looked at in one pass and sale.
const MAX_PER_PASS: usize = 50_000;

/// Repairs open holds, and remembers since when it has seen each of them untouched.
#[derive(Debug)]
pub struct HoldRepair {
    grace: Grace,
    /// In effect, ms: as configured, or longer while somebody has a longer deadline.
    grace_ms: u64,
    scope: HoldScope,
    /// deadline-before-reserve (R7): the engine's wall clock can jump, so the age counts on this
    /// process's monotonic clock too.
    sightings: HashMap<OrderId, Sighting>,
    troubles: Troubles,
    /// Incarnations whose queues could not be drained a moment ago.
    back_off: BackOff<IncarnationId>,
}

/// deadline-before-reserve (R7): the grace period exceeds the deadline of whoever may still publish
/// what they have reserved, also of those that run with another configuration.
#[derive(Clone, Copy, Debug)]
struct Grace {
    configured_ms: u64,
    /// By how much it exceeds a deadline; as much as it does in the configuration.
    beyond_deadline_ms: u64,
}

impl Grace {
    async fn in_effect_ms(self, store: &Store) -> anyhow::Result<u64> {
        let longest_ms = store.longest_deadline_ms().await?;
        Ok(self
            .configured_ms
            .max(longest_ms.saturating_add(self.beyond_deadline_ms)))
    }
}

/// Which open holds a pass takes up. It only selects: nothing is voided before its grace period is
/// over.
#[derive(Clone, Copy, Debug)]
pub enum HoldScope {
    /// Those old enough to be orphans: the consumer settles the others.
    Orphans,
    /// Also younger ones, if they were there at this time, monotonic ms.
    ThereSince(u64),
    /// All of them, because nobody else settles them.
    All,
}

/// A hold as it was when it was first seen since its last touch.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    sale: SaleId,
    /// Its last touch, by the engine's clock, unix ms.
    touched_at_ms: i64,
    /// When it was first seen, monotonic ms of this process.
    first_seen_ms: u64,
}

impl HoldRepair {
    /// With the grace period of `config`, which is greater than its publish deadline.
    pub fn new(config: &Config, scope: HoldScope) -> Self {
        let grace_ms = config.reconciler.grace_ms;
        Self {
            grace: Grace {
                configured_ms: grace_ms,
                beyond_deadline_ms: grace_ms.saturating_sub(config.seckill.publish_timeout_ms),
            },
            grace_ms,
            scope,
            sightings: HashMap::new(),
            troubles: Troubles::new("cannot repair the holds of a sale yet"),
            back_off: BackOff::default(),
        }
    }

    /// How long the oldest open hold of each sale has been seen untouched.
    pub fn oldest(&self) -> HashMap<SaleId, Duration> {
        let now_ms = monotonic_ms();
        let mut oldest: HashMap<SaleId, Duration> = HashMap::new();
        for sighting in self.sightings.values() {
            let age = Duration::from_millis(now_ms.saturating_sub(sighting.first_seen_ms));
            let known = oldest.entry(sighting.sale).or_default();
            *known = age.max(*known);
        }
        oldest
    }

    /// Takes up the holds of every open sale. A sale whose holds cannot be repaired now does not
    /// keep those of another from it.
    pub async fn repair(
        &mut self,
        store: &Store,
        engine: &dyn StockEngine,
        drainer: &Drainer,
    ) -> anyhow::Result<Pass> {
        self.grace_ms = self.grace.in_effect_ms(store).await?;
        let mut pass = Pass::default();
        let (mut listed, mut unlisted) = (HashSet::new(), HashSet::new());
        for row in store.sales().await? {
            let Some(open) = row.open else { continue };
            let repair = SaleRepair {
                store,
                engine,
                drainer,
                sale: row.sale,
                open,
            };
            let repaired = match list(engine, &open.term, self.least_age()).await {
                Ok(holds) => {
                    listed.extend(holds.iter().map(|hold| hold.order));
                    repair.run(holds, self).await
                }
                Err(error) => {
                    unlisted.insert(row.sale);
                    Err(error)
                }
            };
            match repaired {
                Ok(repaired) => pass.add(repaired),
                Err(error) => {
                    self.troubles.add(format!("sale {}: {error:#}", row.sale));
                    pass.left += 1;
                }
            }
        }
        self.forget_all_but(&listed, &unlisted);
        self.troubles.report();
        Ok(pass)
    }

    /// Keeps what was seen of the holds in `listed`, and of those of sales that could not be listed:
    /// one such sale does not keep the memory of all others for ever.
    fn forget_all_but(&mut self, listed: &HashSet<OrderId>, unlisted: &HashSet<SaleId>) {
        self.sightings
            .retain(|order, seen| listed.contains(order) || unlisted.contains(&seen.sale));
    }

    /// Age from which holds are looked at.
    fn least_age(&self) -> Duration {
        Duration::from_millis(match self.scope {
            HoldScope::Orphans => self.grace_ms,
            HoldScope::ThereSince(since_ms) => self.grace_ms.min(monotonic_ms() - since_ms),
            HoldScope::All => 0,
        })
    }

    /// Whether this hold has been seen untouched for the whole grace period.
    fn is_ripe(&mut self, sale: SaleId, hold: &OpenHold) -> bool {
        let now_ms = monotonic_ms();
        let fresh = Sighting {
            sale,
            touched_at_ms: hold.touched_at_ms,
            first_seen_ms: now_ms,
        };
        let sighting = self.sightings.entry(hold.order).or_insert(fresh);
        if sighting.touched_at_ms != hold.touched_at_ms {
            *sighting = fresh;
        }
        now_ms - sighting.first_seen_ms >= self.grace_ms
    }
}

async fn list(
    engine: &dyn StockEngine,
    term: &Term,
    age: Duration,
) -> anyhow::Result<Vec<OpenHold>> {
    let mut holds = Vec::new();
    let mut cursor = 0;
    while holds.len() < MAX_PER_PASS {
        let query = HoldPageQuery {
            age,
            cursor,
            limit: PAGE,
        };
        let page = engine.open_holds(term, &query).await?;
        holds.extend(page.holds);
        match page.next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    Ok(holds)
}

struct SaleRepair<'a> {
    store: &'a Store,
    engine: &'a dyn StockEngine,
    drainer: &'a Drainer,
    sale: SaleId,
    open: OpenSale,
}

impl SaleRepair<'_> {
    async fn run(&self, holds: Vec<OpenHold>, memory: &mut HoldRepair) -> anyhow::Result<Pass> {
        let mut pass = Pass::default();
        let without_row = self.resolve(holds, &mut pass).await?;
        pass.left += without_row.len() as u64;
        let (marked, unmarked): (Vec<_>, Vec<_>) =
            without_row.into_iter().partition(|hold| hold.marked);
        let mut ripe: Vec<_> = unmarked
            .into_iter()
            .filter(|hold| memory.is_ripe(self.sale, hold))
            .collect();
        self.leave_out_parked(&mut ripe).await?;
        let ripe: Vec<HoldKey> = ripe.iter().map(OpenHold::key).collect();
        let mut doomed = marked;
        for chunk in ripe.chunks(PAGE as usize) {
            let age = Duration::from_millis(memory.grace_ms);
            doomed.extend(self.engine.mark(&self.open.term, chunk, age).await?);
            failpoint::hit("reconciler.after_mark");
        }
        if !doomed.is_empty() {
            // Somebody with a longer deadline may have touched one just before it was marked.
            memory.grace_ms = memory.grace.in_effect_ms(self.store).await?;
            doomed.retain(|hold| hold.age_ms >= memory.grace_ms || memory.is_ripe(self.sale, hold));
            self.void(doomed, &mut memory.back_off, &mut pass).await?;
        }
        Ok(pass)
    }

    /// Settles and releases what has a row; returns the others.
    async fn resolve(
        &self,
        holds: Vec<OpenHold>,
        pass: &mut Pass,
    ) -> anyhow::Result<Vec<OpenHold>> {
        let ids: Vec<OrderId> = holds.iter().map(|hold| hold.order).collect();
        let rows = self.store.live_by_order(&ids).await?;
        let mut finishes = Vec::new();
        let mut others = Vec::new();
        for hold in holds {
            match rows.get(&hold.order) {
                Some(true) => finishes.push(finish(&hold, FinishKind::Settle)),
                // Void or cancelled.
                Some(false) => finishes.push(finish(&hold, FinishKind::Release)),
                None => others.push(hold),
            }
        }
        self.finish(&finishes, pass).await?;
        Ok(others)
    }

    /// mark-with-age (R8): a marker through every queue that a touch may have published to; then
    /// look; then make it final.
    async fn void(
        &self,
        doomed: Vec<OpenHold>,
        back_off: &mut BackOff<IncarnationId>,
        pass: &mut Pass,
    ) -> anyhow::Result<()> {
        let queues: HashSet<IncarnationId> = doomed
            .iter()
            .flat_map(|hold| hold.touched_by.iter().copied())
            .collect();
        let mut drained = HashSet::new();
        for queue in queues {
            if !back_off.is_due(queue) {
                continue;
            }
            match self.drainer.drain(queue).await {
                Ok(true) => drop(drained.insert(queue)),
                Ok(false) => {}
                // Holds that did not go through it need not wait for it.
                Err(error) => {
                    tracing::warn!(
                        incarnation = queue.0,
                        error = format!("{error:#}"),
                        "its queue keeps holds from being judged"
                    );
                    back_off.failed(queue);
                    continue;
                }
            }
            back_off.succeeded(queue);
        }
        let ready = doomed
            .into_iter()
            .filter(|hold| hold.touched_by.iter().all(|queue| drained.contains(queue)));
        let mut orphans = self.resolve(ready.collect(), pass).await?;
        self.leave_out_parked(&mut orphans).await?;
        for chunk in orphans.chunks(PAGE as usize) {
            let void = self
                .store
                .insert_voids(self.sale, self.open.allocation_id, chunk)
                .await?;
            failpoint::hit("reconciler.after_void");
            let voided: Vec<_> = chunk
                .iter()
                .filter(|hold| void.contains(&hold.order))
                .collect();
            if let Some(first) = voided.first() {
                let (sale, count) = (self.sale.0, voided.len());
                let (order, user) = (first.order.0, first.user.0);
                tracing::info!(
                    sale,
                    count,
                    order,
                    user,
                    "orphans voided, this one among them"
                );
            }
            let releases: Vec<_> = voided
                .into_iter()
                .map(|hold| finish(hold, FinishKind::Release))
                .collect();
            self.finish(&releases, pass).await?;
        }
        Ok(())
    }

    /// parked-is-final (R10): an order that may sit in a parked message is not voided until
    /// somebody has resolved it.
    async fn leave_out_parked(&self, holds: &mut Vec<OpenHold>) -> anyhow::Result<()> {
        if !holds.is_empty() {
            let parked = self.store.maybe_parked(holds).await?;
            holds.retain(|hold| !parked.contains(&hold.order));
        }
        Ok(())
    }

    async fn finish(&self, finishes: &[Finish], pass: &mut Pass) -> anyhow::Result<()> {
        for chunk in finishes.chunks(PAGE as usize) {
            for (item, result) in chunk
                .iter()
                .zip(self.engine.finish(&self.open.term, chunk).await)
            {
                match (result?, item.kind) {
                    (Finished::Done, FinishKind::Settle) => pass.holds_settled += 1,
                    (Finished::Done, FinishKind::Release) => pass.holds_released += 1,
                    (Finished::AlreadyDone, _) => {}
                    // It is as open as before: whoever opens the sale next, or owns the buyer,
                    // takes care of it.
                    (Finished::NotOpen | Finished::WrongInstance, _) => pass.left += 1,
                }
            }
        }
        Ok(())
    }
}

fn finish(hold: &OpenHold, kind: FinishKind) -> Finish {
    Finish {
        user: hold.user,
        order: hold.order,
        kind,
    }
}

#[cfg(test)]
mod tests;
