//! What the lock of `database-row`'s stock row is for, with transactions that wait for each other
//! in a known order: the engine marks no hold behind a touch, its copy without the lock does.

use engines::{
    EngineEnv, EngineFactory, Epoch, HoldKey, IncarnationId, Nonce, Opened, Opening, OrderId,
    Registry, Reserve, SaleId, StockEngine, Term, UserId, Verdict,
};
use servers::DatabaseServer;
use sqlx::{Connection as _, MySqlConnection, Row};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a condition.
const WITHIN: Duration = Duration::from_secs(10);
/// Times that a race is set up; one may be decided by a time-out on a busy machine.
const RACES_MAX: i64 = 5;

const TERM: Term = Term {
    sale: SaleId(1),
    epoch: Epoch(1),
    nonce: Nonce(u64::MAX),
};

async fn engine(factory: EngineFactory, url: &str) -> Arc<dyn StockEngine> {
    let env = EngineEnv::default().with("database.url", url);
    let registry = Registry::default().register(factory);
    let spec = "database-row".parse().unwrap();
    registry.build(&spec, &env).await.unwrap()
}

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
async fn is_marked_behind_a_touch(server: &DatabaseServer, marking: EngineFactory) -> bool {
    const OLD: Duration = Duration::from_secs(1_800);
    let url = server.create_database().await;
    let healthy = broken_engines::database_row_healthy::FACTORY;
    healthy.create_tables(&url).await.unwrap();
    let (touching, marking) = (engine(healthy, &url).await, engine(marking, &url).await);
    let opening = Opening {
        term: TERM,
        granted: 100,
        buyers: Vec::new(),
        publishers: Vec::new(),
    };
    assert_eq!(touching.open(&opening).await.unwrap(), Opened::Opened);
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
    let healthy = broken_engines::database_row_healthy::FACTORY;
    assert!(!is_marked_behind_a_touch(&server, healthy).await);
    // Without the lock the age is that of before the touch.
    let broken = broken_engines::database_row_locks_nothing::FACTORY;
    assert!(
        is_marked_behind_a_touch(&server, broken).await,
        "the broken copy is not caught"
    );
}
