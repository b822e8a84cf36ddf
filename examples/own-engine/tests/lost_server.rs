//! A Redis that is not what it was when a sale was opened, although all its keys are there:
//! lost-server-noticed (R13).

use engines::testing::old_server;
use engines::{
    EngineEnv, Epoch, IncarnationId, Nonce, Opened, Opening, OrderId, Registry, Reserve, SaleId,
    StockEngine, Term, UserId, Verdict,
};
use servers::RedisServer;
use std::sync::Arc;

fn term(epoch: u32) -> Term {
    Term {
        sale: SaleId(1),
        epoch: Epoch(epoch),
        nonce: Nonce(u64::from(epoch) * 11),
    }
}

async fn engine(server: &RedisServer) -> Arc<dyn StockEngine> {
    engine_at(server.url()).await
}

async fn engine_at(url: String) -> Arc<dyn StockEngine> {
    let env = EngineEnv::default().with("redis.url", url);
    let registry = Registry::standard().register(own_engine::FACTORY);
    let spec = "redis-watch".parse().unwrap();
    registry.build(&spec, &env).await.unwrap()
}

async fn open(engine: &dyn StockEngine, epoch: u32) {
    let opening = Opening {
        term: term(epoch),
        granted: 10,
        buyers: Vec::new(),
        publishers: Vec::new(),
    };
    assert_eq!(engine.open(&opening).await.unwrap(), Opened::Opened);
}

async fn buy(engine: &dyn StockEngine, epoch: u32, user: i64) -> Verdict {
    let request = Reserve {
        user: UserId(user),
        order: OrderId(user),
        quantity: 5,
        expires_at_ms: i64::MAX,
        incarnation: IncarnationId(1),
        may_sell: true,
    };
    let verdicts = engine.reserve(&term(epoch), &[request]).await;
    verdicts.into_iter().next().unwrap().unwrap()
}

#[tokio::test]
async fn a_primary_that_was_demoted_and_promoted_again_has_lost_its_sales() {
    let (Some(first), Some(second)) = (RedisServer::start().await, RedisServer::start().await)
    else {
        return;
    };
    second.follow(&first).await.unwrap();
    let engine = engine(&first).await;
    open(&*engine, 1).await;
    assert_eq!(buy(&*engine, 1, 1).await, Verdict::GRANTED);
    second.catch_up(&first).await.unwrap();
    // The second takes over without what the first sells from now on.
    second.lead().await.unwrap();
    assert_eq!(buy(&*engine, 1, 2).await, Verdict::GRANTED);
    first.follow(&second).await.unwrap();
    first.lead().await.unwrap();
    assert_eq!(buy(&*engine, 1, 3).await, Verdict::NotOpen);
    assert!(!engine.stock(&term(1)).await.unwrap().is_open);
    open(&*engine, 2).await;
    assert_eq!(buy(&*engine, 2, 3).await, Verdict::GRANTED);
    assert_eq!(buy(&*engine, 1, 4).await, Verdict::NotOpen);
}

#[tokio::test]
async fn a_promoted_replica_has_none_of_the_sales_of_its_primary() {
    let (Some(old), Some(new)) = (RedisServer::start().await, RedisServer::start().await) else {
        return;
    };
    new.follow(&old).await.unwrap();
    open(&*engine(&old).await, 1).await;
    new.catch_up(&old).await.unwrap();
    new.lead().await.unwrap();
    let engine = engine(&new).await;
    assert_eq!(buy(&*engine, 1, 1).await, Verdict::NotOpen);
    open(&*engine, 2).await;
    assert_eq!(buy(&*engine, 2, 1).await, Verdict::GRANTED);
}

#[tokio::test]
async fn a_redis_before_7_is_refused_before_anything_is_opened() {
    old_server::is_refused(engine_at).await;
}
