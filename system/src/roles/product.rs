//! The product role: products and their sales, as everybody may read them, and as administrators make
//! and change them.
//!
//! What a product costs and when it is on sale changes with its row, of which publishers learn when
//! they next read it. How many units there are changes with the sale's next epoch, which the
//! reconciler opens: behind fence and drain, so that no unit is in two places (units-in-one-place,
//! R16).

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
use service::Service;
use std::time::Duration;
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
        ready,
    }: RoleConfig,
    listener: Listener,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let addresses = Addresses::of_clients(listener.address());
    let store = Store::connect(&config.database, roles::engine(&config, &registry)?).await?;
    let service = Service {
        store: store.clone(),
        access: Access::start(&store, &config.jwt).await?,
        max_quantity: config.seckill.max_quantity,
        stock_timeout: Duration::from_millis(config.product.stock_timeout_ms),
        shutdown: shutdown.clone(),
    };
    let service = ProductServiceServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES);
    tracing::info!(address = %addresses.listen, "serving");
    ready(Some(addresses))?;
    let service = (SERVICE_NAME, Routes::new(service));
    let served = grpc_server::serve(&config, listener, service, &shutdown).await;
    store.close().await;
    served
}
