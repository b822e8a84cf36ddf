//! A part of a role that ends although nobody asked it to ends the role, with the reason: an engine
//! that fails on purpose stands for everything that can go wrong in a thread.

#[path = "shops/config.rs"]
mod config;

use engines::{
    EngineEnv, EngineError, EngineFactory, EngineInfo, Finish, Finished, Guarantees, HoldKey,
    HoldPage, HoldPageQuery, OpenHold, Opened, Opening, Params, Registry, Reserve, StockEngine,
    StockView, Term, Upkeep, Verdict,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use system::config::Config;
use system::roles::{self, RoleConfig};
use system::shutdown::Shutdown;
use tempfile::TempDir;

/// Longest wait for an end; starting takes less than a second.
const PATIENCE: Duration = Duration::from_secs(20);

type Built = engines::Result<Arc<dyn StockEngine>>;

/// What goes wrong, and when.
#[derive(Clone, Copy)]
struct Fault {
    /// The engine of this number, from 0, and all after it are the bad ones.
    from: usize,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    CannotBeBuilt,
    PanicsWhileBuilt,
    PanicsWhileServing,
}

/// One for each test. The role itself builds the first engine, each serving thread one more.
const FAULTS: [Fault; 4] = [
    Fault {
        from: 2,
        kind: Kind::CannotBeBuilt,
    },
    Fault {
        from: 2,
        kind: Kind::PanicsWhileBuilt,
    },
    Fault {
        from: 1,
        kind: Kind::PanicsWhileServing,
    },
    // In `all`, the consumer, the reconciler and the cancel-consumer each have one before.
    Fault {
        from: 5,
        kind: Kind::CannotBeBuilt,
    },
];
static BUILT: [AtomicUsize; FAULTS.len()] = [const { AtomicUsize::new(0) }; FAULTS.len()];

const GUARANTEES: Guarantees = Guarantees {
    keeps_stock: false,
    survives_process_kill: false,
    survives_server_loss: false,
    needs_user_affinity: false,
    needs_one_engine_per_process: false,
    settles_own_holds: false,
};

fn factory<const TEST: usize>() -> EngineFactory {
    EngineFactory {
        name: "fragile",
        about: "fails on purpose",
        needs: &[],
        params: &[],
        settings: &[],
        migrations: &[],
        guarantees: GUARANTEES,
        is_unsafe: false,
        build: build::<TEST>,
    }
}

fn build<const TEST: usize>(
    _env: EngineEnv,
    _params: Params,
) -> Pin<Box<dyn Future<Output = Built> + Send>> {
    Box::pin(async {
        let Fault { from, kind } = FAULTS[TEST];
        let is_bad = BUILT[TEST].fetch_add(1, Ordering::SeqCst) >= from;
        match kind {
            Kind::CannotBeBuilt if is_bad => Err(EngineError::Config("no more of it".to_owned())),
            Kind::PanicsWhileBuilt if is_bad => panic!("it fell apart"),
            Kind::PanicsWhileServing => Ok(Arc::new(Fragile { is_bad }) as _),
            _ => Ok(Arc::new(Fragile { is_bad: false }) as _),
        }
    })
}

#[derive(Debug)]
struct Fragile {
    is_bad: bool,
}

#[async_trait::async_trait]
impl StockEngine for Fragile {
    fn info(&self) -> EngineInfo {
        assert!(!self.is_bad, "it fell apart");
        EngineInfo {
            name: "fragile".to_owned(),
            parameters: Vec::new(),
            guarantees: GUARANTEES,
        }
    }

    async fn open(&self, _opening: &Opening) -> engines::Result<Opened> {
        Ok(Opened::Opened)
    }

    async fn reserve(&self, _term: &Term, batch: &[Reserve]) -> Vec<engines::Result<Verdict>> {
        batch.iter().map(|_| Ok(Verdict::GRANTED)).collect()
    }

    async fn finish(&self, _term: &Term, batch: &[Finish]) -> Vec<engines::Result<Finished>> {
        batch.iter().map(|_| Ok(Finished::Done)).collect()
    }

    async fn open_holds(&self, _: &Term, _: &HoldPageQuery) -> engines::Result<HoldPage> {
        Ok(HoldPage::default())
    }

    async fn mark(&self, _: &Term, _: &[HoldKey], _: Duration) -> engines::Result<Vec<OpenHold>> {
        Ok(Vec::new())
    }

    async fn stock(&self, _term: &Term) -> engines::Result<StockView> {
        Ok(StockView::default())
    }
}

impl Upkeep for Fragile {}

/// Starts a role with a broken engine and without asking it to stop; returns what it ended with.
async fn end_of<L, F>(
    registry: Registry,
    bind: impl FnOnce(&Config) -> anyhow::Result<L>,
    run: impl FnOnce(RoleConfig, L, Shutdown) -> F,
) -> String
where
    F: Future<Output = anyhow::Result<()>>,
{
    let folder: TempDir = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("shop.db");
    let mut config = config::on(format!("sqlite://{}", file.display()));
    config.seckill.threads = 2;
    config.seckill.engine = "fragile".parse().expect("a name");
    roles::migrate::run(&config.database, &registry, None)
        .await
        .expect("migrated");
    let listeners = bind(&config).expect("free ports");
    let role = RoleConfig {
        config,
        registry,
        admin: Default::default(),
        sales: Default::default(),
        ready: Box::new(|_| Ok(())),
    };
    let (_stop, shutdown) = Shutdown::channel();
    let ended = tokio::time::timeout(PATIENCE, run(role, listeners, shutdown)).await;
    let error = ended.expect("it ends").expect_err("it was not asked to");
    format!("{error:#}")
}

fn seckill<const TEST: usize>() -> impl Future<Output = String> {
    let registry = Registry::default().register(factory::<TEST>());
    end_of(registry, roles::seckill::bind, roles::seckill::run)
}

#[tokio::test]
async fn a_serving_thread_that_cannot_start_ends_the_role_with_its_reason() {
    let error = seckill::<0>().await;
    assert!(
        error.contains("serving thread") && error.contains("no more of it"),
        "{error}"
    );
}

#[tokio::test]
async fn a_serving_thread_that_panics_ends_the_role_with_its_words() {
    let error = seckill::<1>().await;
    assert!(
        error.contains("serving thread") && error.contains("it panicked: it fell apart"),
        "{error}"
    );
}

#[tokio::test]
async fn a_serving_thread_whose_group_commit_dies_does_not_go_on_turning_everybody_away() {
    let error = seckill::<2>().await;
    assert!(
        error.contains("group commit") && error.contains("it panicked: it fell apart"),
        "{error}"
    );
}

#[tokio::test]
async fn all_roles_end_with_the_reason_of_the_one_that_did() {
    let registry = Registry::default().register(factory::<3>());
    let error = end_of(registry, roles::all::bind, roles::all::run).await;
    assert!(
        error.contains("seckill failed: serving thread") && error.contains("no more of it"),
        "{error}"
    );
}
