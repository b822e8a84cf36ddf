//! `database-row`: stock is one row, the gate one row per buyer, a batch one transaction. What
//! everyone starts with.
//!
//! The stock row is locked first by every call that changes anything, so calls on one sale run one
//! after the other and each sees what the one before has committed. What that costs is the lesson:
//! one sale is as fast as one transaction after the other. The database's durability is the
//! engine's: a server that was killed and comes back with its data goes on where it was, in the
//! same epoch.
//!
//! Engines that differ from it only in how two batches are kept from writing over each other are
//! built here too, with another [`Guard`]: `optimistic-row` and `unsafe-counter`.

mod deciding;
mod failures;
mod gate;
mod guard;
mod sales;
mod stock;

use crate::helpers::database_server::{self, may_be_repeated};
use crate::{
    BuildFuture, EngineEnv, EngineError, EngineFactory, EngineInfo, Epoch, Finish, Finished,
    Guarantees, HoldKey, HoldPage, HoldPageQuery, OpenHold, Opened, Opening, Params, Reserve,
    Result, SaleId, SettingSpec, StockEngine, StockView, Term, Upkeep, Verdict,
};
use database::Database;
use database::schema::Migration;
use guard::is_lost_race;
use sales::Sales;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

pub use guard::Guard;

/// The engine's name in the registry and in its errors.
const NAME: &str = "database-row";
const TABLES: [&str; 2] = ["engine_stock", "engine_gate"];
/// Longest wait for the database inside a call. What was begun goes on to its end, so the outcome
/// is unknown.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Longest wait for an opening, which loads a row for every buyer.
const OPEN_MAX: Duration = Duration::from_secs(60);
/// How often a transaction is begun that loses against others, or finds a connection that a restart
/// of the server has killed. One more than a pool has connections, so that the last one is fresh.
const ATTEMPTS_MAX: usize = 5;
/// It is not begun again after so long: well within [`CALL_MAX`], so that a caller learns that
/// nothing has happened.
const REPEAT_WITHIN: Duration = Duration::from_secs(2);
/// How long a batch is begun again that lost the race for the stock row. Whoever loses, somebody else
/// has won, so it ends when their turns are over.
const RACE_WITHIN: Duration = Duration::from_secs(3);
/// Longest pause after the first race lost. It becomes shorter with each further one: whoever comes
/// late gives way to those who have tried for long.
const RACE_PAUSE_MAX_MS: u64 = 8;
/// Batches of one process that race at the same time, as many as it has connections; others wait in
/// line.
const RACERS_MAX: usize = 4;
/// Largest grant: what is released on top of it still fits into the column.
const UNITS_MAX: u64 = 1 << 62;

const GUARANTEES: Guarantees = Guarantees {
    keeps_stock: true,
    survives_process_kill: true,
    // Its server loses nothing, so there is nothing to notice: after a crash it rightly goes on
    // selling.
    survives_server_loss: false,
    needs_user_affinity: false,
    needs_one_engine_per_process: false,
    settles_own_holds: false,
};

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 2026112608,
        name: "database-row engine",
        oldest_binary: 0,
        tables: &["engine_stock", "engine_gate"],
        mysql: include_str!("../sql/database_row.mysql.sql"),
        sqlite: include_str!("../sql/database_row.sqlite.sql"),
    },
    Migration {
        version: 2026112701,
        name: "version of the stock row",
        oldest_binary: 0,
        tables: &[],
        mysql: include_str!("../sql/stock_version.mysql.sql"),
        sqlite: include_str!("../sql/stock_version.sqlite.sql"),
    },
];

/// How the registry lists and builds it.
pub const FACTORY: EngineFactory = EngineFactory {
    name: NAME,
    about: "one row of stock in the database, locked and updated once per batch; what everyone starts with, the baseline",
    needs: &["database"],
    params: &[],
    settings: &[SettingSpec::DATABASE_URL],
    migrations: MIGRATIONS,
    guarantees: GUARANTEES,
    is_unsafe: false,
    build: |env, params| build(NAME, Guard::Lock, env, params),
};

/// The engine called `name`, whose batches `guard` keeps apart.
pub fn build(name: &'static str, guard: Guard, env: EngineEnv, _params: Params) -> BuildFuture {
    Box::pin(async move {
        let database = database_server::connect(name, env.required(name, "database.url")?)?;
        Ok(Arc::new(DatabaseRow::new(name, guard, database)) as Arc<dyn StockEngine>)
    })
}

/// The engine. Every transaction runs in a task of its own to its end, whoever waits for it; see
/// [`within`](database_server::within).
#[derive(Debug)]
struct DatabaseRow {
    name: &'static str,
    runtime: tokio::runtime::Handle,
    /// Bounds the batches that race.
    line: Arc<Semaphore>,
    sales: Arc<Sales>,
}

impl DatabaseRow {
    fn new(name: &'static str, guard: Guard, database: Database) -> Self {
        let racers = match guard {
            Guard::Version => RACERS_MAX,
            Guard::Lock | Guard::Nothing => Semaphore::MAX_PERMITS,
        };
        Self {
            name,
            line: Arc::new(Semaphore::new(racers)),
            runtime: tokio::runtime::Handle::current(),
            sales: Arc::new(Sales { database, guard }),
        }
    }

    /// Runs a transaction, again if nothing came of it that others would see.
    async fn run<T, F>(
        &self,
        limit: Duration,
        what: &str,
        call: impl Fn(Arc<Sales>) -> F + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        let (sales, line) = (self.sales.clone(), self.line.clone());
        let attempts = async move {
            let _turn = line.acquire().await;
            let started = Instant::now();
            let (mut attempts, mut races) = (1, 0);
            loop {
                let error = match call(sales.clone()).await {
                    Err(error) => error,
                    done => return done,
                };
                let waited = started.elapsed();
                if is_lost_race(&error) && waited < RACE_WITHIN {
                    tokio::time::sleep(pause_after(races)).await;
                    races += 1;
                } else if may_be_repeated(&error)
                    && attempts < ATTEMPTS_MAX
                    && waited < REPEAT_WITHIN
                {
                    attempts += 1;
                } else {
                    return Err(error);
                }
            }
        };
        let what = format!("{}: {what}", self.name);
        database_server::within(&self.runtime, limit, &what, attempts).await
    }
}

/// Random, so that those who lost do not meet again at once.
fn pause_after(races: u32) -> Duration {
    let most_ms = RACE_PAUSE_MAX_MS.checked_shr(races / 2).unwrap_or(0);
    Duration::from_millis(rand::random_range(0..=most_ms))
}

#[async_trait::async_trait]
impl StockEngine for DatabaseRow {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            name: self.name.to_owned(),
            parameters: Vec::new(),
            guarantees: GUARANTEES,
        }
    }

    async fn open(&self, opening: &Opening) -> Result<Opened> {
        if opening.granted > UNITS_MAX {
            let granted = opening.granted;
            return Err(EngineError::Config(format!(
                "{}: {granted} units; at most {UNITS_MAX} can be granted",
                self.name
            )));
        }
        let opening = Arc::new(opening.clone());
        let open = move |sales: Arc<Sales>| {
            let opening = opening.clone();
            async move { sales.open(&opening).await }
        };
        self.run(OPEN_MAX, "an opening", open).await
    }

    async fn reserve(&self, term: &Term, batch: &[Reserve]) -> Vec<Result<Verdict>> {
        let (term, items) = (*term, Arc::<[Reserve]>::from(batch));
        let reserve = move |sales: Arc<Sales>| {
            let items = items.clone();
            async move { sales.reserve(&term, &items).await }
        };
        match self.run(CALL_MAX, "a reserve", reserve).await {
            Ok(verdicts) => verdicts,
            Err(error) => error.for_each(batch.len()),
        }
    }

    async fn finish(&self, term: &Term, batch: &[Finish]) -> Vec<Result<Finished>> {
        let (term, items) = (*term, Arc::<[Finish]>::from(batch));
        let finish = move |sales: Arc<Sales>| {
            let items = items.clone();
            async move { sales.finish(&term, &items).await }
        };
        match self.run(CALL_MAX, "a finish", finish).await {
            Ok(finished) => finished.into_iter().map(Ok).collect(),
            Err(error) => error.for_each(batch.len()),
        }
    }

    async fn open_holds(&self, term: &Term, page: &HoldPageQuery) -> Result<HoldPage> {
        let (term, page) = (*term, *page);
        let list = move |sales: Arc<Sales>| async move { sales.open_holds(&term, &page).await };
        self.run(CALL_MAX, "a look at the holds", list).await
    }

    async fn mark(&self, term: &Term, holds: &[HoldKey], age: Duration) -> Result<Vec<OpenHold>> {
        let (term, holds) = (*term, Arc::<[HoldKey]>::from(holds));
        let mark = move |sales: Arc<Sales>| {
            let holds = holds.clone();
            async move { sales.mark(&term, &holds, age).await }
        };
        self.run(CALL_MAX, "a mark", mark).await
    }

    async fn stock(&self, term: &Term) -> Result<StockView> {
        let term = *term;
        self.run(CALL_MAX, "a look at the stock", move |sales| async move {
            sales.view(&term).await
        })
        .await
    }
}

#[async_trait::async_trait]
impl Upkeep for DatabaseRow {
    async fn check_server(&self, allow_volatile: bool) -> Result<Vec<(String, String)>> {
        let name = self.name;
        let check = move |sales: Arc<Sales>| async move {
            database_server::check(name, &sales.database, &TABLES, allow_volatile).await
        };
        self.run(CALL_MAX, "a look at the server", check).await
    }

    async fn retire(&self, sale: SaleId, epoch: Epoch) -> Result<()> {
        let mut is_first = true;
        loop {
            let step = move |sales: Arc<Sales>| async move {
                sales.retire_some((sale, epoch), is_first).await
            };
            if self.run(CALL_MAX, "a step of a retirement", step).await? {
                return Ok(());
            }
            is_first = false;
        }
    }
}

#[cfg(test)]
mod locking_tests;
#[cfg(test)]
mod tests;
