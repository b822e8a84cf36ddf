//! The conformance suite catches every broken copy of an engine, and finds nothing in a copy in
//! which nothing was replaced. Each test prints which check caught it.

use engines::conformance::{self, CheckResult, Harness, Subject};
use engines::{EngineEnv, EngineFactory, Registry, Result, StockEngine};
use std::sync::Arc;

include!(concat!(env!("OUT_DIR"), "/tests.rs"));

async fn build(factory: &EngineFactory, spec: &str, url: &str) -> Result<Arc<dyn StockEngine>> {
    let registry = Registry::default().register(factory.clone());
    let env = EngineEnv::default().with("database.url", url);
    registry.build(&spec.parse()?, &env).await
}

/// Most faults show whenever the check runs; some need two calls to meet, which may not happen in one
/// run on a busy machine.
const RUNS_MAX: usize = 5;

/// Fails unless the check that is meant for it notices the fault.
async fn must_be_caught(subject: impl Subject + 'static, check: &str, what: &str) {
    let harness = Harness::new(subject);
    let seed = harness.seed_line();
    let mut seen = Vec::new();
    for _ in 0..RUNS_MAX {
        match conformance::run_named(&harness, check).await.unwrap() {
            CheckResult::Failed(how) => {
                let how = how.lines().next().unwrap_or_default();
                eprintln!("it {what}: caught by {check} ({how})");
                return;
            }
            other => seen.push(other),
        }
    }
    panic!("it {what}: not caught by {check}, but {seen:?}; {seed}");
}

async fn must_keep_the_contract(subject: impl Subject + 'static) {
    let failure = conformance::run_all(&Harness::new(subject)).await.err();
    assert_eq!(failure, None);
}

/// Copies of `database-row`.
mod database_row {
    use super::*;
    use engines::testing::{TestDatabase, let_database_forget};
    use servers::DatabaseServer;

    struct Copy {
        factory: EngineFactory,
        url: String,
    }

    #[async_trait::async_trait]
    impl Subject for Copy {
        async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
            build(&self.factory, "database-row", &self.url).await
        }

        async fn let_forget(&self, may_forget: bool) -> std::result::Result<bool, String> {
            let_database_forget(&self.url, may_forget).await
        }
    }

    impl Copy {
        async fn at(factory: EngineFactory, url: &str) -> Self {
            factory.create_tables(url).await.unwrap();
            let url = url.to_owned();
            Self { factory, url }
        }
    }

    pub async fn is_caught(factory: EngineFactory, check: &str, what: &str) {
        let database = TestDatabase::sqlite().await;
        must_be_caught(Copy::at(factory, &database.url).await, check, what).await;
    }

    /// On SQLite the transaction is the lock, which cannot be left out.
    pub async fn is_caught_on_mysql(factory: EngineFactory, check: &str, what: &str) {
        let Some(server) = DatabaseServer::start().await else {
            return;
        };
        let url = server.create_database().await;
        must_be_caught(Copy::at(factory, &url).await, check, what).await;
    }

    pub async fn is_not_caught(factory: EngineFactory) {
        let database = TestDatabase::sqlite().await;
        must_keep_the_contract(Copy::at(factory, &database.url).await).await;
    }
}

/// Copies of `preallocated`.
mod preallocated {
    use super::*;
    use engines::testing::{SystemAround, TestDatabase, let_database_forget};

    struct Copy {
        factory: EngineFactory,
        system: SystemAround,
    }

    #[async_trait::async_trait]
    impl Subject for Copy {
        async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
            let (spec, url) = (
                "preallocated?block=7&partitions=8",
                &self.system.database.url,
            );
            Ok(self.system.around(build(&self.factory, spec, url).await?))
        }

        async fn let_forget(&self, may_forget: bool) -> std::result::Result<bool, String> {
            let_database_forget(&self.system.database.url, may_forget).await
        }
    }

    async fn copy(factory: EngineFactory) -> Copy {
        let system = SystemAround::new(TestDatabase::sqlite().await);
        Copy { factory, system }
    }

    pub async fn is_caught(factory: EngineFactory, check: &str, what: &str) {
        must_be_caught(copy(factory).await, check, what).await;
    }

    pub async fn is_not_caught(factory: EngineFactory) {
        must_keep_the_contract(copy(factory).await).await;
    }
}

/// Copies of `sharded-slots`, whose scripts have broken copies of their own.
mod sharded_slots {
    use super::*;
    use servers::{LOSSES, RedisServer};

    struct Copy {
        factory: EngineFactory,
        server: RedisServer,
    }

    #[async_trait::async_trait]
    impl Subject for Copy {
        async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
            let registry = Registry::default().register(self.factory.clone());
            let env = EngineEnv::default().with("redis.url", self.server.url());
            registry
                .build(&"sharded-slots?slots=3".parse()?, &env)
                .await
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

    /// `None` where there is no server.
    async fn copy(factory: EngineFactory) -> Option<Copy> {
        let server = RedisServer::start().await?;
        Some(Copy { factory, server })
    }

    pub async fn is_caught(factory: EngineFactory, check: &str, what: &str) {
        if let Some(copy) = copy(factory).await {
            must_be_caught(copy, check, what).await;
        }
    }

    pub async fn is_not_caught(factory: EngineFactory) {
        if let Some(copy) = copy(factory).await {
            must_keep_the_contract(copy).await;
        }
    }
}
