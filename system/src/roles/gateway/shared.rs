//! What the serving threads share.

use super::gate::Gate;
use super::guard::addresses::ClientAddresses;
use super::guard::breaker::Breakers;
use super::guard::connections::ConnectionsPerAddress;
use super::guard::cors::cors_layer;
use super::guard::rates::Rates;
use super::routing::Routing;
use crate::accounts::Access;
use crate::admin::Admin;
use crate::config::{Config, items};
use crate::listener::Connections;
use crate::shutdown::Shutdown;
use anyhow::Context;
use std::sync::Arc;
use tower_http::cors::CorsLayer;

/// Between all threads of one gateway.
#[derive(Debug)]
pub struct Shared {
    pub config: Config,
    /// What operators are told.
    pub admin: Admin,
    pub routing: Arc<Routing>,
    pub access: Access,
    pub gate: Gate,
    pub rates: Arc<Rates>,
    pub breakers: Arc<Breakers>,
    /// `None`: no page of another origin may ask.
    pub cors: Option<CorsLayer>,
    pub connections: Arc<Connections>,
    pub connections_per_address: Arc<ConnectionsPerAddress>,
    pub shutdown: Shutdown,
}

impl Shared {
    /// What the configuration says, and these.
    pub fn new(
        config: Config,
        routing: Arc<Routing>,
        access: Access,
        (admin, connections, shutdown): (Admin, Arc<Connections>, Shutdown),
    ) -> anyhow::Result<Arc<Self>> {
        let gateway = &config.gateway;
        let addresses = ClientAddresses::parse(items(&gateway.trusted_proxies))
            .context("gateway.trusted_proxies")?;
        let origins: Vec<&str> = items(&gateway.cors_origins).collect();
        let cors = cors_layer(&origins).context("gateway.cors_origins")?;
        let rates = Arc::new(Rates::new(&config.rate_limits));
        let scheme = match config.tls.cert_file.is_empty() {
            true => "http",
            false => "https",
        };
        Ok(Arc::new(Self {
            gate: Gate::new(gateway.max_in_flight, addresses, rates.clone(), scheme),
            admin,
            rates,
            breakers: Breakers::new(&config.breaker),
            cors,
            connections,
            connections_per_address: ConnectionsPerAddress::at_most(
                gateway.connections_per_address,
            ),
            routing,
            access,
            shutdown,
            config,
        }))
    }
}
