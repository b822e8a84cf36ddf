//! What the serving threads share.

use super::gate::Gate;
use super::routing::Routing;
use crate::accounts::Access;
use crate::config::Config;
use crate::listener::Connections;
use crate::shutdown::Shutdown;
use std::sync::Arc;

/// Between all threads of one gateway.
#[derive(Debug)]
pub struct Shared {
    pub config: Config,
    pub routing: Arc<Routing>,
    pub access: Access,
    pub gate: Gate,
    pub connections: Arc<Connections>,
    pub shutdown: Shutdown,
}
