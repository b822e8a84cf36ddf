//! The product role: products and their sales, as everybody may read them, and as administrators make
//! and change them.
//!
//! What a product costs and when it is on sale changes with its row, of which publishers learn when
//! they next read it. How many units there are changes with the sale's next epoch, which the
//! reconciler opens: behind fence and drain, so that no unit is in two places (units-in-one-place,
//! R16).

mod cache;
mod input;
mod reading;
mod refusals;
mod service;
mod stock;

use crate::accounts::Access;
use crate::config::Config;
use crate::grpc_server::{self, MAX_REQUEST_BYTES};
use crate::listener::Listener;
use crate::proto::product::product_service_server::{ProductServiceServer, SERVICE_NAME};
use crate::roles::{self, Addresses, RoleConfig};
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::supervisor::Supervisor;
use cache::Cache;
use service::Service;
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::service::Routes;

/// Listens where the configuration says.
pub fn bind(config: &Config) -> anyhow::Result<Listener> {
    Listener::of_setting("product.listen", &config.product.listen, 1)
}

/// Serves on `listener` until asked to stop.
pub async fn run(
    RoleConfig {
        config,
        registry,
        admin,
        ready,
        ..
    }: RoleConfig,
    listener: Listener,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let addresses = Addresses::of_clients(listener.address());
    let store = Store::connect(&config.database, roles::engine(&config, &registry)?).await?;
    let (supervisor, mut ends) = Supervisor::new();
    let (stop, stopping) = Shutdown::channel();
    let (cache, looking) = Cache::start(&store, &config.product).await?;
    cache.observe(admin.metrics());
    // It looks until the last reader is answered.
    let mut tasks = JoinSet::new();
    let name = "the reading of products".to_owned();
    tasks.spawn(supervisor.clone().task(name, stopping.clone(), async {
        looking.await;
        anyhow::Ok(())
    }));
    admin.needs_database(&store);
    let service = Service {
        store: store.clone(),
        cache,
        access: Access::start(&store, &config.jwt).await?,
        max_quantity: config.seckill.max_quantity,
        stock_timeout: Duration::from_millis(config.product.stock_timeout_ms),
        shutdown: shutdown.clone(),
    };
    let service = ProductServiceServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES);
    tracing::info!(address = %addresses.listen, "serving");
    ready(Some(addresses))?;
    let service = (SERVICE_NAME, Routes::new(service));
    let serving = grpc_server::serve(&config, listener, service, &stopping);
    let serving = supervisor.task("the server".to_owned(), stopping.clone(), serving);
    let ending = async {
        let ended = tokio::select! {
            () = shutdown.requested() => Ok(()),
            reason = ends.first() => Err(reason),
        };
        stop.send_replace(true);
        ended
    };
    let (ended, served) = tokio::join!(ending, serving);
    tasks.shutdown().await;
    store.close().await;
    ended.and(served)
}
