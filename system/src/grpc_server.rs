//! What plain gRPC services are served with: bounds, keepalive, health and reflection, on the current
//! runtime. The service that buyers come to in thousands has its own way
//! (`system/src/roles/seckill/serving.rs`).

mod catching;
#[cfg(test)]
mod tests;

pub use catching::Catch;

use crate::config::Config;
use crate::listener::{Connections, Listener, incoming, open_files};
use crate::proto;
use crate::shutdown::Shutdown;
use crate::telemetry::Trace;
use crate::tls::{HTTP_2, Wrapping};
use anyhow::Context;
use futures_util::stream;
use std::time::Duration;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Code, Status};
use tonic_health::ServingStatus;

/// Largest request message that a service should take, bytes.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// Clients connected at the same time.
const MAX_CONNECTIONS: usize = 4_096;
/// Requests under way at the same time on one connection.
const MAX_CONCURRENT_STREAMS: u32 = 1_024;
/// All metadata of a request, bytes, counted as HTTP/2 does, with 32 for each entry. A token has at most
/// [`crate::tokens::TOKEN_BYTES_MAX`].
pub const MAX_METADATA_BYTES: u32 = 16 * 1024;
/// Requests of one connection that were given up before they were looked at; beyond it the connection
/// is taken for an attack (rapid reset) and ended.
const MAX_GIVEN_UP_STREAMS: usize = 1_024;
/// HTTP/2 flow-control window of a connection, bytes.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Flow-control window of a stream, bytes: a request fits.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// When who is turned away for now should ask again, s.
const RETRY_AFTER_S: u64 = 1;
/// Metadata of a refusal that is for now only, s.
pub const RETRY_AFTER: &str = "retry-after";
/// Metadata that says why a request is refused, for programs.
pub const REASON: &str = "reason";
/// The reason: this buyer belongs to another instance.
pub const OTHER_INSTANCE: &str = "other-instance";
/// Longest time a stopping process waits for requests under way.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// Serves `service`, whose full name is `name`, to whoever connects to `listener`, until asked to
/// stop; requests under way are answered. How clients are kept alive is as of buyers
/// (`seckill.first_bytes_timeout_ms`, `seckill.keepalive_*`).
///
/// It is healthy for as long as it runs: what it needs of others it asks for request by request.
pub async fn serve(
    config: &Config,
    listener: Listener,
    (name, service): (&'static str, Routes),
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let limits = &config.seckill;
    let sockets = listener.into_sockets();
    let room = open_files::room_for_clients(0, sockets.len(), config.database.max_connections)?;
    let connections = Connections::at_most(room.min(MAX_CONNECTIONS));
    let first_bytes = Duration::from_millis(limits.first_bytes_timeout_ms);
    let wrapping = Wrapping::of(&config.tls, &[HTTP_2])?;
    let clients = sockets.into_iter().map(|socket| {
        incoming(socket, connections.clone(), first_bytes, wrapping.clone()).map(Box::pin)
    });
    let clients = clients.collect::<anyhow::Result<Vec<_>>>()?;
    let (health, health_service) = tonic_health::server::health_reporter();
    for known in [name, "liveness", "readiness"] {
        health
            .set_service_status(known, ServingStatus::Serving)
            .await;
    }
    let health_service = health_service.max_decoding_message_size(MAX_REQUEST_BYTES);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name(name)
        .with_service_name("grpc.health.v1.Health")
        .build_v1()
        .context("cannot build the reflection service")?;
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
        .add_routes(service.add_service(health_service).add_service(reflection));
    let served = server.serve_with_incoming_shutdown(stream::select_all(clients), async {
        shutdown.requested().await;
    });
    tokio::pin!(served);
    tokio::select! {
        result = &mut served => return result.context("the gRPC server failed"),
        () = shutdown.requested() => {}
    }
    // A client that never closes its connection does not hold the process.
    match tokio::time::timeout(DRAIN_TIMEOUT, served).await {
        Ok(result) => result.context("the gRPC server failed"),
        Err(_) => {
            tracing::warn!(?DRAIN_TIMEOUT, name, "gave up draining connections");
            Ok(())
        }
    }
}

/// UNAVAILABLE, with how long to wait in `retry-after`, s.
pub fn retry_later(text: String) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert(RETRY_AFTER, MetadataValue::from(RETRY_AFTER_S));
    Status::with_metadata(Code::Unavailable, text, metadata)
}
