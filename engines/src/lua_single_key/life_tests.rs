//! Servers that are not what they were when a term was opened: lost-server-noticed (R13).

use super::{LuaSingleKey, SCRIPT};
use crate::StockEngine;
use crate::helpers::lost_lives::{self, Subject};
use crate::testing::old_server;
use std::sync::Arc;

fn subject(script: &str) -> Subject {
    Subject {
        connect: |url, script| {
            Box::pin(async move {
                let engine = LuaSingleKey::connect(&url, &script, "test:".to_owned())?;
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
