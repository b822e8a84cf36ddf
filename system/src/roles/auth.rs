//! The auth role: who registers, who logs in, and the tokens that say so.

mod counts;
mod service;

use crate::accounts::Passwords;
use crate::config::Config;
use crate::grpc_server::{self, MAX_REQUEST_BYTES};
use crate::listener::Listener;
use crate::proto::auth::auth_service_server::{AuthServiceServer, SERVICE_NAME};
use crate::roles::{self, Addresses, RoleConfig};
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::tokens::Tokens;
use counts::Counts;
use service::Service;
use std::sync::Arc;
use std::time::Duration;
use tonic::service::Routes;

/// Listens where the configuration says.
pub fn bind(config: &Config) -> anyhow::Result<Listener> {
    Listener::of_setting("auth.listen", &config.auth.listen, 1)
}

/// Serves everybody on `listener` until asked to stop.
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
    admin.needs_database(&store);
    let tokens = Tokens::new(&config.jwt);
    if tokens.is_none() {
        tracing::warn!("jwt.secret is not set: people can register, and nobody can log in");
    }
    let passwords = Passwords::new(&config.auth)?;
    passwords.register(admin.metrics());
    let counts = Arc::<Counts>::default();
    counts.register(admin.metrics());
    let service = Service {
        store: store.clone(),
        tokens,
        passwords,
        counts,
        lifetime: Duration::from_secs(config.jwt.expiration_s),
    };
    let service = AuthServiceServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES);
    tracing::info!(address = %addresses.listen, "serving accounts");
    ready(Some(addresses))?;
    let service = (SERVICE_NAME, Routes::new(service));
    let served = grpc_server::serve(&config, listener, service, &shutdown).await;
    store.close().await;
    served
}
