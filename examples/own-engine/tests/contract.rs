//! The whole contract, on a private Redis: the one call that every engine has to pass.

#[path = "../../../engines/tests/support/redis_server.rs"]
#[allow(dead_code)]
mod redis_server;

use engines::conformance::{self, Harness, Subject};
use engines::{EngineEnv, Registry, Result, StockEngine};
use redis_server::RedisServer;
use std::sync::Arc;

struct OnRedis(RedisServer);

#[async_trait::async_trait]
impl Subject for OnRedis {
    async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
        let registry = Registry::standard().register(own_engine::FACTORY);
        let env = EngineEnv { redis_url: Some(self.0.url()), ..EngineEnv::default() };
        registry.build(&"redis-watch".parse()?, &env).await
    }
}

#[tokio::test]
async fn redis_watch_keeps_the_contract() {
    let Some(server) = RedisServer::start() else { return };
    let passed = conformance::run_all(&Harness::new(OnRedis(server))).await.unwrap_or_else(|broken| panic!("{broken}"));
    assert!(passed > 30, "only {passed} checks applied");
}
