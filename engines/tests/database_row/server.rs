//! A server that is killed and comes back with its data, and one that is not good enough.

use super::{OwnDatabase, WITHIN, ask, engine, opening, request, term};
use engines::{EngineEnv, HoldPageQuery, OrderId, Registry, Reserve, StockEngine, Verdict};
use servers::DatabaseServer;
use sqlx::{Connection, MySqlConnection};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_database_that_cannot_keep_or_lock_is_refused_with_the_reason() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let database = OwnDatabase::mariadb(&server).await;
    let check = async |allow_volatile| {
        // A new engine each time: settings of the server hold for new connections.
        engine(&database.url)
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
    let mut connection = MySqlConnection::connect(&database.url).await.unwrap();
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
    let database = OwnDatabase::mariadb(&server).await;
    let engine = engine(&database.url).await.unwrap();
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
    // Everybody asks again: whoever has an order keeps it, told so or not.
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
