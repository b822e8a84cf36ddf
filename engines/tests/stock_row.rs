//! The two engines that share the rows of `database-row`: `optimistic-row` keeps the whole contract
//! on both databases, and `unsafe-counter` is caught, in the conformance suite and in the one
//! sequence of events that it is about.

use engines::conformance::{self, CheckResult, Harness, Subject};
use engines::testing::let_database_forget;
use engines::{
    EngineEnv, Epoch, IncarnationId, Nonce, Opened, Opening, OrderId, Registry, Reserve, Result,
    SaleId, StockEngine, Term, UserId, Verdict,
};
use servers::DatabaseServer;
use sqlx::{Connection, MySqlConnection, Row};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a condition.
const WITHIN: Duration = Duration::from_secs(30);

/// A database with the tables of an engine.
struct OwnDatabase {
    engine: &'static str,
    url: String,
    _folder: Option<tempfile::TempDir>,
}

impl OwnDatabase {
    async fn sqlite(engine: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("sales.db").display());
        Self::at(engine, url, Some(folder)).await
    }

    async fn mariadb(engine: &'static str, server: &DatabaseServer) -> Self {
        Self::at(engine, server.create_database().await, None).await
    }

    async fn at(engine: &'static str, url: String, folder: Option<tempfile::TempDir>) -> Self {
        let registry = Registry::standard();
        let factory = registry.get(engine).unwrap();
        factory.create_tables(&url).await.unwrap();
        Self {
            engine,
            url,
            _folder: folder,
        }
    }
}

#[async_trait::async_trait]
impl Subject for OwnDatabase {
    async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
        let env = EngineEnv::default().with("database.url", self.url.clone());
        let registry = Registry::standard();
        registry.build(&self.engine.parse()?, &env).await
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
async fn optimistic_row_keeps_the_contract_on_sqlite() {
    keeps_the_contract(OwnDatabase::sqlite("optimistic-row").await).await;
}

#[tokio::test]
async fn optimistic_row_keeps_the_contract_on_mariadb() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    keeps_the_contract(OwnDatabase::mariadb("optimistic-row", &server).await).await;
}

/// The check that must notice a counter that loses updates: every other calls one at a time, or would
/// be content with any engine that sells at all.
const CAUGHT_BY: &str = "the_count_is_exact_under_concurrent_tasks";

/// Two of the tasks have to meet, which may not happen in one run on a busy machine.
const RUNS_MAX: usize = 5;

async fn is_caught(database: OwnDatabase) {
    let harness = Harness::new(database);
    let seed = harness.seed_line();
    let mut seen = Vec::new();
    for _ in 0..RUNS_MAX {
        match conformance::run_named(&harness, CAUGHT_BY).await.unwrap() {
            CheckResult::Failed(how) => return eprintln!("caught by {CAUGHT_BY}: {how}"),
            other => seen.push(other),
        }
    }
    panic!("not caught by {CAUGHT_BY}, but {seen:?}; {seed}");
}

#[tokio::test]
async fn unsafe_counter_is_caught_on_sqlite() {
    is_caught(OwnDatabase::sqlite("unsafe-counter").await).await;
}

#[tokio::test]
async fn unsafe_counter_is_caught_on_mariadb() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    is_caught(OwnDatabase::mariadb("unsafe-counter", &server).await).await;
}

#[test]
fn only_unsafe_counter_is_registered_as_unsafe() {
    let registry = Registry::standard();
    let list = registry.list().iter();
    let all: Vec<_> = list.filter(|engine| engine.is_unsafe).collect();
    assert_eq!(all.len(), 1);
    let json = serde_json::to_value(all[0]).unwrap();
    assert_eq!(
        (&json["name"], &json["unsafe"]),
        (&"unsafe-counter".into(), &true.into())
    );
}

const TERM: Term = Term {
    sale: SaleId(1),
    epoch: Epoch(1),
    nonce: Nonce(7),
};

fn request(user: i64) -> Reserve {
    Reserve {
        user: UserId(user),
        order: OrderId(user * 10),
        quantity: 1,
        expires_at_ms: i64::MAX,
        incarnation: IncarnationId(1),
        may_sell: true,
    }
}

/// Waits until a transaction waits for a lock.
async fn until_one_waits(root: &mut MySqlConnection) {
    let deadline = tokio::time::Instant::now() + WITHIN;
    let sql = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'";
    loop {
        let row = sqlx::query(sql).fetch_one(&mut *root).await.unwrap();
        if row.get::<String, _>(1).parse::<i64>().unwrap() > 0 {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "nobody ever waits");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Another batch is about to sell the only unit when this one reads that it is left; what this one
/// answers when the other has committed.
async fn after_the_other_was_faster(engine: &'static str, server: &DatabaseServer) -> Verdict {
    let database = OwnDatabase::mariadb(engine, server).await;
    let engine = database.connect().await.unwrap();
    let opening = Opening {
        term: TERM,
        granted: 1,
        buyers: Vec::new(),
        publishers: Vec::new(),
    };
    assert_eq!(engine.open(&opening).await.unwrap(), Opened::Opened);
    let mut root = MySqlConnection::connect(&server.root_url()).await.unwrap();
    let mut other = MySqlConnection::connect(&database.url).await.unwrap();
    let mut faster = other.begin().await.unwrap();
    let sell = "UPDATE engine_stock SET remaining = remaining - 1, version = version + 1";
    sqlx::query(sell).execute(&mut *faster).await.unwrap();
    let asking = tokio::spawn({
        let engine = engine.clone();
        async move { engine.reserve(&TERM, &[request(1)]).await.remove(0) }
    });
    until_one_waits(&mut root).await;
    faster.commit().await.unwrap();
    asking.await.unwrap().unwrap()
}

#[tokio::test]
async fn who_loses_the_race_for_the_last_unit_is_told_that_it_is_gone_unless_nobody_looks() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let careful = after_the_other_was_faster("optimistic-row", &server).await;
    assert_eq!(careful, Verdict::SoldOut { remaining: 0 });
    let careless = after_the_other_was_faster("unsafe-counter", &server).await;
    assert_eq!(careless, Verdict::GRANTED, "the lost update");
}
