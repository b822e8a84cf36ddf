//! `sharded-slots` on its real servers: the whole contract, nothing stranded, and what a moving or
//! dying node does.

mod buyers;
mod lives;

use buyers::{ask, engine, four_clients, home, open, request, rush, sells_the_rest, term};
use engines::conformance::{self, Harness, Subject};
use engines::{EngineError, OpeningBuyer, Result, StockEngine, Verdict};
use servers::{LOSSES, RedisCluster, RedisServer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

struct OnRedis {
    engine: &'static str,
    server: RedisServer,
}

#[async_trait::async_trait]
impl Subject for OnRedis {
    async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
        let url = self.server.url();
        engine(self.engine, url).await
    }

    fn losses(&self) -> Vec<String> {
        LOSSES.iter().map(|how| (*how).to_owned()).collect()
    }

    async fn lose(&self, how: &str) -> std::result::Result<(), String> {
        let lost = self.server.lose(how).await;
        lost.map_err(|error| error.to_string())
    }

    async fn let_forget(&self, may_forget: bool) -> std::result::Result<bool, String> {
        let done = self.server.let_forget(may_forget).await;
        done.map(|()| true).map_err(|error| error.to_string())
    }
}

async fn keeps_the_contract(subject: impl Subject + 'static) {
    match conformance::run_all(&Harness::new(subject)).await {
        Ok(passed) => eprintln!("{passed} checks passed"),
        Err(failure) => panic!("{failure}"),
    }
}

async fn on_redis(engine: &'static str) {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    keeps_the_contract(OnRedis { engine, server }).await;
}

#[tokio::test]
async fn sixteen_slots_keep_the_contract() {
    on_redis("sharded-slots?slots=16").await;
}

#[tokio::test]
async fn three_slots_keep_the_contract() {
    on_redis("sharded-slots?slots=3").await;
}

#[tokio::test]
async fn one_slot_keeps_the_contract() {
    on_redis("sharded-slots?slots=1").await;
}

struct OnCluster(RedisCluster);

#[async_trait::async_trait]
impl Subject for OnCluster {
    async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
        let url = self.0.url();
        engine("sharded-slots?slots=16", url).await
    }

    fn losses(&self) -> Vec<String> {
        LOSSES.iter().map(|how| (*how).to_owned()).collect()
    }

    async fn lose(&self, how: &str) -> std::result::Result<(), String> {
        let lost = self.0.lose(how).await;
        lost.map_err(|error| error.to_string())
    }

    async fn let_forget(&self, may_forget: bool) -> std::result::Result<bool, String> {
        let policy = if may_forget {
            "allkeys-lru"
        } else {
            "noeviction"
        };
        for node in 0..RedisCluster::NODES {
            let set = ["CONFIG", "SET", "maxmemory-policy", policy];
            let done = self.0.run(node, &set).await;
            done.map_err(|error| error.to_string())?;
        }
        Ok(true)
    }
}

#[tokio::test]
async fn a_cluster_of_three_nodes_keeps_the_contract() {
    let Some(cluster) = RedisCluster::start().await else {
        return;
    };
    keeps_the_contract(OnCluster(cluster)).await;
}
#[tokio::test]
async fn demand_above_stock_sells_every_unit_once_also_with_one_very_popular_slot() {
    const GRANTED: u64 = 3_001;
    let Some(server) = RedisServer::start().await else {
        return;
    };
    let seed = rand::random();
    eprintln!("seed {seed}");
    let engines = four_clients(&server.url()).await;
    open(&*engines[0], 1, GRANTED, Vec::new()).await;
    let ledger = rush(&engines, seed, 40, Arc::default()).await;
    let left = engines[1].stock(&term(1)).await.unwrap().remaining as u64;
    assert!(
        ledger.least_refused.load(Ordering::Relaxed) <= 5,
        "the stock was never sold out"
    );
    eprintln!("{left} units came back at the end");
    sells_the_rest(&*engines[2], &term(1), &ledger, GRANTED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_count_stays_exact_while_slots_move_and_after_a_node_was_killed() {
    const GRANTED: u64 = 6_000;
    const MOVES: usize = 6;
    let Some(cluster) = RedisCluster::start().await else {
        return;
    };
    let seed = rand::random();
    eprintln!("seed {seed}");
    let engines = four_clients(&cluster.url()).await;
    open(&*engines[0], 1, GRANTED, Vec::new()).await;
    let hash_slot = cluster
        .hash_slot("{test:sale:1:slot:3}:meta")
        .await
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let rushing = {
        let (engines, stop) = (engines.clone(), stop.clone());
        tokio::spawn(async move { rush(&engines, seed, usize::MAX, stop).await })
    };
    for _ in 0..MOVES {
        let target = (cluster.owner(hash_slot).await.unwrap() + 1) % RedisCluster::NODES;
        // Longer than a call takes, so that calls meet every state in between.
        let pause = async || tokio::time::sleep(Duration::from_millis(20)).await;
        cluster.move_slot(hash_slot, target, pause).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let ledger = rushing.await.unwrap();
    let view = engines[1].stock(&term(1)).await.unwrap();
    eprintln!(
        "{} units sold while a slot moved {MOVES} times, {} left",
        ledger.units(),
        view.remaining
    );
    assert!(view.is_open, "a term stays open while its slots move");
    assert_eq!(view.remaining as u64 + ledger.units(), GRANTED);

    // The node that serves the busiest slot dies and comes back with its AOF: its part of the term
    // is over for good.
    let owner = cluster.owner(hash_slot).await.unwrap();
    cluster.kill_and_restart(owner).await.unwrap();
    let lost_user = (1..)
        .map(|user| -user)
        .find(|user| home(*user, 16) == 3)
        .unwrap();
    let other_users = (1..).map(|user| -user).filter(|user| home(*user, 16) != 3);
    for engine in &engines {
        assert_eq!(
            ask(&**engine, &term(1), request(lost_user, 1)).await,
            Verdict::NotOpen
        );
        // Whoever noticed it has shut the slots of the other nodes too.
        for user in other_users.clone().take(20) {
            assert_eq!(
                ask(&**engine, &term(1), request(user, 1)).await,
                Verdict::NotOpen
            );
        }
        assert!(!engine.stock(&term(1)).await.unwrap().is_open);
    }
    // Epoch 2 gets what the database would say: the live orders, and the units that they leave.
    let live = ledger.live.lock().unwrap().clone();
    let buyers = live
        .values()
        .map(|b| OpeningBuyer {
            user: b.user,
            order: b.order,
            quantity: b.quantity,
        })
        .collect();
    open(&*engines[3], 2, GRANTED - ledger.units(), buyers).await;
    for bought in live.values().take(50) {
        assert_eq!(ask(&*engines[0], &term(1), *bought).await, Verdict::NotOpen);
        let again = engines[0]
            .reserve(&term(2), &[*bought])
            .await
            .remove(0)
            .unwrap();
        assert!(
            matches!(again, Verdict::Duplicate(hold) if hold.settled && hold.order == bought.order),
            "{again:?}"
        );
    }
    sells_the_rest(&*engines[1], &term(2), &ledger, GRANTED).await;
}

#[tokio::test]
async fn slots_outside_the_range_are_refused_with_the_range() {
    for slots in ["0", "1025", "many"] {
        let refused = engine(
            &format!("sharded-slots?slots={slots}"),
            "redis://127.0.0.1:1/".to_owned(),
        )
        .await;
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.contains("slots") && refused.contains("from 1 to 1024"),
            "{refused}"
        );
    }
    let refused = engine("sharded-slots", "redis-cluster://nowhere".to_owned())
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("host:port"), "{refused}");
}

async fn check(
    engine: &Arc<dyn StockEngine>,
    allow_volatile: bool,
) -> Result<Vec<(String, String)>> {
    engine.check_server(allow_volatile).await
}

#[tokio::test]
async fn a_server_that_can_forget_is_refused_unless_allowed() {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    let engine = engine("sharded-slots", server.url()).await.unwrap();
    let settings = check(&engine, false).await.unwrap();
    assert!(
        settings.contains(&("redis.appendfsync".to_owned(), "everysec".to_owned())),
        "{settings:?}"
    );
    for (setting, reason) in [
        ("maxmemory-policy allkeys-lru", "allkeys-lru"),
        ("appendonly no", "appendonly = no"),
    ] {
        server
            .command(&format!("CONFIG SET {setting}"))
            .await
            .unwrap();
        let refused = check(&engine, false).await.unwrap_err().to_string();
        assert!(
            refused.contains("node 127.0.0.1:") && refused.contains(reason),
            "{refused}"
        );
        server
            .command("CONFIG SET maxmemory-policy noeviction")
            .await
            .unwrap();
    }
    assert!(check(&engine, true).await.is_ok());
}

#[tokio::test]
async fn a_cluster_is_refused_for_one_bad_node_and_for_a_slot_that_nobody_serves() {
    let Some(cluster) = RedisCluster::start().await else {
        return;
    };
    let engine = engine("sharded-slots", cluster.url()).await.unwrap();
    let settings = check(&engine, false).await.unwrap();
    assert!(
        settings.contains(&("redis.nodes".to_owned(), "3".to_owned())),
        "{settings:?}"
    );
    cluster
        .run(1, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"])
        .await
        .unwrap();
    let refused = check(&engine, false).await.unwrap_err().to_string();
    assert!(
        refused.contains(&format!("node {}: ", cluster.address(1)))
            && refused.contains("allkeys-lru"),
        "{refused}"
    );
    cluster
        .run(1, &["CONFIG", "SET", "maxmemory-policy", "noeviction"])
        .await
        .unwrap();
    cluster
        .run(
            cluster.owner(0).await.unwrap(),
            &["CLUSTER", "DELSLOTS", "0"],
        )
        .await
        .unwrap();
    for allow_volatile in [false, true] {
        let refused = check(&engine, allow_volatile).await.unwrap_err();
        assert!(
            matches!(&refused, EngineError::Config(why) if why.contains("16383 of the cluster's 16384")),
            "{refused}"
        );
    }
}
