//! Every engine of this crate, on its real server, against the whole contract.

use engines::conformance::{self, CheckResult, Harness, Subject};
use engines::{EngineEnv, Guarantees, Registry, Result, StockEngine};
use servers::{LOSSES, RedisServer};
use std::sync::Arc;

struct OnRedis {
    engine: &'static str,
    server: RedisServer,
}

#[async_trait::async_trait]
impl Subject for OnRedis {
    async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
        let redis_url = self.server.url();
        let env = EngineEnv {
            key_prefix: "conformance:".to_owned(),
            ..EngineEnv::default().with("redis.url", redis_url)
        };
        Registry::standard()
            .build(&self.engine.parse()?, &env)
            .await
    }

    fn losses(&self) -> Vec<String> {
        LOSSES.iter().map(|how| (*how).to_owned()).collect()
    }

    async fn lose(&self, how: &str) -> std::result::Result<(), String> {
        let lost = self.server.lose(how).await;
        lost.map_err(|error| error.to_string())
    }
}

#[tokio::test]
async fn lua_single_key_keeps_the_contract() {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    let harness = Harness::new(OnRedis {
        engine: "lua-single-key",
        server,
    });
    match conformance::run_all(&harness).await {
        Ok(passed) => eprintln!("{passed} checks passed"),
        Err(failure) => panic!("{failure}"),
    }
}

/// The promises pick the checks: an engine that promised less than here would be held to less.
#[test]
fn every_engine_promises_what_it_did() {
    let keeps_stock = Guarantees {
        keeps_stock: true,
        ..Guarantees::default()
    };
    let redis = Guarantees {
        survives_process_kill: true,
        survives_server_loss: true,
        ..keeps_stock
    };
    let expected = [
        ("null", Guarantees::default()),
        (
            "database-row",
            Guarantees {
                survives_process_kill: true,
                ..keeps_stock
            },
        ),
        ("lua-single-key", redis),
        ("sharded-slots", redis),
        (
            "preallocated",
            Guarantees {
                needs_user_affinity: true,
                needs_one_engine_per_process: true,
                settles_own_holds: true,
                ..keeps_stock
            },
        ),
    ];
    let registry = Registry::standard();
    let mut promised: Vec<_> = registry.list().iter().map(|engine| engine.name).collect();
    for (name, promises) in expected {
        assert_eq!(registry.get(name).unwrap().guarantees, promises, "{name}");
        promised.retain(|listed| *listed != name);
    }
    assert!(
        promised.is_empty(),
        "engines with no line here: {promised:?}"
    );
}

struct NoServer(&'static str);

#[async_trait::async_trait]
impl Subject for NoServer {
    async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
        Registry::standard()
            .build(&self.0.parse()?, &EngineEnv::default())
            .await
    }
}

#[tokio::test]
async fn null_answers_every_item_and_is_held_to_nothing_else() {
    let results = conformance::run_each(&Harness::new(NoServer("null")))
        .await
        .unwrap();
    for (check, result) in results {
        let expected = if check.name == "every_item_is_answered_in_order" {
            CheckResult::Passed
        } else {
            CheckResult::NotApplicable
        };
        assert_eq!(result, expected, "{}", check.name);
    }
}

#[test]
fn every_check_has_a_name_of_its_own_and_names_its_bullet() {
    let checks = conformance::checks();
    let names: std::collections::HashSet<_> = checks.iter().map(|check| check.name).collect();
    assert_eq!(names.len(), checks.len());
    assert!(
        checks
            .iter()
            .all(|check| check.bullet.contains(": ") || check.bullet.starts_with("every method"))
    );
}
