//! `sharded-slots`: the stock of a sale dealt over N slots, each a key set with a hash tag of its
//! own, on one Redis or on a Redis Cluster. A batch is one script call for each slot that it
//! touches, all of them in parallel.
//!
//! A buyer's gate, holds and touches live in the buyer's home slot for ever. Units, never buyers,
//! move between slots (`transfers`), so that no unit is stranded; "sold out" is said only after a
//! look at all slots (`deciding`). The script is sharded_slots.lua.

mod address;
mod answers;
mod deciding;
mod health;
mod link;
mod opening;
mod retiring;
mod slots;
mod transfers;
mod view;

#[cfg(test)]
mod broken_tests;
#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod reach_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transfer_tests;

use crate::helpers::key_set::{RECORDS_PER_CALL_MAX, Script};
use crate::helpers::{clock::millis, known_terms::KnownTerms};
use crate::{
    BuildFuture, EngineEnv, EngineError, EngineFactory, EngineInfo, Epoch, Finish, Finished,
    Guarantees, HoldKey, HoldPage, HoldPageQuery, OpenHold, Opened, Opening, PAGE_MAX, ParamKind,
    ParamSpec, Params, Reserve, Result, SaleId, SettingSpec, StockEngine, StockView, Tending, Term,
    Upkeep, UserId, Verdict,
};
use answers::NAME;
use futures_util::future::join_all;
use link::Link;
use slots::Slots;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const SCRIPT: &str = concat!(
    include_str!("helpers/key_set/shared.lua"),
    include_str!("sharded_slots.lua")
);

/// Terms whose slots are remembered; beyond it they are computed, and looked at, again.
const KNOWN_TERMS_MAX: usize = 256;
/// Bits of a listing's cursor below the number of the slot; a cursor within a slot is smaller than
/// its table.
const CURSOR_BITS: u32 = 48;

/// How the registry lists and builds it.
pub const FACTORY: EngineFactory = EngineFactory {
    name: NAME,
    about: "stock dealt over slots in different hash slots, on one Redis or a Redis Cluster; units move between slots",
    needs: &["redis-or-cluster"],
    params: &[ParamSpec {
        name: "slots",
        kind: ParamKind::Integer { min: 1, max: 1_024 },
        default: "4",
        about: "key sets that the stock of a sale is dealt over, a few per Redis node; the same in every process",
    }],
    settings: &[SettingSpec::REDIS_OR_CLUSTER_URL],
    migrations: &[],
    guarantees: GUARANTEES,
    is_unsafe: false,
    build,
};

const GUARANTEES: Guarantees = Guarantees {
    keeps_stock: true,
    survives_process_kill: true,
    survives_server_loss: true,
    needs_user_affinity: false,
    needs_one_engine_per_process: false,
    settles_own_holds: false,
};

fn build(env: EngineEnv, params: Params) -> BuildFuture {
    Box::pin(async move {
        let slots = params.integer("slots")? as usize;
        let url = env.required(NAME, "redis.url")?;
        let engine = ShardedSlots::connect(url, slots, SCRIPT, env.key_prefix.clone()).await?;
        Ok(Arc::new(engine) as Arc<dyn StockEngine>)
    })
}

struct ShardedSlots {
    link: Link,
    slots: usize,
    /// Of [`SCRIPT`], except in tests that break it.
    script: Script,
    prefix: String,
    known: KnownTerms<Slots>,
}

impl std::fmt::Debug for ShardedSlots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardedSlots")
            .field("slots", &self.slots)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl ShardedSlots {
    async fn connect(url: &str, slots: usize, script: &str, prefix: String) -> Result<Self> {
        let link = Link::connect(url).await?;
        Ok(Self {
            link,
            slots,
            script: slots::script(slots, script),
            prefix,
            known: KnownTerms::new(KNOWN_TERMS_MAX),
        })
    }

    fn slots(&self, term: &Term) -> Arc<Slots> {
        let new = || Slots::new(&self.prefix, term, self.slots, &self.script);
        self.known.get(term, new)
    }

    /// The slots of `term`, if all of them are open. Once they have been, each notices a loss by
    /// itself; before that a half-finished opening must not sell from the slots that it has already
    /// opened.
    async fn open_slots(&self, term: &Term) -> Result<Option<Arc<Slots>>> {
        let slots = self.slots(term);
        if !slots.was_open.load(Ordering::Relaxed) {
            let Some(states) = slots.states_of_all(&self.link).await? else {
                return Ok(None);
            };
            slots.remember_states(Arc::new(states));
            slots.was_open.store(true, Ordering::Relaxed);
        }
        Ok(Some(slots))
    }

    async fn finish_some(&self, term: &Term, batch: &[Finish]) -> Result<Vec<Result<Finished>>> {
        let not_open = || batch.iter().map(|_| Ok(Finished::NotOpen)).collect();
        let Some(slots) = self.open_slots(term).await? else {
            return Ok(not_open());
        };
        let groups = Self::by_home(&slots, batch.iter().map(|item| item.user));
        let calls = groups.map(async |(slot, group)| {
            let items: Vec<&Finish> = group.iter().map(|index| &batch[*index]).collect();
            let finished = slots.finish(&self.link, slot, &items).await;
            (group, finished)
        });
        let mut answers: Vec<Result<Finished>> = not_open();
        for (group, finished) in join_all(calls).await {
            match finished {
                Ok(Some(finished)) => group
                    .into_iter()
                    .zip(finished)
                    .for_each(|(at, done)| answers[at] = Ok(done)),
                Ok(None) => {}
                Err(error) => group
                    .into_iter()
                    .for_each(|at| answers[at] = Err(error.repeat())),
            }
        }
        Ok(answers)
    }

    /// The indices of `users`, by the slot where each lives; slots without any are left out.
    fn by_home(
        slots: &Slots,
        users: impl Iterator<Item = UserId>,
    ) -> impl Iterator<Item = (usize, Vec<usize>)> {
        let mut groups: Vec<Vec<usize>> = vec![Vec::new(); slots.slots.len()];
        for (index, user) in users.enumerate() {
            groups[slots.home(user)].push(index);
        }
        let groups = groups.into_iter().enumerate();
        groups.filter(|(_, group)| !group.is_empty())
    }

    /// Goes on from slot to slot until the page is full.
    async fn list(&self, slots: &Slots, query: &HoldPageQuery) -> Result<Option<HoldPage>> {
        let limit = query.limit.clamp(1, PAGE_MAX);
        let mut slot = (query.cursor >> CURSOR_BITS) as usize;
        let mut inner = query.cursor & ((1 << CURSOR_BITS) - 1);
        let mut page = HoldPage::default();
        while slot < self.slots {
            let part = slots.list(&self.link, slot, inner, limit, millis(query.age));
            let Some(part) = part.await? else {
                return Ok(None);
            };
            page.holds.extend(part.holds);
            (slot, inner) = part.next.map_or((slot + 1, 0), |next| (slot, next));
            if page.holds.len() >= limit as usize {
                break;
            }
        }
        page.next = (slot < self.slots).then_some((slot as u64) << CURSOR_BITS | inner);
        Ok(Some(page))
    }

    /// Every hold is marked in the home slot of its buyer.
    async fn mark_some(
        &self,
        slots: &Slots,
        holds: &[HoldKey],
        age: Duration,
    ) -> Result<Option<Vec<OpenHold>>> {
        let groups = Self::by_home(slots, holds.iter().map(|hold| hold.user));
        let calls = groups.map(async |(slot, group)| {
            let keys: Vec<HoldKey> = group.into_iter().map(|index| holds[index]).collect();
            slots.mark(&self.link, slot, &keys, millis(age)).await
        });
        let mut marked = Vec::new();
        for part in join_all(calls).await {
            let Some(part) = part? else { return Ok(None) };
            marked.extend(part.holds);
        }
        Ok(Some(marked))
    }
}

#[async_trait::async_trait]
impl StockEngine for ShardedSlots {
    fn info(&self) -> EngineInfo {
        let parameters = vec![format!("slots={}", self.slots)];
        EngineInfo {
            name: NAME.to_owned(),
            parameters,
            guarantees: GUARANTEES,
        }
    }

    async fn open(&self, opening: &Opening) -> Result<Opened> {
        self.open_in_phases(opening).await
    }

    async fn reserve(&self, term: &Term, batch: &[Reserve]) -> Vec<Result<Verdict>> {
        let mut verdicts = Vec::with_capacity(batch.len());
        for items in batch.chunks(RECORDS_PER_CALL_MAX) {
            verdicts.extend(match self.open_slots(term).await {
                Ok(Some(slots)) => deciding::decide(&slots, &self.link, items).await,
                Ok(None) => items.iter().map(|_| Ok(Verdict::NotOpen)).collect(),
                Err(error) => error.for_each(items.len()),
            });
        }
        verdicts
    }

    async fn finish(&self, term: &Term, batch: &[Finish]) -> Vec<Result<Finished>> {
        let mut answers = Vec::with_capacity(batch.len());
        for items in batch.chunks(RECORDS_PER_CALL_MAX) {
            answers.extend(
                self.finish_some(term, items)
                    .await
                    .unwrap_or_else(|error| error.for_each(items.len())),
            );
        }
        answers
    }

    async fn open_holds(&self, term: &Term, page: &HoldPageQuery) -> Result<HoldPage> {
        let not_open = || EngineError::not_open(term);
        let slots = self.open_slots(term).await?.ok_or_else(not_open)?;
        self.list(&slots, page).await?.ok_or_else(not_open)
    }

    async fn mark(&self, term: &Term, holds: &[HoldKey], age: Duration) -> Result<Vec<OpenHold>> {
        let not_open = || EngineError::not_open(term);
        let slots = self.open_slots(term).await?.ok_or_else(not_open)?;
        let mut marked = Vec::new();
        for holds in holds.chunks(RECORDS_PER_CALL_MAX) {
            let some = self.mark_some(&slots, holds, age).await?;
            marked.extend(some.ok_or_else(not_open)?);
        }
        Ok(marked)
    }

    async fn stock(&self, term: &Term) -> Result<StockView> {
        self.view(term).await
    }
}

#[async_trait::async_trait]
impl Upkeep for ShardedSlots {
    async fn check_server(&self, allow_volatile: bool) -> Result<Vec<(String, String)>> {
        health::check(&self.link, allow_volatile).await
    }

    /// Transfers last less than a ms; what a crash has interrupted is met by whoever needs the
    /// units, and finished by the reconciler otherwise.
    async fn tend(&self, tending: &Tending) -> Result<u64> {
        if tending.publisher.is_some() {
            return Ok(0);
        }
        let Some(slots) = self.open_slots(&tending.term).await? else {
            return Ok(0);
        };
        let Some(states) = slots.states_of_all(&self.link).await? else {
            return Ok(0);
        };
        let completed = transfers::complete_all(&slots, &self.link, &states).await?;
        Ok(completed.unwrap_or(0))
    }

    async fn retire(&self, sale: SaleId, epoch: Epoch) -> Result<()> {
        self.forget(sale, epoch).await
    }
}
