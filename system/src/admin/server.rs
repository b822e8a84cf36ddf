//! Serves the pages: HTTP/1 and HTTP/2 without TLS on one socket, so that a browser, a scraper and a
//! gRPC client can all be pointed at it.

use super::pages;
use super::state::Admin;
use crate::config::Config;
use crate::http_server;
use crate::listener::{Connections, Listener, accept};
use crate::shutdown::Shutdown;
use anyhow::Context;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower_service::Service;

/// Operators, scrapers and probes connected at the same time.
const MAX_CONNECTIONS: usize = 64;
/// Time in which one has to have asked for something, and to have sent the head of what it asks.
const HEAD_MAX: Duration = Duration::from_secs(5);
/// Longest wait for the answer to a ping of an HTTP/2 connection.
const PING_MAX: Duration = Duration::from_secs(20);

/// Listens where the configuration says.
pub fn bind(config: &Config) -> anyhow::Result<Listener> {
    Listener::of_setting("admin.listen", &config.admin.listen, 1)
}

/// Serves operators on `listener`, which has one socket, until asked to stop.
pub async fn serve(listener: Listener, admin: Admin, shutdown: Shutdown) -> anyhow::Result<()> {
    let app = pages::router(admin);
    let places = Connections::at_most(MAX_CONNECTIONS);
    let mut clients = JoinSet::new();
    let socket = listener.into_sockets().pop();
    let socket = socket.context("the admin listener has no socket")?;
    let listener = TcpListener::from_std(socket).context("cannot use the listener")?;
    loop {
        let (stream, _, place) = tokio::select! {
            () = shutdown.requested() => return Ok(()),
            accepted = accept(&listener, &places) => accepted,
        };
        while clients.try_join_next().is_some() {}
        let app = app.clone();
        clients.spawn(async move {
            let _place = place;
            converse(app, stream).await;
        });
    }
}

/// Until the client goes, or has asked for nothing in time.
async fn converse(app: Router, stream: TcpStream) {
    let has_asked = Arc::<AtomicBool>::default();
    let asking = Asking {
        app,
        has_asked: has_asked.clone(),
    };
    let builder = http_server::builder(HEAD_MAX, PING_MAX);
    let service = TowerToHyperService::new(asking);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => return,
        () = tokio::time::sleep(HEAD_MAX) => {}
    }
    if has_asked.load(Ordering::Relaxed) {
        // What a client does to its connection is its own business.
        let _ = serving.await;
    }
}

/// Remembers that a client has asked for something.
#[derive(Clone)]
struct Asking {
    app: Router,
    has_asked: Arc<AtomicBool>,
}

impl<B> Service<Request<B>> for Asking
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.has_asked.store(true, Ordering::Relaxed);
        let answering = self.app.call(request.map(Body::new));
        Box::pin(answering)
    }
}
