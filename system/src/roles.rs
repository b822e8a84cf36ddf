//! The roles of the system. Each is `run(config, …, shutdown)`; none imports another.

pub mod all;
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

/// Runs an async role on a runtime of one thread, which is also the cheapest flavour for a service
/// that batches.
pub fn block_on(role: impl AsyncFnOnce(Shutdown) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot listen for signals")?;
        role(shutdown).await
    })
}

/// Builds the configured engine for the current runtime.
pub async fn build_engine(
    config: &Config,
    registry: &Registry,
) -> anyhow::Result<Arc<dyn StockEngine>> {
    let environment = EngineEnv {
        redis_url: Some(config.redis.url.clone()),
        key_prefix: config.redis.prefix.clone(),
        database_url: Some(config.database.url.clone()),
    };
    let spec = &config.seckill.engine;
    registry
        .build(spec, &environment)
        .await
        .with_context(|| format!("engine {spec}"))
}

/// Called once, when a role is ready, with the address that it serves on.
pub type Ready = Box<dyn FnOnce(Option<SocketAddr>) -> anyhow::Result<()> + Send>;

/// Tells whoever started this process, on stdout, that it is ready and where.
pub fn announce(role: &'static str) -> Ready {
    #[derive(Serialize)]
    struct Line {
        ready: bool,
        role: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        listen: Option<SocketAddr>,
    }
    Box::new(move |listen| {
        let line = serde_json::to_string(&Line {
            ready: true,
            role,
            listen,
        })?;
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{line}")
            .and_then(|()| stdout.flush())
            .context("cannot write the ready line")
    })
}

/// Whether the configured engine keeps its state in the memory of the publishing process.
pub fn keeps_state_in_process(config: &Config, registry: &Registry) -> anyhow::Result<bool> {
    Ok(registry
        .check(&config.seckill.engine)?
        .guarantees
        .needs_user_affinity)
}
