//! `preallocated`: blocks of stock are leased from the database into the process and sold there,
//! from memory.
//!
//! A lease is a row of `allocations`; it and every unit that is not leased yet survive any process.
//! What a dead one had not sold goes back when it is retired: exactly `granted − sold`
//! ([`close_leases`](crate::close_leases)). Buyers are dealt among the living processes by
//! partition (user id modulo `partitions`), so that two of them never accept one buyer twice. A
//! partition moves only by opening the next epoch: only then is every publisher fenced and every
//! queue drained, so that the rows from which the new owner loads its gate are complete.

mod failures;
mod gates;
mod lease;
mod opening;
mod process;
mod rights;
mod rows;
mod selling;
mod stock;
mod tending;
mod terms;
mod transfer;
mod wants;

use crate::helpers::database_server;
use crate::{
    ALLOCATIONS, BuildFuture, EngineEnv, EngineError, EngineFactory, EngineInfo, Epoch, Finish,
    FinishKind, Finished, Guarantees, HoldKey, HoldPage, HoldPageQuery, IncarnationId, OpenHold,
    Opened, Opening, ParamKind, ParamSpec, Params, Reserve, Result, SaleId, SettingSpec,
    StockEngine, StockView, Tending, Term, Upkeep, Verdict,
};
use database::schema::Migration;
use failures::NAME;
use lease::{CALL_MAX, Lease};
use opening::NewEpoch;
use process::{LOAD_MAX, Process};
use std::sync::Arc;
use std::time::Duration;
use terms::Terms;

/// Tables that take part in a transfer.
const TABLES: [&str; 5] = [
    "allocations",
    "orders",
    "engine_openings",
    "engine_partitions",
    "engine_wants",
];
const GUARANTEES: Guarantees = Guarantees {
    keeps_stock: true,
    survives_process_kill: false,
    survives_server_loss: false,
    needs_user_affinity: true,
    needs_one_engine_per_process: true,
    settles_own_holds: true,
};

const PARAMS: &[ParamSpec] = &[
    ParamSpec {
        name: "block",
        kind: ParamKind::Units { max: 1_000_000 },
        default: "5000",
        about: "units leased at a time; a sale with less stock than the default leases all of it at once",
    },
    ParamSpec {
        name: "partitions",
        kind: ParamKind::Integer { min: 1, max: 4_096 },
        default: "64",
        about: "parts into which the buyers are dealt among the processes",
    },
];

const MIGRATIONS: &[Migration] = &[
    ALLOCATIONS,
    Migration {
        version: 2026112609,
        name: "preallocated engine",
        oldest_binary: 0,
        tables: &["engine_openings", "engine_partitions", "engine_wants"],
        mysql: include_str!("../sql/preallocated.mysql.sql"),
        sqlite: include_str!("../sql/preallocated.sqlite.sql"),
    },
];

/// How the registry lists and builds it.
pub const FACTORY: EngineFactory = EngineFactory {
    name: NAME,
    about: "blocks leased from the database into the process, sold from memory to the buyers it owns; the fastest",
    needs: &["database"],
    params: PARAMS,
    settings: &[SettingSpec::DATABASE_URL],
    migrations: MIGRATIONS,
    guarantees: GUARANTEES,
    is_unsafe: false,
    build,
};

fn build(env: EngineEnv, params: Params) -> BuildFuture {
    Box::pin(async move {
        let process = Arc::new(Process::connect(&env, &params)?);
        Ok(Arc::new(Preallocated { process }) as Arc<dyn StockEngine>)
    })
}

/// The engine. What asks the database runs in a task of its own, so that a caller who is dropped
/// never drops a connection in the middle of an answer: that would be lost to its pool (sqlx
/// 0.8.6). The tasks belong to the runtime that built the engine, whichever thread's runtime calls.
#[derive(Debug)]
struct Preallocated {
    process: Arc<Process>,
}

impl Preallocated {
    /// Waits for `call`, which goes on to its end even if nobody waits any more.
    async fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        what: &str,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        database_server::within(
            &self.process.runtime,
            limit,
            &format!("{NAME}: {what}"),
            call,
        )
        .await
    }

    /// The lease of `terms`, loaded if this process does not have it yet; `None`: not open.
    async fn lease(&self, terms: Terms) -> Result<Option<Arc<Lease>>> {
        if let Some(known) = self.process.known(&terms) {
            return Ok(known);
        }
        let process = self.process.clone();
        self.within(LOAD_MAX, "loading a lease", async move {
            process.load(terms).await
        })
        .await
    }

    /// All of `batch` comes from one incarnation.
    async fn reserve_as(&self, terms: Terms, batch: &[Reserve]) -> Vec<Result<Verdict>> {
        let mut verdicts = Vec::with_capacity(batch.len());
        let lease = match self.lease(terms).await {
            Ok(Some(lease)) => lease,
            Ok(None) => return batch.iter().map(|_| Ok(Verdict::NotOpen)).collect(),
            Err(error) => return error.for_each(batch.len()),
        };
        lease.answer_here(batch, &mut verdicts);
        let rest = batch[verdicts.len()..].to_vec();
        if !rest.is_empty() {
            let (process, count) = (self.process.clone(), rest.len());
            let more = async move {
                Ok(lease
                    .with_more(&process.database, process.sizes.block, &rest)
                    .await)
            };
            match self.within(CALL_MAX, "a refill", more).await {
                Ok(mut more) => verdicts.append(&mut more),
                Err(error) => verdicts.extend(error.for_each(count)),
            }
        }
        verdicts
    }
}

#[async_trait::async_trait]
impl StockEngine for Preallocated {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            name: NAME.to_owned(),
            parameters: self.process.parameters.clone(),
            guarantees: GUARANTEES,
        }
    }

    async fn open(&self, opening: &Opening) -> Result<Opened> {
        let process = self.process.clone();
        let epoch = NewEpoch::of(opening, &process.sizes);
        self.within(
            LOAD_MAX,
            "an opening",
            async move { process.open(&epoch).await },
        )
        .await
    }

    async fn reserve(&self, term: &Term, batch: &[Reserve]) -> Vec<Result<Verdict>> {
        let terms = |items: &[Reserve]| Terms {
            term: *term,
            incarnation: items[0].incarnation,
        };
        let mut slices = batch.chunk_by(|a, b| a.incarnation == b.incarnation);
        let Some(first) = slices.next() else {
            return Vec::new();
        };
        let mut verdicts = self.reserve_as(terms(first), first).await;
        // A process has one incarnation at a time, so there is nothing more in practice.
        for items in slices {
            verdicts.append(&mut self.reserve_as(terms(items), items).await);
        }
        verdicts
    }

    async fn finish(&self, term: &Term, batch: &[Finish]) -> Vec<Result<Finished>> {
        let Some(lease) = self.process.loaded_for(term) else {
            return batch.iter().map(|_| Ok(Finished::NotOpen)).collect();
        };
        let finished: Vec<_> = batch.iter().map(|item| Ok(lease.finish(item))).collect();
        if batch.iter().any(|item| item.kind == FinishKind::Release) && lease.has_released() {
            let process = self.process.clone();
            // They are released whatever the database says now: their units stay noted until it has
            // them.
            let _ = self
                .within(CALL_MAX, "a release", async move {
                    lease.flush(&process.database).await
                })
                .await;
        }
        finished
    }

    async fn open_holds(&self, term: &Term, page: &HoldPageQuery) -> Result<HoldPage> {
        let lease = self.process.loaded_for(term);
        let lease = lease.ok_or_else(|| EngineError::not_open(term))?;
        let holds = lease.open_holds(page);
        ensure_open(&lease, term).map(|()| holds)
    }

    async fn mark(&self, term: &Term, holds: &[HoldKey], age: Duration) -> Result<Vec<OpenHold>> {
        let lease = self.process.loaded_for(term);
        let lease = lease.ok_or_else(|| EngineError::not_open(term))?;
        let marked = lease.mark(holds, age);
        ensure_open(&lease, term).map(|()| marked)
    }

    async fn stock(&self, term: &Term) -> Result<StockView> {
        let (process, term) = (self.process.clone(), *term);
        self.within(CALL_MAX, "a look at the stock", async move {
            process.view(&term).await
        })
        .await
    }
}

/// Whether what was just found in the lease is all there was: closing it clears its gates.
fn ensure_open(lease: &Lease, term: &Term) -> Result<()> {
    match lease.is_closed() {
        true => Err(EngineError::not_open(term)),
        false => Ok(()),
    }
}

#[async_trait::async_trait]
impl Upkeep for Preallocated {
    async fn check_server(&self, allow_volatile: bool) -> Result<Vec<(String, String)>> {
        let process = self.process.clone();
        self.within(CALL_MAX, "a check of the server", async move {
            database_server::check(NAME, &process.database, &TABLES, allow_volatile).await
        })
        .await
    }

    async fn tend(&self, tending: &Tending) -> Result<u64> {
        let term = tending.term;
        // A lease is the business of its own process alone.
        let Some(incarnation) = tending.publisher else {
            return Ok(0);
        };
        let Some(lease) = self.lease(Terms { term, incarnation }).await? else {
            return Ok(0);
        };
        let process = self.process.clone();
        self.within(CALL_MAX, "a tending", async move {
            lease.tend(&process.database, process.sizes.block).await
        })
        .await
    }

    async fn hand_back(&self, publisher: IncarnationId) -> Result<()> {
        let process = self.process.clone();
        self.within(CALL_MAX, "a hand-back", async move {
            process.hand_back(publisher).await
        })
        .await
    }

    async fn retire(&self, sale: SaleId, epoch: Epoch) -> Result<()> {
        let process = self.process.clone();
        let retire = async move { process.retire(sale, epoch).await };
        self.within(LOAD_MAX, "a retirement", retire).await
    }
}

#[cfg(test)]
mod tests;
