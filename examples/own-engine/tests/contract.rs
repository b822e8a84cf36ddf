//! The whole contract on a private Redis, and every way to lose that Redis: the one call every
//! engine has to pass.

use engines::conformance::{self, Harness, Subject};
use engines::{EngineEnv, Registry, Result, StockEngine};
use servers::{LOSSES, RedisServer};
use std::sync::Arc;

/// Checks of the contract that `redis-watch` is held to: all but those of engines that deal their
/// buyers.
const CHECKS: usize = 49;

struct OnRedis(RedisServer);

#[async_trait::async_trait]
impl Subject for OnRedis {
    async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
        let env = EngineEnv::default().with("redis.url", self.0.url());
        Registry::standard()
            .register(own_engine::FACTORY)
            .build(&"redis-watch".parse()?, &env)
            .await
    }

    fn losses(&self) -> Vec<String> {
        // It has no scripts, so a server without them has lost nothing.
        LOSSES
            .iter()
            .filter(|how| **how != "scripts flushed")
            .map(|how| (*how).to_owned())
            .collect()
    }

    async fn lose(&self, how: &str) -> std::result::Result<(), String> {
        let lost = self.0.lose(how).await;
        lost.map_err(|error| error.to_string())
    }

    async fn let_forget(&self, may_forget: bool) -> std::result::Result<bool, String> {
        let done = self.0.let_forget(may_forget).await;
        done.map(|()| true).map_err(|error| error.to_string())
    }
}

#[tokio::test]
async fn redis_watch_keeps_the_contract() {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    match conformance::run_all(&Harness::new(OnRedis(server))).await {
        Ok(passed) => assert_eq!(passed, CHECKS),
        Err(failure) => panic!("{failure}"),
    }
}
