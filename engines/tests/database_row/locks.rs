//! Locks that are waited for within bounds.

use super::{OwnDatabase, WITHIN, ask, engine, opening, request, term};
use engines::{Reserve, Verdict};
use servers::DatabaseServer;
use sqlx::{Connection, MySqlConnection, Row};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn now_ms() -> i64 {
    i64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis(),
    )
    .unwrap()
}

#[tokio::test]
async fn a_request_that_waits_for_the_lock_beyond_its_deadline_sells_nothing() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let database = OwnDatabase::mariadb(&server).await;
    let engine = engine(&database.url).await.unwrap();
    engine.open(&opening(1, 10, Vec::new())).await.unwrap();
    let mut other = MySqlConnection::connect(&database.url).await.unwrap();
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
    let database = OwnDatabase::mariadb(&server).await;
    let engine = engine(&database.url).await.unwrap();
    engine.open(&opening(1, 10, Vec::new())).await.unwrap();
    let mut other = MySqlConnection::connect(&database.url).await.unwrap();
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
