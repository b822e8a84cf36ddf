//! `database-row` against the whole contract on both databases, and what only it promises: rows
//! that survive a killed server, locks that are waited for within bounds, and a database that is
//! not good enough.

use engines::conformance::{self, Harness, Subject};
use engines::{
    EngineEnv, Epoch, Finish, FinishKind, Finished, HoldPageQuery, IncarnationId, Nonce, Opened,
    Opening, OpeningBuyer, OrderId, Registry, Reserve, Result, SaleId, StockEngine, Term, UserId,
    Verdict,
};
use servers::DatabaseServer;
use sqlx::{Connection, MySqlConnection, Row};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
struct Place {
    url: String,
    _folder: Option<tempfile::TempDir>,
}

impl Place {
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
impl Subject for Place {
    async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
        engine(&self.url).await
    }
}

async fn keeps_the_contract(place: Place) {
    match conformance::run_all(&Harness::new(place)).await {
        Ok(passed) => eprintln!("{passed} checks passed"),
        Err(failure) => panic!("{failure}"),
    }
}

#[tokio::test]
async fn it_keeps_the_contract_on_sqlite() {
    keeps_the_contract(Place::sqlite().await).await;
}

#[tokio::test]
async fn it_keeps_the_contract_on_mariadb() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    keeps_the_contract(Place::mariadb(&server).await).await;
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

fn now_ms() -> i64 {
    i64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis(),
    )
    .unwrap()
}

async fn ask(engine: &Arc<dyn StockEngine>, request: Reserve) -> Result<Verdict> {
    engine.reserve(&term(1), &[request]).await.remove(0)
}

/// Several processes find the sale closed at once: one opens it, the others are told so, and no
/// sale is undone.
async fn many_openers_open_once(place: Place) {
    const OPENERS: usize = 8;
    let mut tasks = tokio::task::JoinSet::new();
    for opener in 0..OPENERS {
        let engine = engine(&place.url).await.unwrap();
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
    let view = engine(&place.url)
        .await
        .unwrap()
        .stock(&term(1))
        .await
        .unwrap();
    assert_eq!((view.remaining, view.open_units), (2, 8));
}

/// Bought, released and bought again by one buyer in one batch; and a batch of more rows than one
/// statement has.
async fn a_batch_may_be_large_and_name_a_buyer_often(place: Place) {
    let engine = engine(&place.url).await.unwrap();
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
async fn dropped_calls_lose_and_double_nothing(place: Place) {
    const USERS: i64 = 150;
    let engine = engine(&place.url).await.unwrap();
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
                super::$scenario(super::Place::sqlite().await).await;
            })+
        }

        /// One server for all: its start takes longer than they do.
        #[tokio::test]
        async fn the_same_holds_on_mariadb() {
            let Some(server) = DatabaseServer::start().await else { return };
            $(eprintln!(stringify!($scenario));
            $scenario(Place::mariadb(&server).await).await;)+
        }
    };
}

on_both!(
    many_openers_open_once,
    a_batch_may_be_large_and_name_a_buyer_often,
    dropped_calls_lose_and_double_nothing,
);

#[tokio::test]
async fn a_request_that_waits_for_the_lock_beyond_its_deadline_sells_nothing() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let place = Place::mariadb(&server).await;
    let engine = engine(&place.url).await.unwrap();
    engine.open(&opening(1, 10, Vec::new())).await.unwrap();
    let mut other = MySqlConnection::connect(&place.url).await.unwrap();
    let mut locked = other.begin().await.unwrap();
    sqlx::query("SELECT * FROM engine_stock FOR UPDATE")
        .fetch_all(&mut *locked)
        .await
        .unwrap();
    let expires_at_ms = now_ms() + 300;
    let late = tokio::spawn({
        let engine = engine.clone();
        async move {
            ask(
                &engine,
                Reserve {
                    expires_at_ms,
                    ..request(1, 1)
                },
            )
            .await
        }
    });
    // The clock that decides is the server's.
    let passed = format!(
        "SELECT UNIX_TIMESTAMP(SYSDATE(3)) * 1000 > {}",
        expires_at_ms + 1
    );
    while !sqlx::query(&passed)
        .fetch_one(&mut *locked)
        .await
        .unwrap()
        .get::<bool, _>(0)
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    locked.rollback().await.unwrap();
    assert_eq!(late.await.unwrap().unwrap(), Verdict::Expired);
    assert_eq!(engine.stock(&term(1)).await.unwrap().open_units, 0);
}

#[tokio::test]
async fn a_lock_that_is_never_given_back_makes_the_engine_unavailable_within_bounds() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let place = Place::mariadb(&server).await;
    let engine = engine(&place.url).await.unwrap();
    engine.open(&opening(1, 10, Vec::new())).await.unwrap();
    let mut other = MySqlConnection::connect(&place.url).await.unwrap();
    let mut locked = other.begin().await.unwrap();
    sqlx::query("SELECT * FROM engine_stock FOR UPDATE")
        .fetch_all(&mut *locked)
        .await
        .unwrap();
    let refused = tokio::time::timeout(WITHIN, ask(&engine, request(1, 1)))
        .await
        .unwrap()
        .unwrap_err();
    assert!(refused.is_retryable() && !refused.is_unknown(), "{refused}");
    locked.rollback().await.unwrap();
    assert!(ask(&engine, request(1, 1)).await.unwrap().is_granted());
}

#[tokio::test]
async fn a_database_that_cannot_keep_or_lock_is_refused_with_the_reason() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let place = Place::mariadb(&server).await;
    let check = async |allow_volatile| {
        // A new engine each time: settings of the server hold for new connections.
        engine(&place.url)
            .await
            .unwrap()
            .check_server(allow_volatile)
            .await
    };
    let settings = check(false).await.unwrap();
    assert!(
        settings
            .iter()
            .any(|(name, value)| name.ends_with("flush_log_at_trx_commit") && value == "1")
    );
    let mut connection = MySqlConnection::connect(&place.url).await.unwrap();
    sqlx::raw_sql("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
        .execute(&mut connection)
        .await
        .unwrap();
    let refused = check(false).await.unwrap_err().to_string();
    assert!(
        refused.contains("database-row: innodb_flush_log_at_trx_commit is 2"),
        "{refused}"
    );
    assert!(check(true).await.is_ok());
    sqlx::raw_sql("ALTER TABLE engine_stock ENGINE = MyISAM")
        .execute(&mut connection)
        .await
        .unwrap();
    let refused = check(true).await.unwrap_err().to_string();
    assert!(
        refused.contains("engine_stock is stored by MyISAM")
            && refused.contains("InnoDB is needed"),
        "{refused}"
    );
    sqlx::raw_sql("DROP TABLE engine_gate, engine_stock")
        .execute(&mut connection)
        .await
        .unwrap();
    let refused = check(true).await.unwrap_err().to_string();
    assert!(refused.contains("engine_stock is missing"), "{refused}");
    let nowhere = Registry::standard()
        .build(&"database-row".parse().unwrap(), &EngineEnv::default())
        .await;
    assert!(
        nowhere
            .unwrap_err()
            .to_string()
            .contains("needs the setting database.url")
    );
    assert!(
        engine("no url at all")
            .await
            .unwrap_err()
            .to_string()
            .contains("neither mysql://")
    );
}

#[tokio::test]
async fn a_killed_server_loses_nothing_it_acknowledged_and_doubles_nothing() {
    const BATCH: i64 = 20;
    const BUYERS: i64 = 4_000;
    const ACKNOWLEDGED_FIRST: usize = 400;
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let place = Place::mariadb(&server).await;
    let engine = engine(&place.url).await.unwrap();
    engine
        .open(&opening(1, 1_000_000, Vec::new()))
        .await
        .unwrap();
    let (sold, mut seen) = tokio::sync::watch::channel(0);
    let stream = tokio::spawn({
        let engine = engine.clone();
        async move {
            let (mut acknowledged, mut failed) = (HashSet::new(), 0);
            for first in (1..=BUYERS).step_by(usize::try_from(BATCH).unwrap()) {
                let batch: Vec<_> = (first..first + BATCH)
                    .map(|user| request(user, 2))
                    .collect();
                let verdicts = engine.reserve(&term(1), &batch).await;
                for (item, verdict) in batch.iter().zip(verdicts) {
                    match verdict {
                        Ok(verdict) => {
                            assert!(verdict.is_granted() && acknowledged.insert(item.order))
                        }
                        Err(error) => failed += usize::from(error.is_retryable()),
                    }
                }
                sold.send_replace(acknowledged.len());
            }
            (acknowledged, failed)
        }
    });
    tokio::time::timeout(WITHIN, seen.wait_for(|sold| *sold >= ACKNOWLEDGED_FIRST))
        .await
        .unwrap()
        .unwrap();
    let when_killed = *seen.borrow();
    server.kill().await.unwrap();
    assert!(
        (when_killed as i64) < BUYERS,
        "the stream was over before the server was killed"
    );
    server.restart().await.unwrap();
    let (acknowledged, failed) = stream.await.unwrap();
    eprintln!(
        "{when_killed} acknowledged before the kill, {} in all, {failed} failed",
        acknowledged.len()
    );
    assert!(
        acknowledged.len() > when_killed,
        "nothing was sold after the restart"
    );

    let open = open_holds(&engine).await;
    assert_eq!(
        acknowledged.difference(&open).count(),
        0,
        "acknowledged orders that are lost"
    );
    let view = engine.stock(&term(1)).await.unwrap();
    assert_eq!(view.open_units, 2 * open.len() as u64);
    assert_eq!(view.remaining, 1_000_000 - 2 * open.len() as i64);
    // Everybody asks again: who has an order keeps it, whether he was told so or not.
    for user in 1..=BUYERS {
        let retry = Reserve {
            order: OrderId(user * 10 + 1),
            ..request(user, 2)
        };
        let verdict = ask(&engine, retry).await.unwrap();
        match verdict {
            Verdict::Duplicate(hold) => assert_eq!(hold.order, request(user, 2).order),
            other => assert!(
                other.is_granted() && !open.contains(&request(user, 2).order),
                "{other:?}"
            ),
        }
    }
    assert_eq!(
        engine.stock(&term(1)).await.unwrap().open_units,
        2 * BUYERS.unsigned_abs()
    );
}

async fn open_holds(engine: &Arc<dyn StockEngine>) -> HashSet<OrderId> {
    let (mut orders, mut cursor) = (HashSet::new(), 0);
    loop {
        let query = HoldPageQuery {
            age: Duration::ZERO,
            cursor,
            limit: 10_000,
        };
        let page = engine.open_holds(&term(1), &query).await.unwrap();
        orders.extend(page.holds.iter().map(|hold| hold.order));
        let Some(next) = page.next else { return orders };
        cursor = next;
    }
}
