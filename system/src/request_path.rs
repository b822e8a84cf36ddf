//! The request path of one serving thread without sockets: everything above HTTP/2, from the body
//! of a request to that of its reply. Instructions are counted on it.
//!
//! What works around the path (the lease, the polling of sales) has a runtime of its own and is at
//! rest while requests are answered, so that nothing else runs then.

use crate::admin::Admin;
use crate::broker::{self, Settings};
use crate::config::Config;
use crate::incarnation::{Incarnation, Keeper};
use crate::listener::Connections;
use crate::roles;
use crate::roles::seckill::past_sales::PastSales;
use crate::roles::seckill::serving;
use crate::roles::seckill::shared::Shared;
use crate::shutdown::Shutdown;
use crate::store::{Publisher, Store};
use crate::supervisor::Supervisor;
use crate::terms::Terms;
use anyhow::Context;
use engines::{Registry, StockEngine, Tending};
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tonic::service::Routes;

/// A serving thread's path for the sales of a database that is a file. Fields in the order in which
/// they must end.
#[derive(Debug)]
pub struct RequestPath {
    routes: Routes,
    serving: Runtime,
    _around: Runtime,
    _keeper: Keeper,
    _stop: watch::Sender<bool>,
}

impl RequestPath {
    /// Registers with the database, has a reconciler open every sale, and takes what the engine
    /// leases. `config` has an engine that needs no server, a migrated `sqlite:` database, and a
    /// lease that outlives the use of this.
    pub fn start(config: &Config, registry: &Registry) -> anyhow::Result<Self> {
        let (around, serving) = (roles::runtime()?, roles::runtime()?);
        let (stop, shutdown) = Shutdown::channel();
        let (shared, engine, keeper) = around.block_on(prepare(config, registry, &shutdown))?;
        let (settings, ack) = (Settings::new(config), config.seckill.ack);
        let watched = (&shared.supervisor, &shutdown);
        let publishing = broker::publisher(&settings, ack, "request-path", watched);
        let publisher = around.block_on(publishing)?;
        let routes = {
            let _current = serving.enter();
            serving::routes(&shared, engine, publisher)?
        };
        Ok(Self {
            routes,
            serving,
            _around: around,
            _keeper: keeper,
            _stop: stop,
        })
    }

    /// What answers one request after the other; cheap to clone.
    pub fn routes(&self) -> Routes {
        self.routes.clone()
    }

    /// Runs `work` on the serving thread's runtime, which is this thread.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.serving.block_on(work)
    }
}

async fn prepare(
    config: &Config,
    registry: &Registry,
    shutdown: &Shutdown,
) -> anyhow::Result<(Arc<Shared>, Arc<dyn StockEngine>, Keeper)> {
    let engine = roles::build_engine(config, registry).await?;
    let store = Store::connect(&config.database, roles::engine(config, registry)?).await?;
    let terms = Terms::start(store.clone(), Default::default(), shutdown.clone()).await?;
    let publisher = Publisher {
        lease_ms: config.incarnation.lease_ms,
        deadline_ms: config.seckill.publish_timeout_ms,
        address: String::new(),
        label: config.incarnation.label.clone(),
    };
    let (incarnation, keeper) = Incarnation::start(
        store.clone(),
        Settings::new(config),
        config.incarnation.clone(),
        terms.clone(),
        publisher,
    )
    .await?;
    roles::reconciler::once(config, registry, shutdown.clone()).await?;
    terms.refresh().await?;
    let identity = incarnation.current().context("the lease has run out")?;
    for row in terms.sales().values() {
        let open = row.open.context("a sale is not open")?;
        let tending = Tending {
            term: open.term,
            publisher: Some(identity.id),
        };
        engine.tend(&tending).await?;
    }
    let shared = Shared {
        config: config.clone(),
        registry: registry.clone(),
        admin: Admin::default(),
        engine: None,
        published: None,
        lanes_in_doubt: Arc::default(),
        pressure: Arc::default(),
        terms,
        past_sales: PastSales::start(store, &config.seckill),
        incarnation,
        connections: Connections::at_most(1),
        shutdown: shutdown.clone(),
        ready: watch::channel(true).1,
        none_dead: watch::channel(true).1,
        supervisor: Supervisor::new().0,
    };
    Ok((Arc::new(shared), engine, keeper))
}
