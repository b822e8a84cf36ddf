//! The roles of the system; none imports another.
//!
//! A role that serves or works until it is told to stop is
//! `run(config: RoleConfig, listener, shutdown: Shutdown)`: whoever starts it owns its socket and
//! its end. `listener` is what its starter has bound, a
//! [`Listener`](crate::listener::Listener) for each kind of client (with the role's own `bind`, which knows how many sockets it wants), and `()` for a role that
//! serves nobody, so that all of them can stand in one list, as in [`all`]. The role calls
//! [`RoleConfig::ready`] once, when it can be used, and returns when `shutdown` is requested and
//! everything that it had begun has come to its end. What does its work and ends by itself
//! (`migrate`, `dead_letter`, `reconciler::once`) takes only what it needs.

pub mod all;
pub mod auth;
pub mod cancel_consumer;
pub mod create_consumer;
pub mod dead_letter;
pub mod engines;
pub mod gateway;
pub mod migrate;
pub mod order;
pub mod probe;
pub mod product;
pub mod reconciler;
pub mod sale;
pub mod seckill;
pub mod settings;
pub mod status;
pub mod user;

use crate::admin::Admin;
use crate::config::Config;
use crate::shutdown::Shutdown;
use crate::terms::CommonSales;
use ::engines::{EngineFactory, Registry, StockEngine};
use anyhow::Context;
use serde::Serialize;
use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// What a role is started with.
pub struct RoleConfig {
    /// The configuration; a role reads the sections it needs.
    pub config: Config,
    /// The engines that can be built.
    pub registry: Registry,
    /// What the role tells operators. Whoever starts it serves them.
    pub admin: Admin,
    /// What the roles of a process that are on one database have in common of its sales; of a role
    /// alone its own.
    pub sales: CommonSales,
    /// Called once, when the role is ready.
    pub ready: Ready,
}

impl fmt::Debug for RoleConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoleConfig")
            .field("config", &self.config.masked(&self.registry))
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

/// Where a role serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// Its clients; of all roles together, the buyers.
    pub listen: SocketAddr,
    /// The order service, of all roles together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<SocketAddr>,
    /// The product service, of all roles together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<SocketAddr>,
    /// The auth service, of all roles together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<SocketAddr>,
    /// The user service, of all roles together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<SocketAddr>,
    /// The HTTP gateway, of all roles together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<SocketAddr>,
}

impl Addresses {
    /// Of a role that has clients and nobody else.
    pub fn of_clients(listen: SocketAddr) -> Self {
        Self {
            listen,
            order: None,
            product: None,
            auth: None,
            user: None,
            gateway: None,
        }
    }
}

/// Called with the addresses that a role serves on, if it serves.
pub type Ready = Box<dyn FnOnce(Option<Addresses>) -> anyhow::Result<()> + Send>;

/// Tells whoever started this process, on stdout, that it is ready, and where it serves its clients
/// and, at `admin`, operators.
pub fn announce(role: &'static str, admin: SocketAddr) -> Ready {
    #[derive(Serialize)]
    struct Line {
        ready: bool,
        role: &'static str,
        #[serde(flatten)]
        addresses: Option<Addresses>,
        admin: SocketAddr,
    }
    Box::new(move |addresses| {
        let line = serde_json::to_string(&Line {
            ready: true,
            role,
            addresses,
            admin,
        })?;
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{line}")
            .and_then(|()| stdout.flush())
            .context("cannot write the ready line")
    })
}

/// A runtime of one thread, which is also the cheapest flavour for a service that batches.
pub fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")
}

/// Runs what this process is for, on this thread, until SIGTERM or SIGINT.
pub fn block_on(role: impl AsyncFnOnce(Shutdown) -> anyhow::Result<()>) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot listen for signals")?;
        role(shutdown).await
    })
}

/// How the configured engine is built.
pub fn engine<'r>(config: &Config, registry: &'r Registry) -> anyhow::Result<&'r EngineFactory> {
    Ok(registry.get(config.seckill.engine.name())?)
}

/// Builds the configured engine for the current runtime.
pub async fn build_engine(
    config: &Config,
    registry: &Registry,
) -> anyhow::Result<Arc<dyn StockEngine>> {
    let spec = &config.seckill.engine;
    let env = config.engine_env(registry.get(spec.name())?)?;
    registry
        .build(spec, &env)
        .await
        .with_context(|| format!("engine {spec}"))
}

/// Builds the configured engine where holds can be settled and released from other processes than the
/// publishing one. `None`: what that keeps in its memory nobody else can reach.
pub async fn build_shared_engine(
    config: &Config,
    registry: &Registry,
) -> anyhow::Result<Option<Arc<dyn StockEngine>>> {
    let checked = registry.check(&config.seckill.engine)?;
    match checked.guarantees.settles_own_holds {
        true => Ok(None),
        false => build_engine(config, registry).await.map(Some),
    }
}
