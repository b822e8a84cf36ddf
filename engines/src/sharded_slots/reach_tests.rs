//! How far a call reaches: which slots it asks, and which it forgets.

use super::tests::{RedisServer, engine, opening, request, term};
use super::{SCRIPT, ShardedSlots};
use crate::{Reserve, SaleId, StockEngine, Upkeep, Verdict};
use redis::aio::MultiplexedConnection;

async fn connection(server: &RedisServer) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// Calls of scripts by their SHA1 so far.
async fn script_calls(redis: &mut MultiplexedConnection) -> u64 {
    let stats: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(redis)
        .await
        .unwrap();
    let calls = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    let calls = calls.and_then(|rest| rest.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
async fn a_request_that_may_not_sell_asks_the_home_slot_only() {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    let (engine, mut redis) = (engine(&server, SCRIPT).await, connection(&server).await);
    engine.open(&opening(1)).await.unwrap();
    let look = |user| Reserve {
        may_sell: false,
        ..request(user, 1)
    };
    let ask = async |item| engine.reserve(&term(1), &[item]).await.remove(0).unwrap();
    // The first call of a term looks whether every slot is open.
    assert_eq!(ask(look(1)).await, Verdict::NoOrder);
    let before = script_calls(&mut redis).await;
    for user in 2..12 {
        assert_eq!(ask(look(user)).await, Verdict::NoOrder);
    }
    assert_eq!(script_calls(&mut redis).await - before, 10);
}

#[tokio::test]
async fn a_retired_sale_leaves_its_note_alone_also_in_slots_of_older_epochs() {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    let mut redis = connection(&server).await;
    let many = engine(&server, SCRIPT).await;
    many.open(&opening(1)).await.unwrap();
    let batch: Vec<_> = (1..20).map(|user| request(user, 1)).collect();
    many.reserve(&term(1), &batch).await;
    let one = ShardedSlots::connect(&server.url(), 1, SCRIPT, "test:".to_owned())
        .await
        .unwrap();
    one.open(&opening(2)).await.unwrap();
    let mut keys = async || -> Vec<String> {
        let mut keys = redis::cmd("KEYS");
        keys.arg("*").query_async(&mut redis).await.unwrap()
    };
    assert!(!keys().await.is_empty());
    one.retire(SaleId(1), crate::Epoch(2)).await.unwrap();
    assert_eq!(keys().await.len(), 1, "the note");
}
