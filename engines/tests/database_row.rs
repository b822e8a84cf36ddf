//! `database-row` against the whole contract on both databases, and what only it promises: rows
//! that survive a killed server, locks that are waited for within bounds, and a database that is
//! not good enough.

#[path = "database_row/locks.rs"]
mod locks;
#[path = "database_row/server.rs"]
mod server;

use engines::conformance::{self, Harness, Subject};
use engines::testing::let_database_forget;
use engines::{
    EngineEnv, Epoch, Finish, FinishKind, Finished, HoldPageQuery, IncarnationId, Nonce, Opened,
    Opening, OpeningBuyer, OrderId, Registry, Reserve, Result, SaleId, StockEngine, Term, UserId,
    Verdict,
};
use servers::DatabaseServer;
use std::sync::Arc;
use std::time::Duration;

const FOR_EVER_MS: i64 = i64::MAX;
/// Longest wait for a condition.
const WITHIN: Duration = Duration::from_secs(30);

async fn engine(url: &str) -> Result<Arc<dyn StockEngine>> {
    let env = EngineEnv::default().with("database.url", url.to_owned());
    Registry::standard()
        .build(&"database-row".parse()?, &env)
        .await
}

async fn create_tables(url: &str) {
    let registry = Registry::standard();
    let factory = registry.get("database-row").unwrap();
    factory.create_tables(url).await.unwrap();
}

/// A database with the tables of this engine.
struct OwnDatabase {
    url: String,
    _folder: Option<tempfile::TempDir>,
}

impl OwnDatabase {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("sales.db").display());
        create_tables(&url).await;
        Self {
            url,
            _folder: Some(folder),
        }
    }

    async fn mariadb(server: &DatabaseServer) -> Self {
        let url = server.create_database().await;
        create_tables(&url).await;
        Self { url, _folder: None }
    }
}

#[async_trait::async_trait]
impl Subject for OwnDatabase {
    async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
        engine(&self.url).await
    }

    async fn let_forget(&self, may_forget: bool) -> std::result::Result<bool, String> {
        let_database_forget(&self.url, may_forget).await
    }
}

async fn keeps_the_contract(database: OwnDatabase) {
    match conformance::run_all(&Harness::new(database)).await {
        Ok(passed) => eprintln!("{passed} checks passed"),
        Err(failure) => panic!("{failure}"),
    }
}

#[tokio::test]
async fn it_keeps_the_contract_on_sqlite() {
    keeps_the_contract(OwnDatabase::sqlite().await).await;
}

#[tokio::test]
async fn it_keeps_the_contract_on_mariadb() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    keeps_the_contract(OwnDatabase::mariadb(&server).await).await;
}

fn term(epoch: u32) -> Term {
    // A nonce beyond what a signed number holds.
    Term {
        sale: SaleId(7),
        epoch: Epoch(epoch),
        nonce: Nonce(u64::MAX - u64::from(epoch)),
    }
}

fn opening(epoch: u32, granted: u64, buyers: Vec<OpeningBuyer>) -> Opening {
    Opening {
        term: term(epoch),
        granted,
        buyers,
        publishers: Vec::new(),
    }
}

fn request(user: i64, quantity: u32) -> Reserve {
    let incarnation = IncarnationId(1);
    Reserve {
        user: UserId(user),
        order: OrderId(user * 10),
        quantity,
        expires_at_ms: FOR_EVER_MS,
        incarnation,
        may_sell: true,
    }
}

fn finish_of(request: &Reserve, kind: FinishKind) -> Finish {
    Finish {
        user: request.user,
        order: request.order,
        kind,
    }
}

async fn ask(engine: &Arc<dyn StockEngine>, request: Reserve) -> Result<Verdict> {
    engine.reserve(&term(1), &[request]).await.remove(0)
}

/// Several processes find the sale closed at once: one opens it, the others are told so, and no
/// sale is undone.
async fn many_openers_open_once(database: OwnDatabase) {
    const OPENERS: usize = 8;
    let mut tasks = tokio::task::JoinSet::new();
    for opener in 0..OPENERS {
        let engine = engine(&database.url).await.unwrap();
        tasks.spawn(async move {
            let opened = engine.open(&opening(1, 10, Vec::new())).await.unwrap();
            let user = i64::try_from(opener).unwrap() + 1;
            (
                opened,
                ask(&engine, request(user, 1)).await.unwrap().is_granted(),
            )
        });
    }
    let results = tasks.join_all().await;
    assert_eq!(
        results
            .iter()
            .filter(|(opened, _)| *opened == Opened::Opened)
            .count(),
        1,
        "{results:?}"
    );
    assert!(results.iter().all(|(_, is_granted)| *is_granted));
    let view = engine(&database.url)
        .await
        .unwrap()
        .stock(&term(1))
        .await
        .unwrap();
    assert_eq!((view.remaining, view.open_units), (2, 8));
}

/// Bought, released and bought again by one buyer in one batch; and a batch of more rows than one
/// statement has.
async fn a_batch_may_be_large_and_name_a_buyer_often(database: OwnDatabase) {
    let engine = engine(&database.url).await.unwrap();
    let buyer = |user| OpeningBuyer {
        user: UserId(user),
        order: OrderId(user * 10),
        quantity: 1,
    };
    assert_eq!(
        engine
            .open(&opening(1, 2_000, (2_001..3_235).map(buyer).collect()))
            .await
            .unwrap(),
        Opened::Opened
    );
    let batch: Vec<_> = (1..=1_234).map(|user| request(user, 1)).collect();
    let verdicts = engine.reserve(&term(1), &batch).await;
    assert!(
        verdicts
            .into_iter()
            .all(|verdict| verdict.unwrap().is_granted())
    );
    let mut finishes: Vec<_> = batch
        .iter()
        .map(|item| finish_of(item, FinishKind::Release))
        .collect();
    finishes.extend(finishes.clone());
    let finished: Vec<_> = engine
        .finish(&term(1), &finishes)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(finished[..1_234].iter().all(|done| *done == Finished::Done));
    assert!(
        finished[1_234..]
            .iter()
            .all(|done| *done == Finished::AlreadyDone)
    );
    let view = engine.stock(&term(1)).await.unwrap();
    assert_eq!((view.remaining, view.open_units), (2_000, 0));
    let known = engine
        .reserve(&term(1), &[request(3_234, 1)])
        .await
        .remove(0)
        .unwrap();
    assert!(matches!(known, Verdict::Duplicate(hold) if hold.settled));
    let page = engine
        .open_holds(
            &term(1),
            &HoldPageQuery {
                age: Duration::ZERO,
                cursor: 0,
                limit: 10,
            },
        )
        .await
        .unwrap();
    assert_eq!(page.holds, Vec::new());
}

/// Callers that give up in the middle lose no connection and no unit.
async fn dropped_calls_lose_and_double_nothing(database: OwnDatabase) {
    const USERS: i64 = 150;
    let engine = engine(&database.url).await.unwrap();
    engine.open(&opening(1, 200, Vec::new())).await.unwrap();
    for user in 1..=USERS {
        let patience = Duration::from_micros(user.unsigned_abs() * 10);
        let _ = tokio::time::timeout(patience, ask(&engine, request(user, 1))).await;
        if user % 3 == 0 {
            let finish = [finish_of(&request(user, 1), FinishKind::Release)];
            let _ = tokio::time::timeout(patience / 2, engine.finish(&term(1), &finish)).await;
        }
    }
    // What was begun ends in its own time.
    let mut before = None;
    let view = loop {
        let view = engine.stock(&term(1)).await.unwrap();
        ask(&engine, request(USERS + 1, 1)).await.unwrap();
        let now = (view.remaining, view.open_units);
        if before == Some(now) {
            break view;
        }
        before = Some(now);
    };
    assert_eq!(view.remaining + view.open_units.cast_signed(), 200);
}

macro_rules! on_both {
    ($($scenario:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(super::OwnDatabase::sqlite().await).await;
            })+
        }

        /// One server for all: its start takes longer than they do.
        #[tokio::test]
        async fn the_same_holds_on_mariadb() {
            let Some(server) = DatabaseServer::start().await else { return };
            $(eprintln!(stringify!($scenario));
            $scenario(OwnDatabase::mariadb(&server).await).await;)+
        }
    };
}

on_both!(
    many_openers_open_once,
    a_batch_may_be_large_and_name_a_buyer_often,
    dropped_calls_lose_and_double_nothing,
);
