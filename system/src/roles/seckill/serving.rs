//! One serving thread: its runtime, engine, publisher, group commit and gRPC server.

use super::group_commit::Committer;
use super::health::HealthOf;
use super::service::Service;
use super::shared::Shared;
use crate::broker::{self, Publisher, Settings};
use crate::grpc_server::{Catch, MAX_METADATA_BYTES};
use crate::listener::incoming;
use crate::proto;
use crate::proto::seckill::seckill_service_server::SeckillServiceServer;
use crate::roles;
use crate::telemetry::Trace;
use crate::tls::{HTTP_2, Wrapping};
use anyhow::Context;
use engines::StockEngine;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::pb::health_server::HealthServer;

/// Longest time a stopping process drains what it has accepted; handing the incarnation back stays
/// within 10 s too.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);
/// HTTP/2 flow-control window of a connection, bytes. Large, so that thousands of small messages
/// never wait for it.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// Flow-control window of a stream, bytes; a request is a few dozen.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// Largest request message, bytes.
const MAX_REQUEST_BYTES: usize = 4 * 1024;
/// Requests under way at the same time on one connection.
const MAX_CONCURRENT_STREAMS: u32 = 4_096;
/// Requests of one connection that were given up before they were looked at; beyond it the connection
/// is taken for an attack (rapid reset) and ended. After a service has stood still for 12 s, 500
/// clients with a limit of 2 s have given up 3,000, and they may all share a connection.
const MAX_GIVEN_UP_STREAMS: usize = 4_096;

/// Everything one thread needs to start.
#[derive(Debug)]
pub struct Serving {
    pub shared: Arc<Shared>,
    pub index: usize,
    /// Told what this thread publishes with when it has started.
    pub ready: mpsc::Sender<Arc<dyn Publisher>>,
}

impl Serving {
    /// Serves `listener` until shutdown; blocks the thread.
    pub fn run(self, listener: TcpListener) -> anyhow::Result<()> {
        roles::runtime()?.block_on(self.serve(listener))
    }

    async fn serve(self, listener: TcpListener) -> anyhow::Result<()> {
        let Self {
            shared,
            index,
            ready,
        } = self;
        let config = &shared.config;
        let engine = match &shared.engine {
            Some(engine) => engine.clone(),
            None => roles::build_engine(config, &shared.registry).await?,
        };
        let name = format!("seckill-{}-{index}", std::process::id());
        let settings = Settings::new(config);
        let publisher = broker::publisher(
            &settings,
            config.seckill.ack,
            &name,
            (&shared.supervisor, &shared.shutdown),
        )
        .await?;
        let routes = routes(&shared, engine, publisher.clone())?;

        let limits = &config.seckill;
        let first_bytes = Duration::from_millis(limits.first_bytes_timeout_ms);
        let wrapping = Wrapping::of(&config.tls, &[HTTP_2])?;
        let incoming = incoming(listener, shared.connections.clone(), first_bytes, wrapping)?;
        let server = Server::builder()
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
            .http2_max_header_list_size(MAX_METADATA_BYTES)
            .http2_max_pending_accept_reset_streams(Some(MAX_GIVEN_UP_STREAMS))
            .http2_keepalive_interval(Some(Duration::from_millis(limits.keepalive_interval_ms)))
            .http2_keepalive_timeout(Some(Duration::from_millis(limits.keepalive_timeout_ms)))
            .layer(Trace)
            .layer(Catch)
            .add_routes(routes);

        let shutdown = shared.shutdown.clone();
        let stopping = async move { shutdown.requested().await };
        let _ = ready.send(publisher).await;
        let served = server.serve_with_incoming_shutdown(incoming, stopping);
        tokio::pin!(served);
        tokio::select! {
            result = &mut served => return result.context("the gRPC server failed"),
            () = shared.shutdown.requested() => {}
        }
        // Requests under way are answered; a client that never closes its connection does not hold
        // the process.
        match tokio::time::timeout(DRAIN_TIMEOUT, served).await {
            Ok(result) => result.context("the gRPC server failed"),
            Err(_) => {
                tracing::warn!(?DRAIN_TIMEOUT, "gave up draining connections");
                Ok(())
            }
        }
    }
}

/// Everything above HTTP/2, with a group commit of its own on the current runtime.
pub fn routes(
    shared: &Arc<Shared>,
    engine: Arc<dyn StockEngine>,
    publisher: Arc<dyn Publisher>,
) -> anyhow::Result<Routes> {
    let service = Service {
        shared: shared.clone(),
        committer: Committer::start(shared.clone(), engine, publisher),
    };
    let service = SeckillServiceServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES);
    let health = HealthServer::new(HealthOf {
        ready: shared.ready.clone(),
        none_dead: shared.none_dead.clone(),
    })
    .max_decoding_message_size(MAX_REQUEST_BYTES);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("seckill.SeckillService")
        .with_service_name("grpc.health.v1.Health")
        .build_v1()
        .context("cannot build the reflection service")?;
    Ok(Routes::new(service)
        .add_service(health)
        .add_service(reflection))
}
