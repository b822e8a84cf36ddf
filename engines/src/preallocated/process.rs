//! What one process has of this engine: the leases of all sales, loaded when they are first asked
//! for, forgotten when their epoch or their sale is over.

use super::failures::{NAME, not_done};
use super::lease::Lease;
use super::opening::{self, NewEpoch, NewestOpening, Sizes};
use super::terms::Terms;
use crate::helpers::clock::now_ms;
use crate::helpers::database_server;
use crate::{
    EngineEnv, EngineError, Epoch, IncarnationId, Opened, Params, Result, SaleId, StockView, Term,
};
use database::Database;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, Semaphore};

/// Longest wait of a call for a lease and its gate to be loaded.
pub const LOAD_MAX: Duration = Duration::from_secs(10);
/// Leases loaded at the same time, with their gates: fewer than there are connections, because
/// others sell meanwhile.
const LOADS_MAX: usize = 2;

/// One per process: the leases of all sales.
#[derive(Debug)]
pub struct Process {
    pub runtime: tokio::runtime::Handle,
    pub database: Database,
    pub sizes: Sizes,
    /// Every parameter with the value in effect.
    pub parameters: Vec<String>,
    leases: RwLock<HashMap<SaleId, Arc<Lease>>>,
    /// For each sale, held by whoever loads its lease; the others wait and find it loaded.
    loading: Mutex<HashMap<SaleId, Arc<tokio::sync::Mutex<()>>>>,
    /// Loads at the same time.
    loads: Semaphore,
    /// Incarnations that have handed back; one per life of a process.
    stopped: Mutex<HashSet<IncarnationId>>,
}

impl Process {
    pub fn connect(env: &EngineEnv, params: &Params) -> Result<Self> {
        let database = database_server::connect(NAME, env.required(NAME, "database.url")?)?;
        Ok(Self {
            runtime: tokio::runtime::Handle::current(),
            database,
            sizes: Sizes::of(params)?,
            parameters: params.in_effect(),
            leases: RwLock::default(),
            loading: Mutex::default(),
            loads: Semaphore::new(LOADS_MAX),
            stopped: Mutex::default(),
        })
    }

    pub fn loaded(&self, sale: SaleId) -> Option<Arc<Lease>> {
        self.leases
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&sale)
            .cloned()
    }

    /// The lease of this very term, unless it is over.
    pub fn loaded_for(&self, term: &Term) -> Option<Arc<Lease>> {
        let lease = self.loaded(term.sale)?;
        (lease.term == *term && !lease.is_closed()).then_some(lease)
    }

    fn stopped(&self) -> MutexGuard<'_, HashSet<IncarnationId>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known without asking the database; `None`: nothing, the terms are newer than what is
    /// loaded.
    pub fn known(&self, terms: &Terms) -> Option<Option<Arc<Lease>>> {
        let lease = self.loaded(terms.term.sale)?;
        let loaded = lease.terms();
        if (loaded.term, loaded.incarnation) == (terms.term, terms.incarnation) {
            return Some(Some(lease));
        }
        (!terms.is_newer_than(&loaded)).then_some(None)
    }

    /// The turn of whoever loads a lease of this sale, or forgets it.
    pub(super) async fn turn_to_load(&self, sale: SaleId) -> Result<OwnedMutexGuard<()>> {
        let late = |_| EngineError::Unavailable {
            context: format!("{NAME}: loading has no end"),
            source: None,
        };
        let turn = {
            let mut turns = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry(sale).or_default().clone()
        };
        tokio::time::timeout(LOAD_MAX, turn.lock_owned())
            .await
            .map_err(late)
    }

    pub async fn load(&self, terms: Terms) -> Result<Option<Arc<Lease>>> {
        let _turn = self.turn_to_load(terms.term.sale).await?;
        if let Some(known) = self.known(&terms) {
            return Ok(known);
        }
        if self.stopped().contains(&terms.incarnation) {
            return Ok(None);
        }
        let permit = self.loads.acquire().await;
        let loaded = opening::load(&self.database, &terms).await?;
        drop(permit);
        let Some(loaded) = loaded else {
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
        // Whoever hands back is noted as stopped first, and looks at the leases afterwards.
        if self.stopped().contains(&terms.incarnation) {
            return Ok(None);
        }
        leases.insert(terms.term.sale, lease.clone());
        Ok(Some(lease))
    }

    pub async fn view(&self, term: &Term) -> Result<StockView> {
        let newest = NewestOpening::read(&self.database, term.sale.0).await?;
        let Some(newest) = newest.filter(|newest| !newest.is_over()) else {
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

    pub async fn open(&self, epoch: &NewEpoch) -> Result<Opened> {
        let opened = opening::open(&self.database, epoch).await?;
        if opened == Opened::Opened {
            // Whoever opens may be who sells: what was loaded of the epoch before is over.
            let mut leases = self.leases.write().unwrap_or_else(PoisonError::into_inner);
            leases.retain(|sale, lease| {
                *sale != epoch.term.sale || lease.term.epoch >= epoch.term.epoch
            });
        }
        Ok(opened)
    }

    pub async fn retire(&self, sale: SaleId, epoch: Epoch) -> Result<()> {
        // Nobody loads the lease again while its rows go.
        let turn = self.turn_to_load(sale).await?;
        opening::forget(&self.database, sale, epoch).await?;
        {
            let mut leases = self.leases.write().unwrap_or_else(PoisonError::into_inner);
            if leases
                .get(&sale)
                .is_some_and(|lease| lease.term.epoch <= epoch)
                && let Some(lease) = leases.remove(&sale)
            {
                // Calls under way may still hold it.
                lease.close();
            }
        }
        drop(turn);
        let mut turns = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|id, turn| *id != sale || Arc::strong_count(turn) > 1);
        Ok(())
    }

    pub async fn hand_back(&self, publisher: IncarnationId) -> Result<()> {
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
