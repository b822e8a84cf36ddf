//! A transaction that loses a deadlock on MariaDB.

use super::*;
use crate::{Epoch, IncarnationId, Nonce, OrderId, UserId};
use servers::DatabaseServer;
use sqlx::{Connection as _, MySqlConnection, Row};

/// Longest wait for a condition.
const WITHIN: Duration = Duration::from_secs(10);

/// A fresh database with these tables.
async fn database(server: &DatabaseServer) -> String {
    let url = server.create_database().await;
    FACTORY.create_tables(&url).await.unwrap();
    url
}

fn engine(url: &str) -> Arc<DatabaseRow> {
    let database = database_server::connect(NAME, url).unwrap();
    Arc::new(DatabaseRow::new(NAME, Guard::Lock, database))
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

#[tokio::test]
async fn a_transaction_that_loses_a_deadlock_is_begun_again() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let url = database(&server).await;
    let engine = engine(&url);
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
