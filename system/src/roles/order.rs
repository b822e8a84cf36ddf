//! The order role: what buyers do with their orders. One instance or several; each change of an order
//! happens once, whoever asks whom for it.

mod changer;
mod counts;
mod making;
mod service;

use crate::accounts::Access;
use crate::config::Config;
use crate::grpc_server;
use crate::listener::Listener;
use crate::proto::order::order_service_server::{OrderServiceServer, SERVICE_NAME};
use crate::roles::{self, Addresses, RoleConfig};
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::supervisor::Supervisor;
use crate::terms::Terms;
use changer::{Changer, Means};
use counts::Counts;
use making::Maker;
use service::Service;
use std::sync::Arc;
use std::time::Duration;
use tonic::service::Routes;

/// Longest wait for changes under way when stopping.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// Listens where the configuration says.
pub fn bind(config: &Config) -> anyhow::Result<Listener> {
    Listener::of_setting("order.listen", &config.order.listen, 1)
}

/// Serves until asked to stop.
pub async fn run(
    RoleConfig {
        config,
        registry,
        admin,
        sales,
        ready,
    }: RoleConfig,
    listener: Listener,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let address = listener.address();
    let maker = Maker::new(&config)?;
    let store = Store::connect(&config.database, roles::engine(&config, &registry)?).await?;
    admin.needs_database(&store);
    let access = Access::start(&store, &config.jwt).await?;
    let engine = roles::build_shared_engine(&config, &registry).await?;
    let (keep_alive, until_drained) = Shutdown::channel();
    let terms = Terms::start(store.clone(), sales, until_drained).await?;
    let row_wait = Duration::from_millis(config.order.row_wait_ms);
    let means = Means {
        store: store.clone(),
        terms: terms.clone(),
        engine,
        copies: config.order.copies,
        batch_max: config.order.max_batch,
    };
    let (supervisor, mut ends) = Supervisor::new();
    let (stop, stopping) = Shutdown::channel();
    let (changer, changing) = Changer::start(means, config.order.max_pending);
    let asked = stopping.clone();
    let changing =
        tokio::spawn(
            supervisor.task("the changing of orders".to_owned(), asked, async {
                changing.await;
                anyhow::Ok(())
            }),
        );
    let counts = Arc::<Counts>::default();
    counts.register(admin.metrics());
    let service = Service {
        changer,
        counts,
        row_wait,
        maker,
        access,
        most: config.seckill.max_quantity,
        store: store.clone(),
    };
    let service =
        OrderServiceServer::new(service).max_decoding_message_size(grpc_server::MAX_REQUEST_BYTES);
    let serving = grpc_server::serve(
        &config,
        listener,
        (SERVICE_NAME, Routes::new(service)),
        &stopping,
    );
    tokio::pin!(serving);
    ready(Some(Addresses::of_clients(address)))?;
    tracing::info!(%address, "serving orders");
    let served = tokio::select! {
        served = &mut serving => served,
        () = shutdown.requested() => Ok(()),
        reason = ends.first() => Err(reason),
        () = terms.ended() => Err(anyhow::anyhow!("the reading of sales ended without having been asked to")),
    };
    stop.send_replace(true);
    let served = served.and(serving.await);
    // The service was the last that could ask for changes.
    if tokio::time::timeout(DRAIN_TIMEOUT, changing).await.is_err() {
        tracing::warn!(?DRAIN_TIMEOUT, "gave up changes under way");
    }
    drop(keep_alive);
    store.close().await;
    served
}
