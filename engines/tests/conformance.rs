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

    async fn let_forget(&self, may_forget: bool) -> std::result::Result<bool, String> {
        let done = self.server.let_forget(may_forget).await;
        done.map(|()| true).map_err(|error| error.to_string())
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
    let row = Guarantees {
        survives_process_kill: true,
        ..keeps_stock
    };
    let expected = [
        ("null", Guarantees::default()),
        ("database-row", row),
        ("optimistic-row", row),
        ("unsafe-counter", row),
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

/// The bullets of the trait's documentation, as `method: text`, and those of the conventions that
/// hold for every method.
fn documented_bullets() -> Vec<String> {
    let sources = [
        include_str!("../src/contract/engine.rs"),
        include_str!("../src/contract/upkeep.rs"),
    ];
    let (mut bullets, mut pending) = (Vec::new(), Vec::<String>::new());
    for line in sources.iter().flat_map(|source| source.lines()) {
        let line = line.trim();
        if let Some(bullet) = line.strip_prefix("//! - ") {
            bullets.push(format!("conventions: {bullet}"));
        } else if let Some(bullet) = line.strip_prefix("/// - ") {
            pending.push(bullet.to_owned());
        } else if let Some(method) = line.strip_prefix("async fn ").or(line.strip_prefix("fn ")) {
            let method = method.split('(').next().unwrap_or_default();
            bullets.extend(
                pending
                    .drain(..)
                    .map(|bullet| format!("{method}: {bullet}")),
            );
        }
    }
    bullets
}

#[test]
fn every_check_has_a_name_of_its_own_and_every_bullet_a_check() {
    let checks = conformance::checks();
    let names: std::collections::HashSet<_> = checks.iter().map(|check| check.name).collect();
    assert_eq!(names.len(), checks.len());
    let documented = documented_bullets();
    assert!(documented.len() > 30, "only {documented:?}");
    for check in &checks {
        for bullet in check.bullets {
            let meant = documented.iter().filter(|text| text.starts_with(bullet));
            assert_eq!(meant.count(), 1, "{}: bullets like {bullet:?}", check.name);
        }
    }
    // The conventions bind callers, too, and what binds only them has no check.
    let unproven = documented.iter().filter(|text| {
        let is_proven = |bullet: &&&str| text.starts_with(**bullet);
        let proof = checks
            .iter()
            .flat_map(|check| check.bullets)
            .find(is_proven);
        proof.is_none() && !text.starts_with("conventions: ")
    });
    assert_eq!(unproven.collect::<Vec<_>>(), Vec::<&String>::new());
}
