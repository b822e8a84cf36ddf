//! What only this engine promises.

use super::*;
use crate::{IncarnationId, Nonce, OrderId, UserId};
use key_set::UNITS_MAX;
use servers::RedisServer;

fn engine(server: &RedisServer) -> LuaSingleKey {
    LuaSingleKey::connect(&server.url(), SCRIPT, "test:".to_owned()).unwrap()
}

fn term(epoch: u32) -> Term {
    Term {
        sale: SaleId(1),
        epoch: Epoch(epoch),
        nonce: Nonce(u64::from(epoch) * 11),
    }
}

fn opening(epoch: u32, granted: u64) -> Opening {
    Opening {
        term: term(epoch),
        granted,
        buyers: Vec::new(),
        publishers: Vec::new(),
    }
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

#[tokio::test]
async fn a_term_that_was_open_before_a_restart_cannot_be_opened_again() {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    let engine = engine(&server);
    assert_eq!(engine.open(&opening(1, 5)).await.unwrap(), Opened::Opened);
    server.lose("killed, AOF intact").await.unwrap();
    // The first calls may meet the connection of the old server.
    let mut answer = engine.open(&opening(1, 5)).await;
    for _ in 0..100 {
        if answer.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        answer = engine.open(&opening(1, 5)).await;
    }
    assert_eq!(answer.unwrap(), Opened::Stale { newest: Epoch(1) });
    assert_eq!(
        *engine.reserve(&term(1), &[request(1)]).await[0]
            .as_ref()
            .unwrap(),
        Verdict::NotOpen
    );
    assert!(!engine.stock(&term(1)).await.unwrap().is_open);
    assert_eq!(engine.open(&opening(2, 5)).await.unwrap(), Opened::Opened);
    assert_eq!(
        *engine.reserve(&term(2), &[request(1)]).await[0]
            .as_ref()
            .unwrap(),
        Verdict::GRANTED
    );
}

#[tokio::test]
async fn of_two_openers_of_one_term_the_overtaken_one_fails() {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    let (first, second) = (engine(&server), engine(&server));
    assert_eq!(first.begin(&term(1), "first").await.unwrap(), None);
    assert_eq!(second.open(&opening(1, 5)).await.unwrap(), Opened::Opened);
    let mut command = first.target(&term(1)).evalsha("open");
    command.arg("").arg("first").arg(100).arg(0);
    assert!(
        first.call("opening", &command).await.unwrap().is_none(),
        "the overtaken opener opened the sale"
    );
    assert_eq!(first.stock(&term(1)).await.unwrap().remaining, 5);
}

#[tokio::test]
async fn an_older_epoch_leaves_no_keys_behind_and_a_retired_sale_a_note_of_200_bytes() {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    let engine = engine(&server);
    for epoch in 1..=3 {
        assert_eq!(
            engine.open(&opening(epoch, 5)).await.unwrap(),
            Opened::Opened
        );
        assert_eq!(
            *engine.reserve(&term(epoch), &[request(1)]).await[0]
                .as_ref()
                .unwrap(),
            Verdict::GRANTED
        );
    }
    let mut keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut engine.redis.clone())
        .await
        .unwrap();
    keys.sort();
    assert_eq!(
        keys,
        [
            "{test:sale:1}:3:gate",
            "{test:sale:1}:3:holds",
            "{test:sale:1}:meta"
        ]
    );
    engine.retire(SaleId(1), Epoch(4)).await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut engine.redis.clone())
        .await
        .unwrap();
    assert_eq!(keys, ["{test:sale:1}:meta"]);
    let bytes: u64 = redis::cmd("MEMORY")
        .arg("USAGE")
        .arg(&keys[0])
        .query_async(&mut engine.redis.clone())
        .await
        .unwrap();
    assert!(bytes <= 200, "{bytes} bytes");
}

#[tokio::test]
async fn a_quantity_of_nothing_and_a_stock_beyond_counting_are_refused() {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    let engine = engine(&server);
    assert!(
        engine
            .open(&opening(1, UNITS_MAX + 1))
            .await
            .unwrap_err()
            .to_string()
            .contains("can count")
    );
    assert_eq!(
        engine.open(&opening(1, UNITS_MAX)).await.unwrap(),
        Opened::Opened
    );
    let batch = [
        Reserve {
            quantity: 0,
            ..request(1)
        },
        request(2),
    ];
    let verdicts = engine.reserve(&term(1), &batch).await;
    assert!(
        verdicts[0]
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("0 units")
    );
    assert_eq!(*verdicts[1].as_ref().unwrap(), Verdict::GRANTED);
    assert_eq!(
        engine.stock(&term(1)).await.unwrap().remaining,
        (UNITS_MAX - 1) as i64
    );
}

#[tokio::test]
async fn a_server_that_can_forget_is_refused_unless_allowed() {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    let engine = engine(&server);
    let check = async |allow_volatile| engine.check_server(allow_volatile).await;
    let settings = check(false).await.unwrap();
    assert!(
        settings.contains(&("redis.appendfsync".to_owned(), "everysec".to_owned())),
        "{settings:?}"
    );
    server
        .command("CONFIG SET maxmemory-policy allkeys-lru")
        .await
        .unwrap();
    assert!(
        check(false)
            .await
            .unwrap_err()
            .to_string()
            .contains("allkeys-lru")
    );
    server
        .command("CONFIG SET maxmemory-policy noeviction")
        .await
        .unwrap();
    server.command("CONFIG SET appendonly no").await.unwrap();
    assert!(
        check(false)
            .await
            .unwrap_err()
            .to_string()
            .contains("appendonly = no")
    );
    assert!(check(true).await.is_ok());
}

#[tokio::test]
async fn a_server_out_of_memory_is_unavailable_and_sells_nothing() {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    let engine = engine(&server);
    engine.open(&opening(1, 5)).await.unwrap();
    server.command("CONFIG SET maxmemory 1").await.unwrap();
    let refused = engine
        .reserve(&term(1), &[request(1)])
        .await
        .remove(0)
        .unwrap_err();
    assert!(refused.is_retryable() && !refused.is_unknown(), "{refused}");
    server.command("CONFIG SET maxmemory 0").await.unwrap();
    assert_eq!(engine.stock(&term(1)).await.unwrap().open_units, 0);
    assert_eq!(
        *engine.reserve(&term(1), &[request(1)]).await[0]
            .as_ref()
            .unwrap(),
        Verdict::GRANTED
    );
}

#[tokio::test]
async fn a_hold_forgets_no_incarnation_and_answers_busy_when_it_is_full() {
    const INCARNATIONS_MAX: i64 = 64;
    let Some(server) = RedisServer::start().await else {
        return;
    };
    let engine = engine(&server);
    engine.open(&opening(1, 5)).await.unwrap();
    for incarnation in 1..=INCARNATIONS_MAX {
        let retry = Reserve {
            incarnation: IncarnationId(incarnation),
            ..request(1)
        };
        assert!(!matches!(
            engine.reserve(&term(1), &[retry]).await.remove(0).unwrap(),
            Verdict::Busy
        ));
    }
    let one_more = Reserve {
        incarnation: IncarnationId(INCARNATIONS_MAX + 1),
        ..request(1)
    };
    assert_eq!(
        engine
            .reserve(&term(1), &[one_more])
            .await
            .remove(0)
            .unwrap(),
        Verdict::Busy
    );
    let known = engine
        .reserve(&term(1), &[request(1)])
        .await
        .remove(0)
        .unwrap();
    assert!(matches!(known, Verdict::Duplicate(hold) if !hold.settled));
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
    assert_eq!(page.holds[0].touched_by.len() as i64, INCARNATIONS_MAX);
}
