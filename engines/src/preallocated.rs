//! `preallocated`: blocks of stock are leased from the database into the process and sold there,
//! from memory.
//!
//! A lease is a row of `allocations`; it and every unit that is not leased yet survive any process.
//! What a dead one had not sold goes back when it is retired: exactly `granted − sold`
//! ([`close_leases`](crate::close_leases)). Buyers are dealt among the living processes by
//! partition (user id modulo `partitions`), so that two of them never accept one buyer twice. A
//! partition moves only by opening the next epoch: only then is every publisher fenced and every
//! queue drained, so that the rows from which the new owner loads its gate are complete.

mod gates;
mod lease;
mod opening;
mod rights;
mod stock;
mod transfer;

use crate::helpers::clock::now_ms;
use crate::helpers::database_server;
use crate::{
    ALLOCATIONS, BuildFuture, EngineEnv, EngineError, EngineFactory, EngineInfo, Epoch, Finish,
    FinishKind, Finished, Guarantees, HoldKey, HoldPage, HoldPageQuery, IncarnationId, OpenHold,
    Opened, Opening, ParamKind, ParamSpec, Params, Reserve, Result, SaleId, SettingSpec,
    StockEngine, StockView, Tending, Term, Upkeep, Verdict,
};
use database::Database;
use database::schema::Migration;
use lease::Lease;
use opening::{NewestOpening, Plan};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

const NAME: &str = "preallocated";
/// Tables that take part in a transfer.
const TABLES: [&str; 5] = [
    "allocations",
    "orders",
    "engine_openings",
    "engine_partitions",
    "engine_wants",
];
/// Longest wait for the database inside a call that moves units. What was begun is concluded by the
/// next.
const CALL_MAX: Duration = Duration::from_secs(2);
/// Longest wait of a call for a lease and its gate to be loaded.
const LOAD_MAX: Duration = Duration::from_secs(10);
/// Longest wait of a request for units that other processes have idle; then it is told to try
/// again.
const WAIT_MAX: Duration = Duration::from_millis(150);

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

/// One per process: the leases of all sales.
#[derive(Debug)]
struct Process {
    runtime: tokio::runtime::Handle,
    database: Database,
    block: u64,
    block_was_asked_for: bool,
    partitions: u64,
    parameters: Vec<String>,
    leases: RwLock<HashMap<SaleId, Arc<Lease>>>,
    /// Held by whoever loads a lease; the others wait and find it loaded.
    loading: tokio::sync::Mutex<()>,
    /// Incarnations that have handed back; one per life of a process.
    stopped: Mutex<HashSet<IncarnationId>>,
}

/// A term, and who sells under it.
#[derive(Clone, Copy, Debug)]
struct Terms {
    term: Term,
    incarnation: IncarnationId,
}

impl Terms {
    fn of(lease: &Lease) -> Self {
        Self {
            term: lease.term,
            incarnation: lease.incarnation,
        }
    }

    /// Incarnations are numbered in the order of their starts, so of two that use this object the
    /// larger one lives.
    fn is_newer_than(&self, loaded: &Self) -> bool {
        let is_later_life = self.term == loaded.term && self.incarnation > loaded.incarnation;
        self.term.epoch > loaded.term.epoch || is_later_life
    }
}

impl Process {
    fn connect(env: &EngineEnv, params: &Params) -> Result<Self> {
        let database = database_server::connect(NAME, env.required(NAME, "database.url")?)?;
        Ok(Self {
            runtime: tokio::runtime::Handle::current(),
            database,
            block: params.integer("block")?,
            block_was_asked_for: params.is_given("block"),
            partitions: params.integer("partitions")?,
            parameters: params.in_effect(),
            leases: RwLock::default(),
            loading: tokio::sync::Mutex::default(),
            stopped: Mutex::default(),
        })
    }

    fn loaded(&self, sale: SaleId) -> Option<Arc<Lease>> {
        self.leases
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&sale)
            .cloned()
    }

    /// The lease of this very term, unless it is over.
    fn loaded_for(&self, term: &Term) -> Option<Arc<Lease>> {
        let lease = self.loaded(term.sale)?;
        (lease.term == *term && !lease.is_closed()).then_some(lease)
    }

    fn stopped(&self) -> MutexGuard<'_, HashSet<IncarnationId>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known without asking the database; `None`: nothing, the terms are newer than what is
    /// loaded.
    fn known(&self, terms: &Terms) -> Option<Option<Arc<Lease>>> {
        let lease = self.loaded(terms.term.sale)?;
        let loaded = Terms::of(&lease);
        if (loaded.term, loaded.incarnation) == (terms.term, terms.incarnation) {
            return Some(Some(lease));
        }
        (!terms.is_newer_than(&loaded)).then_some(None)
    }

    /// The turn of whoever loads a lease, or forgets one.
    async fn turn_to_load(&self) -> Result<tokio::sync::MutexGuard<'_, ()>> {
        let late = |_| EngineError::Unavailable {
            context: format!("{NAME}: loading has no end"),
            source: None,
        };
        tokio::time::timeout(LOAD_MAX, self.loading.lock())
            .await
            .map_err(late)
    }

    async fn load(&self, terms: Terms) -> Result<Option<Arc<Lease>>> {
        let _turn = self.turn_to_load().await?;
        if let Some(known) = self.known(&terms) {
            return Ok(known);
        }
        if self.stopped().contains(&terms.incarnation) {
            return Ok(None);
        }
        let Some(loaded) = opening::load(&self.database, &terms).await? else {
            return Ok(None);
        };
        let lease = Lease::new(
            &terms,
            loaded.rows,
            loaded.moves,
            loaded.owned,
            loaded.gates,
        );
        let lease = Arc::new(lease);
        let mut leases = self.leases.write().unwrap_or_else(PoisonError::into_inner);
        // Who hands back marks himself as stopped first and looks at the leases afterwards.
        if self.stopped().contains(&terms.incarnation) {
            return Ok(None);
        }
        leases.insert(terms.term.sale, lease.clone());
        Ok(Some(lease))
    }

    async fn view(&self, term: &Term) -> Result<StockView> {
        let Some(newest) = NewestOpening::read(&self.database, term.sale.0).await? else {
            return Ok(StockView {
                clock_ms: now_ms(),
                ..StockView::default()
            });
        };
        let ours = self
            .loaded(term.sale)
            .filter(|lease| i64::from(lease.term.epoch.0) == newest.epoch);
        let (remaining, open_units) = match &ours {
            Some(lease) => {
                let mut rights = lease.rights().await?;
                lease.resolve(&mut rights, &self.database).await?;
                let elsewhere = self
                    .remaining(term.sale, newest.epoch, lease.incarnation)
                    .await?;
                (
                    elsewhere + lease.stock.units().cast_signed(),
                    lease.open_units(),
                )
            }
            None => (
                self.remaining(term.sale, newest.epoch, IncarnationId(i64::MIN))
                    .await?,
                0,
            ),
        };
        let dealt = "SELECT part, owner FROM engine_partitions WHERE sale_id = ?";
        let dealt = self.database.rows::<[i64; 2]>(dealt, &[term.sale.0]).await;
        let mut owners = vec![None; usize::try_from(newest.partitions).unwrap_or(0)];
        for [part, owner] in dealt.map_err(not_done)? {
            let part = usize::try_from(part).ok();
            if let Some(of_part) = part.and_then(|part| owners.get_mut(part)) {
                *of_part = Some(IncarnationId(owner));
            }
        }
        Ok(StockView {
            remaining,
            open_units,
            epoch: Some(Epoch(u32::try_from(newest.epoch).unwrap_or(u32::MAX))),
            is_open: newest.is(term),
            owners,
            server: String::new(),
            clock_ms: now_ms(),
        })
    }

    /// Units in the pool, and those that leases other than `except` may have idle.
    async fn remaining(&self, sale: SaleId, epoch: i64, except: IncarnationId) -> Result<i64> {
        let sql = "SELECT CAST(COALESCE(SUM(CASE WHEN holder = 'pool' THEN granted - sold WHEN owner <> ? THEN idle
                   ELSE 0 END), 0) AS SIGNED) FROM allocations WHERE product_id = ? AND epoch = ? AND state = 'open'";
        let rows = self
            .database
            .rows::<[i64; 1]>(sql, &[except.0, sale.0, epoch])
            .await
            .map_err(not_done)?;
        Ok(rows.first().map_or(0, |[units]| *units))
    }

    async fn open(&self, plan: &Plan) -> Result<Opened> {
        let opened = opening::open(&self.database, plan).await?;
        if opened == Opened::Opened {
            // Whoever opens may be who sells: what was loaded of the epoch before is over.
            let mut leases = self.leases.write().unwrap_or_else(PoisonError::into_inner);
            leases.retain(|sale, lease| {
                *sale != plan.term.sale || lease.term.epoch >= plan.term.epoch
            });
        }
        Ok(opened)
    }

    async fn retire(&self, sale: SaleId) -> Result<()> {
        // Nobody loads the lease again while its rows go.
        let _turn = self.turn_to_load().await?;
        opening::forget(&self.database, sale).await?;
        let mut leases = self.leases.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = leases.remove(&sale) {
            // Calls under way may still hold it.
            lease.close();
        }
        Ok(())
    }

    async fn hand_back(&self, publisher: IncarnationId) -> Result<()> {
        self.stopped().insert(publisher);
        let leases = self
            .leases
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for lease in leases
            .values()
            .filter(|lease| lease.incarnation == publisher)
        {
            lease.hand_back(&self.database).await?;
        }
        Ok(())
    }
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
                    .with_more(&process.database, process.block, &rest)
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
        let (process, plan) = (self.process.clone(), Plan::of(opening, &self.process));
        self.within(
            LOAD_MAX,
            "an opening",
            async move { process.open(&plan).await },
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
        Ok(lease.open_holds(page))
    }

    async fn mark(&self, term: &Term, holds: &[HoldKey], age: Duration) -> Result<Vec<OpenHold>> {
        let lease = self.process.loaded_for(term);
        let lease = lease.ok_or_else(|| EngineError::not_open(term))?;
        Ok(lease.mark(holds, age))
    }

    async fn stock(&self, term: &Term) -> Result<StockView> {
        let (process, term) = (self.process.clone(), *term);
        self.within(CALL_MAX, "a look at the stock", async move {
            process.view(&term).await
        })
        .await
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
            lease.tend(&process.database, process.block).await
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

    async fn retire(&self, sale: SaleId) -> Result<()> {
        let process = self.process.clone();
        let retire = async move { process.retire(sale).await };
        self.within(LOAD_MAX, "a retirement", retire).await
    }
}

/// See [`database_server::not_done`].
fn not_done(error: database::Error) -> EngineError {
    database_server::not_done(NAME, error)
}

/// See [`database_server::unknown`].
fn unknown(error: database::Error) -> EngineError {
    database_server::unknown(NAME, error)
}

#[cfg(test)]
mod tests;
