//! Servers that are not what they were when a term was opened: lost-server-noticed (R13).

use super::tests::{SLOTS, engine, opening, term};
use super::{SCRIPT, ShardedSlots};
use crate::StockEngine;
use crate::helpers::broken_scripts::broken;
use crate::helpers::lost_lives::{self, Subject};
use crate::testing::old_server;
use servers::RedisServer;
use std::sync::Arc;

fn subject(script: &str) -> Subject {
    Subject {
        connect: |url, script| {
            Box::pin(async move {
                let prefix = "test:".to_owned();
                let engine = ShardedSlots::connect(&url, SLOTS, &script, prefix).await?;
                Ok(Arc::new(engine) as Arc<dyn StockEngine>)
            })
        },
        script: script.to_owned(),
    }
}

#[tokio::test]
async fn a_promoted_replica_has_none_of_the_terms_of_its_primary() {
    lost_lives::failover(&subject(SCRIPT)).await.unwrap();
}

#[tokio::test]
async fn a_primary_that_was_demoted_and_promoted_again_has_lost_its_terms() {
    lost_lives::resync_and_failback(&subject(SCRIPT))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_restarted_server_has_lost_its_terms_also_when_another_sale_is_opened_first() {
    lost_lives::restart_and_another_opening(&subject(SCRIPT))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_first_replica_of_a_server_costs_one_epoch_and_the_second_none() {
    lost_lives::first_and_second_replica(&subject(SCRIPT))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_keeps_one_script_however_many_sales_are_opened_on_it() {
    lost_lives::many_openings(&subject(SCRIPT)).await.unwrap();
}

#[tokio::test]
async fn broken_copies_of_the_script_do_not_notice_that_the_server_changed() {
    lost_lives::broken_copies_are_caught(SCRIPT, subject).await;
}

#[tokio::test]
async fn a_redis_before_7_is_refused_before_anything_is_opened() {
    let subject = subject(SCRIPT);
    let connect = async |url| {
        let connected = (subject.connect)(url, subject.script.clone());
        connected.await.unwrap()
    };
    old_server::is_refused(connect).await;
}

/// Whether each slot refuses to begin an epoch that is no longer the newest, and one that is tied to
/// other servers; whoever opens looks only a moment earlier.
async fn begins_only_what_is_new_and_of_this_server(script: &str) -> bool {
    let Some(server) = RedisServer::start().await else {
        return false;
    };
    let engine = engine(&server, script).await;
    engine.open(&opening(2)).await.unwrap();
    let lives = engine.load_script().await.unwrap();
    let begin = async |epoch, lives: &str| {
        let slots = engine.slots(&term(epoch));
        let slot = &slots.slots[0];
        engine
            .begin_slot(&slots, slot, "one", "loading", lives)
            .await
    };
    let older = [begin(1, &lives).await, begin(2, &lives).await];
    older.iter().all(|answer| matches!(answer, Ok(2)))
        && begin(3, "of:another").await.is_err()
        && engine.stock(&term(2)).await.unwrap().is_open
}

#[tokio::test]
async fn a_slot_begins_neither_an_older_epoch_nor_one_of_other_servers() {
    if RedisServer::start().await.is_none() {
        return;
    }
    assert!(begins_only_what_is_new_and_of_this_server(SCRIPT).await);
    for (healthy, becomes) in [
        (
            "if known and tonumber(known) >= tonumber(EPOCH) then",
            "if false then",
        ),
        (
            "elseif not find(lives, life(), 1, true) then",
            "elseif false then",
        ),
    ] {
        let broken = broken(SCRIPT, healthy, becomes);
        let is_caught = !begins_only_what_is_new_and_of_this_server(&broken).await;
        assert!(is_caught, "{healthy}: not caught");
    }
}
