//! What the lock of the stock row is for, with transactions that wait for each other in a known
//! order.

use super::*;
use crate::{IncarnationId, Nonce, OrderId, UserId};
use servers::DatabaseServer;
use sqlx::{Connection as _, MySqlConnection, Row};

/// Longest wait for a condition.
const WITHIN: Duration = Duration::from_secs(10);
/// Times that a race is set up; one may be decided by a time-out on a busy machine.
const RACES_MAX: i64 = 5;

/// A fresh database with these tables.
async fn database(server: &DatabaseServer) -> String {
    let url = server.create_database().await;
    FACTORY.create_tables(&url).await.unwrap();
    url
}

fn engine(url: &str, only: Option<Fault>) -> Arc<DatabaseRow> {
    let database = database_server::connect(NAME, url).unwrap();
    Arc::new(DatabaseRow::new(database, Faults { only }))
}

const TERM: Term = Term {
    sale: SaleId(1),
    epoch: Epoch(1),
    nonce: Nonce(u64::MAX),
};

async fn open(engine: &DatabaseRow) {
    let opening = Opening {
        term: TERM,
        granted: 100,
        buyers: Vec::new(),
        publishers: Vec::new(),
    };
    assert_eq!(engine.open(&opening).await.unwrap(), Opened::Opened);
}

fn request(user: i64) -> Reserve {
    let incarnation = IncarnationId(1);
    Reserve {
        user: UserId(user),
        order: OrderId(user * 10),
        quantity: 1,
        expires_at_ms: i64::MAX,
        incarnation,
        may_sell: true,
    }
}

/// Waits until so many transactions wait for a lock.
async fn until_wait(root: &mut MySqlConnection, count: i64) {
    let deadline = tokio::time::Instant::now() + WITHIN;
    let sql = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'";
    while sqlx::query(sql)
        .fetch_one(&mut *root)
        .await
        .unwrap()
        .get::<String, _>(1)
        .parse::<i64>()
        .unwrap()
        < count
    {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{count} transactions never wait at the same time"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A buyer whose hold is old asks again and is not committed yet when the hold is to be marked.
/// Whether it was marked.
async fn is_marked_behind_a_touch(server: &DatabaseServer, only: Option<Fault>) -> bool {
    const OLD: Duration = Duration::from_secs(1_800);
    let url = database(server).await;
    let (touching, marking) = (engine(&url, None), engine(&url, only));
    open(&touching).await;
    let mut root = MySqlConnection::connect(&server.root_url()).await.unwrap();
    let mut other = MySqlConnection::connect(&url).await.unwrap();
    for user in 1..=RACES_MAX {
        assert!(
            touching
                .reserve(&TERM, &[request(user)])
                .await
                .remove(0)
                .unwrap()
                .is_granted()
        );
        let an_hour = "UPDATE engine_gate SET touched_at_ms = touched_at_ms - 3600000";
        sqlx::query(an_hour).execute(&mut other).await.unwrap();
        let mut locked = other.begin().await.unwrap();
        let lock = "SELECT user_id FROM engine_gate WHERE sale_id = 1 AND user_id = ? FOR UPDATE";
        assert_eq!(
            sqlx::query(lock)
                .bind(user)
                .fetch_all(&mut *locked)
                .await
                .unwrap()
                .len(),
            1
        );
        let touch = tokio::spawn({
            let touching = touching.clone();
            async move { touching.reserve(&TERM, &[request(user)]).await.remove(0) }
        });
        until_wait(&mut root, 1).await;
        let mark = tokio::spawn({
            let (marking, asked) = (marking.clone(), request(user));
            async move {
                let (user, order) = (asked.user, asked.order);
                marking.mark(&TERM, &[HoldKey { user, order }], OLD).await
            }
        });
        until_wait(&mut root, 2).await;
        locked.rollback().await.unwrap();
        let (touched, marked) = (touch.await.unwrap().unwrap(), mark.await.unwrap().unwrap());
        // On a busy machine the touch may have waited too long and come second: then the mark is
        // right.
        if matches!(touched, Verdict::Duplicate(_)) {
            return !marked.is_empty();
        }
    }
    panic!("of {RACES_MAX} touches none came before the mark");
}

#[tokio::test]
async fn a_hold_is_not_marked_behind_a_touch_that_it_has_just_had() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    assert!(!is_marked_behind_a_touch(&server, None).await);
    // Without the lock the age is that of before the touch.
    assert!(
        is_marked_behind_a_touch(&server, Some(Fault::LocksNothing)).await,
        "the broken copy is not caught"
    );
}

#[tokio::test]
async fn a_transaction_that_loses_a_deadlock_is_begun_again() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let url = database(&server).await;
    let engine = engine(&url, None);
    open(&engine).await;
    assert!(
        engine
            .reserve(&TERM, &[request(1)])
            .await
            .remove(0)
            .unwrap()
            .is_granted()
    );
    let mut root = MySqlConnection::connect(&server.root_url()).await.unwrap();
    let mut other = MySqlConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE ballast (n BIGINT PRIMARY KEY) ENGINE = InnoDB")
        .execute(&mut other)
        .await
        .unwrap();
    let mut heavy = other.begin().await.unwrap();
    // The server sacrifices the lighter one.
    for number in 0..100 {
        sqlx::query("INSERT INTO ballast VALUES (?)")
            .bind(number)
            .execute(&mut *heavy)
            .await
            .unwrap();
    }
    let lock = "SELECT user_id FROM engine_gate WHERE sale_id = 1 AND user_id = 1 FOR UPDATE";
    sqlx::query(lock).fetch_all(&mut *heavy).await.unwrap();
    let call = tokio::spawn({
        let engine = engine.clone();
        async move { engine.reserve(&TERM, &[request(1), request(2)]).await }
    });
    until_wait(&mut root, 1).await;
    sqlx::query("SELECT sale_id FROM engine_stock WHERE sale_id = 1 FOR UPDATE")
        .fetch_all(&mut *heavy)
        .await
        .unwrap();
    heavy.rollback().await.unwrap();
    let verdicts: Vec<_> = call
        .await
        .unwrap()
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(
        matches!(verdicts[0], Verdict::Duplicate(_)) && verdicts[1].is_granted(),
        "{verdicts:?}"
    );
    let view = engine.stock(&TERM).await.unwrap();
    assert_eq!((view.remaining, view.open_units), (98, 2));
}
