//! Broken copies of an engine's script, each of which the conformance suite must catch.

use crate::conformance::{self, CheckResult, Harness, Subject};
use crate::{Result, StockEngine};
use futures_util::future::BoxFuture;
use servers::RedisServer;
use std::sync::Arc;

/// What is broken, the check that must notice it, the text of the script, and what it becomes.
pub(crate) type Broken = (&'static str, &'static str, &'static str, &'static str);

/// An engine on the Redis at a URL, with this script instead of its own.
pub(crate) type Connect = fn(String, String) -> BoxFuture<'static, Result<Arc<dyn StockEngine>>>;

struct WithScript {
    server: RedisServer,
    script: String,
    connect: Connect,
}

#[async_trait::async_trait]
impl Subject for WithScript {
    async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
        (self.connect)(self.server.url(), self.script.clone()).await
    }

    async fn let_forget(&self, may_forget: bool) -> std::result::Result<bool, String> {
        let done = self.server.let_forget(may_forget).await;
        done.map(|()| true).map_err(|error| error.to_string())
    }
}

/// `script` with the text `healthy`, which it has exactly once, replaced.
pub(crate) fn broken(script: &str, healthy: &str, becomes: &str) -> String {
    assert_eq!(
        script.matches(healthy).count(),
        1,
        "the script does not have {healthy:?} exactly once"
    );
    script.replace(healthy, becomes)
}

/// Runs that a check has to catch a copy: what is broken between tasks shows in most runs and not in
/// each, and one proves it.
const RUNS: usize = 3;

/// Fails if the check that is meant for it does not catch one of `copies`.
pub(crate) async fn are_caught(script: &str, copies: &[Broken], connect: Connect) {
    for (what, check, healthy, becomes) in copies {
        let script = broken(script, healthy, becomes);
        let mut missed = Vec::new();
        while missed.len() < RUNS {
            let Some(server) = RedisServer::start().await else {
                return;
            };
            let script = script.clone();
            let harness = Harness::new(WithScript {
                server,
                script,
                connect,
            });
            match conformance::run_named(&harness, check).await.unwrap() {
                CheckResult::Failed(how) => {
                    let first_line = how.lines().next().unwrap_or_default();
                    eprintln!("{what}: caught by {check} ({first_line})");
                    break;
                }
                other => missed.push(format!("{other:?}, {}", harness.seed_line())),
            }
        }
        assert!(
            missed.len() < RUNS,
            "{what}: not caught by {check} in {RUNS} runs: {}",
            missed.join("; ")
        );
    }
}
