//! The roles of the system. Each is `run(config, …, shutdown)`; none imports another.

pub mod create_consumer;
pub mod engines;
pub mod migrate;
pub mod reconciler;
pub mod seckill;

use crate::config::Config;
use crate::shutdown::Shutdown;
use ::engines::{EngineEnv, Registry, StockEngine};
use anyhow::Context;
use serde::Serialize;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

/// Runs an async role on a runtime of one thread, which is also the cheapest flavour for a service that batches.
pub fn block_on(role: impl AsyncFnOnce(Shutdown) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot listen for signals")?;
        role(shutdown).await
    })
}

/// Builds the configured engine for the current runtime.
pub async fn build_engine(config: &Config, registry: &Registry) -> anyhow::Result<Arc<dyn StockEngine>> {
    let environment = EngineEnv {
        redis_url: Some(config.redis.url.clone()),
        key_prefix: config.redis.prefix.clone(),
        database_url: Some(config.database.url.clone()),
    };
    let spec = &config.seckill.engine;
    registry.build(spec, &environment).await.with_context(|| format!("engine {spec}"))
}

/// Tells whoever started this process, on stdout, that it is ready and where.
pub fn announce_ready(role: &str, listen: Option<SocketAddr>) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Ready<'a> {
        ready: bool,
        role: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        listen: Option<SocketAddr>,
    }
    let line = serde_json::to_string(&Ready { ready: true, role, listen })?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).context("cannot write the ready line")
}
