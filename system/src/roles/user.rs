//! The user role: one's own account, and for administrators everybody's.

mod service;

use crate::accounts::Passwords;
use crate::config::Config;
use crate::grpc_server::{self, MAX_REQUEST_BYTES};
use crate::listener::Listener;
use crate::proto::user::user_service_server::{SERVICE_NAME, UserServiceServer};
use crate::roles::{self, Addresses, RoleConfig};
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::tokens::Tokens;
use service::Service;
use tonic::service::Routes;

/// Listens where the configuration says.
pub fn bind(config: &Config) -> anyhow::Result<Listener> {
    Listener::of_setting("user.listen", &config.user.listen, 1)
}

/// Serves whoever has an account on `listener` until asked to stop.
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
    let passwords = Passwords::new(&config.auth)?;
    passwords.register(admin.metrics());
    let service = Service {
        store: store.clone(),
        tokens: Tokens::new(&config.jwt),
        passwords,
    };
    let service = UserServiceServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES);
    tracing::info!(address = %addresses.listen, "serving users");
    ready(Some(addresses))?;
    let service = (SERVICE_NAME, Routes::new(service));
    let served = grpc_server::serve(&config, listener, service, &shutdown).await;
    store.close().await;
    served
}
