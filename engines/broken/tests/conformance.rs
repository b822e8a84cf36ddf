//! The conformance suite catches every broken copy of an engine, and finds nothing in a copy in
//! which nothing was replaced. Each test prints which check caught it.

use engines::conformance::{self, Harness, Subject};
use engines::{EngineEnv, EngineFactory, Registry, Result, StockEngine};
use std::sync::Arc;

include!(concat!(env!("OUT_DIR"), "/tests.rs"));

async fn build(factory: &EngineFactory, spec: &str, url: &str) -> Result<Arc<dyn StockEngine>> {
    let registry = Registry::default().register(factory.clone());
    let env = EngineEnv::default().with("database.url", url);
    registry.build(&spec.parse()?, &env).await
}

/// The check that finds something, and what.
async fn first_failure(subject: impl Subject + 'static) -> Option<(&'static str, String)> {
    let harness = Harness::new(subject);
    let caught = conformance::first_failure(&harness).await.unwrap();
    caught.map(|(check, how)| (check.name, format!("{how}; {}", harness.seed_line())))
}

fn must_be_caught(what: &str, caught: Option<(&'static str, String)>) {
    let (check, how) = caught.unwrap_or_else(|| panic!("not caught: it {what}"));
    let how = how.lines().next().unwrap_or_default();
    eprintln!("it {what}: caught by {check} ({how})");
}

/// Copies of `database-row`.
mod database_row {
    use super::*;
    use engines::testing::TestDatabase;
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
    }

    async fn failure_at(factory: EngineFactory, url: &str) -> Option<(&'static str, String)> {
        factory.create_tables(url).await.unwrap();
        let url = url.to_owned();
        first_failure(Copy { factory, url }).await
    }

    pub async fn is_caught(factory: EngineFactory, what: &str) {
        let database = TestDatabase::sqlite().await;
        must_be_caught(what, failure_at(factory, &database.url).await);
    }

    /// On SQLite the transaction is the lock, which cannot be left out.
    pub async fn is_caught_on_mysql(factory: EngineFactory, what: &str) {
        let Some(server) = DatabaseServer::start().await else {
            return;
        };
        let url = server.create_database().await;
        must_be_caught(what, failure_at(factory, &url).await);
    }

    pub async fn is_not_caught(factory: EngineFactory, _what: &str) {
        let database = TestDatabase::sqlite().await;
        assert_eq!(failure_at(factory, &database.url).await, None);
    }
}

/// Copies of `preallocated`.
mod preallocated {
    use super::*;
    use engines::testing::{SystemAround, TestDatabase};

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
    }

    async fn failure(factory: EngineFactory) -> Option<(&'static str, String)> {
        let system = SystemAround::new(TestDatabase::sqlite().await);
        first_failure(Copy { factory, system }).await
    }

    pub async fn is_caught(factory: EngineFactory, what: &str) {
        must_be_caught(what, failure(factory).await);
    }

    pub async fn is_not_caught(factory: EngineFactory, _what: &str) {
        assert_eq!(failure(factory).await, None);
    }
}
