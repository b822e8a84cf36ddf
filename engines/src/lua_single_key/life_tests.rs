//! Servers that are not what they were when a term was opened: lost-server-noticed (R13).

use super::{LuaSingleKey, SCRIPT};
use crate::helpers::broken_scripts::broken;
use crate::helpers::lost_lives::{self, Subject};
use crate::testing::old_server;
use crate::{
    Epoch, IncarnationId, Nonce, Opening, OrderId, Reserve, SaleId, StockEngine, Term, Upkeep,
    UserId,
};
use servers::RedisServer;
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

/// CPU of the server per call of `calls` with batches of this size, µs, as it counts it itself.
async fn us_per_call(server: &RedisServer, script: &str, sale: i64, batch: usize) -> f64 {
    const CALLS: usize = 400;
    let engine = LuaSingleKey::connect(&server.url(), script, "test:".to_owned()).unwrap();
    let (sale, epoch, nonce) = (SaleId(sale), Epoch(1), Nonce(7));
    let term = Term { sale, epoch, nonce };
    let opening = Opening {
        term,
        granted: (CALLS * batch) as u64,
        buyers: Vec::new(),
        publishers: Vec::new(),
    };
    engine.open(&opening).await.unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let mut reset = redis::cmd("CONFIG");
    let reset = reset.arg("RESETSTAT");
    reset.query_async::<()>(&mut redis).await.unwrap();
    for call in 0..CALLS {
        let requests = (0..batch).map(|item| {
            let user = (call * batch + item) as i64;
            Reserve {
                user: UserId(user),
                order: OrderId(user),
                quantity: 1,
                expires_at_ms: i64::MAX,
                incarnation: IncarnationId(1),
                may_sell: true,
            }
        });
        let requests: Vec<Reserve> = requests.collect();
        for verdict in engine.reserve(&term, &requests).await {
            assert!(verdict.unwrap().is_granted());
        }
    }
    let mut info = redis::cmd("INFO");
    let stats: String = info
        .arg("commandstats")
        .query_async(&mut redis)
        .await
        .unwrap();
    engine.retire(sale, epoch).await.unwrap();
    let line = stats
        .lines()
        .find(|line| line.starts_with("cmdstat_evalsha:"));
    let mut fields = line.expect("calls by name").split([':', ',']);
    let us = fields.find_map(|field| field.strip_prefix("usec_per_call="));
    us.expect("its time").parse().unwrap()
}

/// What it costs to ask the server who it is in every call: printed, least of several rounds with
/// and without, in turns.
#[tokio::test]
#[ignore = "nightly: measures, which needs a quiet machine"]
async fn the_look_at_the_servers_life_costs_little_of_a_call() {
    const ROUNDS: usize = 7;
    const MORE_MOST_US: f64 = 30.0;
    let Some(server) = RedisServer::start().await else {
        return;
    };
    let without = "script ~= SCRIPT";
    let without = broken(SCRIPT, "script ~= SCRIPT or is_elsewhere(lives)", without);
    let mut sale = 0;
    for batch in [1, 16, 256] {
        let mut least_us = [f64::MAX; 2];
        for _ in 0..ROUNDS {
            for (script, least_us) in [SCRIPT, &without].into_iter().zip(&mut least_us) {
                sale += 1;
                *least_us = us_per_call(&server, script, sale, batch)
                    .await
                    .min(*least_us);
            }
        }
        let [with, without] = least_us;
        let more = with - without;
        eprintln!(
            "batches of {batch}: {with:.1} µs per call, {without:.1} without the look, {more:.1} more, \
             {:.2} per order",
            more / batch as f64
        );
        assert!(more < MORE_MOST_US, "{more} µs");
    }
}
