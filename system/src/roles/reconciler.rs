//! The reconciler role: repairs what crashes leave behind, database first, engine second.
//!
//! Every repair is idempotent, so that a reconciler may die in the middle or run twice. The
//! rules that its repairs keep are explained in docs/protocol.md.

mod counts;
mod drift;
mod endings;
mod epochs;
mod expiry;
mod incarnations;
mod leftovers;
mod report;
mod turns;
mod watch;

use crate::back_off::BackOff;
use crate::clock::monotonic_ms;
use crate::config::Config;
use crate::repair::{Drainer, HoldRepair, HoldScope, Pass, Troubles};
use crate::roles::{self, Ready, RoleConfig};
use crate::shutdown::Shutdown;
use crate::store::Store;
use anyhow::{Context, bail};
use counts::Counts;
use drift::DriftWatch;
use endings::Endings;
use engines::{IncarnationId, Registry, StockEngine, Tending};
use expiry::Expiry;
use leftovers::Leftovers;
use report::Report;
use std::sync::Arc;
use std::time::{Duration, Instant};
use turns::Turns;
use watch::Watch;

/// Longest run of `--once`.
const ONCE_TIMEOUT: Duration = Duration::from_secs(180);

struct Reconciler {
    config: Config,
    store: Store,
    engine: Arc<dyn StockEngine>,
    drainer: Drainer,
    holds: HoldRepair,
    turns: Turns,
    watch: Watch,
    endings: Endings,
    expiry: Expiry,
    leftovers: Leftovers,
    untended: Troubles,
    /// With `--once`, what may yet turn out to be dead is waited for: what lives shows signs of life
    /// meanwhile.
    waits_for_silent: bool,
    /// Incarnations whose queues could not be dealt with a moment ago.
    back_off: BackOff<IncarnationId>,
    counts: Arc<Counts>,
}

/// Repairs until asked to stop.
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
    let mut reconciler = Reconciler::new(&config, &registry, HoldScope::Orphans).await?;
    admin.needs_database(&reconciler.store);
    let counts = &reconciler.counts;
    counts.register(&admin, &reconciler.store, &reconciler.engine);
    let ended = reconciler.forever(&shutdown, ready).await;
    reconciler.store.close().await;
    ended
}

/// Repairs until nothing is left, and prints what was done; an error if something is left.
pub async fn once(config: &Config, registry: &Registry, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut reconciler =
        Reconciler::new(config, registry, HoldScope::ThereSince(monotonic_ms())).await?;
    let ended = reconciler.once(&shutdown).await;
    reconciler.store.close().await;
    ended
}

impl Reconciler {
    async fn new(config: &Config, registry: &Registry, scope: HoldScope) -> anyhow::Result<Self> {
        let store = Store::connect(&config.database, roles::engine(config, registry)?).await?;
        let engine = roles::build_engine(config, registry).await?;
        Ok(Self {
            config: config.clone(),
            drainer: Drainer::new(store.clone(), config),
            holds: HoldRepair::new(config, scope),
            watch: Watch::start(store.clone(), config.incarnation.margin_ms),
            store,
            engine,
            turns: Turns::default(),
            endings: Endings::new(),
            expiry: Expiry::new(config),
            leftovers: Leftovers::new(config),
            untended: Troubles::new("cannot tend a sale"),
            waits_for_silent: false,
            back_off: BackOff::default(),
            counts: Arc::default(),
        })
    }

    async fn forever(&mut self, shutdown: &Shutdown, ready: Ready) -> anyhow::Result<()> {
        ready(None)?;
        let interval = Duration::from_millis(self.config.reconciler.interval_ms);
        let mut drift = DriftWatch::new();
        loop {
            tokio::select! {
                // Cut off in the middle if need be: every repair can be taken up again.
                () = shutdown.requested() => return Ok(()),
                pass = self.counted_pass() => match pass {
                    Ok(pass) if pass.did_something() => tracing::info!(?pass, "repaired"),
                    Ok(_) => {}
                    Err(error) => tracing::warn!(error = format!("{error:#}"), "a pass failed; trying again"),
                }
            }
            let pause = async {
                if let Err(error) = drift
                    .look(&self.store, self.engine.as_ref(), &self.counts)
                    .await
                {
                    tracing::debug!(error = format!("{error:#}"), "drift was not looked at");
                }
                tokio::time::sleep(interval).await;
            };
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                () = pause => {}
            }
        }
    }

    async fn once(&mut self, shutdown: &Shutdown) -> anyhow::Result<()> {
        let started = Instant::now();
        self.waits_for_silent = true;
        let mut total = Pass::default();
        let interval = Duration::from_millis(self.config.reconciler.interval_ms)
            .min(Duration::from_millis(100));
        loop {
            let pass = self.pass().await;
            let done = matches!(&pass, Ok(pass) if pass.left == 0 && !pass.did_something());
            match pass {
                Ok(pass) => total.add(pass),
                Err(error) if started.elapsed() > ONCE_TIMEOUT => return Err(error),
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "a pass failed; trying again")
                }
            }
            if done {
                total.left = 0;
                return self.print(total).await;
            }
            if started.elapsed() > ONCE_TIMEOUT || shutdown.is_requested() {
                self.print(total).await?;
                bail!("things are left to repair after {:?}", started.elapsed());
            }
            tokio::time::sleep(interval).await;
        }
    }

    async fn counted_pass(&mut self) -> anyhow::Result<Pass> {
        let pass = self.pass().await;
        self.counts.pass(&pass);
        self.counts.holds(self.holds.oldest());
        pass
    }

    /// One look at everything. Incarnations first: a hold can be judged only when its publishers'
    /// queues drain.
    async fn pass(&mut self) -> anyhow::Result<Pass> {
        let mut pass = Pass::default();
        let (store, drainer) = (&self.store, &self.drainer);
        let retired = incarnations::retire(store, drainer, &self.watch, &mut self.back_off);
        pass.add(retired.await?);
        if self.waits_for_silent {
            pass.left += self.watch.never_heard().await?;
        }
        let opener = epochs::Opener {
            store: &self.store,
            engine: self.engine.as_ref(),
            drainer: &self.drainer,
            watch: &self.watch,
            margin_ms: self.config.incarnation.margin_ms,
            timeout_ms: self.config.reconciler.drain_timeout_ms,
        };
        let opening = opener.open_missing(&mut self.turns, &mut self.back_off);
        pass.add(opening.await?);
        let deadline_ms = self.config.seckill.publish_timeout_ms;
        let ending = self
            .endings
            .advance(&opener, deadline_ms, &mut self.back_off)
            .await;
        self.tend(&mut pass).await?;
        let guarantees = self.engine.info().guarantees;
        // Holds in the memory of a publishing process are that process's own business.
        if guarantees.keeps_stock && !guarantees.settles_own_holds {
            pass.add(
                self.holds
                    .repair(&self.store, self.engine.as_ref(), &self.drainer)
                    .await?,
            );
        }
        let engine = Some(self.engine.as_ref()).filter(|_| !guarantees.settles_own_holds);
        pass.add(self.expiry.advance(&self.store, engine).await);
        // With `--once`, the cancel-consumer need not be there.
        if let Some(engine) = engine.filter(|_| self.waits_for_silent) {
            pass.add(leftovers::release(&self.store, engine).await?);
        }
        pass.add(self.leftovers.clear(&self.store).await);
        pass.add(ending.context("cannot end sales yet")?);
        Ok(pass)
    }

    async fn print(&self, total: Pass) -> anyhow::Result<()> {
        let report = Report::of(total, &self.store, self.engine.as_ref());
        report.await?.print()
    }
}

impl Reconciler {
    /// Has the engine finish what was interrupted, in every open sale.
    async fn tend(&mut self, pass: &mut Pass) -> database::Result<()> {
        for row in self.store.sales().await? {
            let Some(open) = row.open else { continue };
            let tending = Tending {
                term: open.term,
                publisher: None,
            };
            match self.engine.tend(&tending).await {
                Ok(actions) => pass.transfers += actions,
                Err(error) => {
                    self.untended.add(format!("sale {}: {error}", row.sale));
                    pass.left += 1;
                }
            }
        }
        self.untended.report();
        Ok(())
    }
}
