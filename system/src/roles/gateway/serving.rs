//! One serving thread: its runtime, its clients, and its connections to the services.

mod client_socket;

use super::app::Services;
use super::counts::Counts;
use super::guard::connections::Connection;
use super::guard::limit::Limit;
use super::router::router;
use super::shared::Shared;
use crate::http_server;
use crate::listener::accept;
use crate::roles;
use crate::tls::{HTTP_2, Wrapping};
use anyhow::Context;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use client_socket::ClientSocket;
use futures_util::FutureExt;
use http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::error::Error;
use std::net::{IpAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tower_http::cors::Cors;
use tower_layer::Layer;
use tower_service::Service;

/// Longest time a stopping process waits for requests under way.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);
/// Longest wait for the answer to a ping of an HTTP/2 connection.
const PING_MAX: Duration = Duration::from_secs(10);
/// Longest time in which a client takes nothing of what it is sent.
const UNREAD_MAX: Duration = Duration::from_secs(20);

/// What older clients speak, as TLS names it.
const HTTP_1: &[u8] = b"http/1.1";

/// What a thread starts with.
#[derive(Debug)]
pub struct Serving {
    pub shared: Arc<Shared>,
    /// Told when it serves.
    pub ready: mpsc::Sender<()>,
}

impl Serving {
    /// Serves the clients of this socket until asked to stop.
    pub fn run(self, socket: TcpListener) -> anyhow::Result<()> {
        roles::runtime()?.block_on(self.serve(socket))
    }

    async fn serve(self, socket: TcpListener) -> anyhow::Result<()> {
        let shared = self.shared;
        let services = Services::connect(
            &shared.config,
            shared.routing.clone(),
            shared.access.clone(),
            shared.rates.clone(),
            &shared.breakers,
        )?;
        services.observe(shared.admin.metrics());
        let app = router(Arc::new(services));
        let counts = Arc::<Counts>::default();
        counts.register(shared.admin.metrics());
        let listener =
            tokio::net::TcpListener::from_std(socket).context("cannot use the socket")?;
        let wrapping = Wrapping::of(&shared.config.tls, &[HTTP_2, HTTP_1])?;
        let head_max = Duration::from_millis(shared.config.gateway.header_timeout_ms);
        let builder = http_server::builder(head_max, PING_MAX);
        let (live, mut all_gone) = mpsc::channel::<Infallible>(1);
        let _ = self.ready.send(()).await;
        loop {
            let (stream, peer, place) = tokio::select! {
                accepted = accept(&listener, &shared.connections) => accepted,
                () = shared.shutdown.requested() => break,
            };
            let Some(counted) = count(&shared, peer.ip()) else {
                counts.turned_away(Limit::ConnectionsPerAddress);
                continue;
            };
            let passage = Passage {
                app: app.clone(),
                shared: shared.clone(),
                counts: counts.clone(),
                peer: peer.ip(),
            };
            let client = Client {
                counts: counts.clone(),
                passage: match &shared.cors {
                    None => Way::Plain(passage),
                    Some(cors) => Way::ForPages(Box::new(cors.layer(passage))),
                },
                shared: shared.clone(),
                has_asked: Arc::default(),
            };
            prepare(&stream);
            let (builder, live) = (builder.clone(), live.clone());
            let stream = ClientSocket::new(wrapping.wrap(stream), counts.clone());
            tokio::spawn(async move {
                let _places = (place, counted, live);
                client.serve(&builder, stream).await;
            });
        }
        drop((live, listener));
        if tokio::time::timeout(DRAIN_TIMEOUT, all_gone.recv())
            .await
            .is_err()
        {
            tracing::warn!(?DRAIN_TIMEOUT, "gave up draining HTTP connections");
        }
        Ok(())
    }
}

/// A connection from this address, unless it has as many as it may. A proxy has many clients.
fn count(shared: &Shared, peer: IpAddr) -> Option<Connection> {
    match shared.gate.addresses().is_proxy(peer) {
        true => Some(Connection::uncounted()),
        false => shared.connections_per_address.open(peer),
    }
}

/// One connection.
#[derive(Clone, Debug)]
struct Client {
    passage: Way,
    shared: Arc<Shared>,
    counts: Arc<Counts>,
    has_asked: Arc<AtomicBool>,
}

/// Whether pages of other origins may ask.
#[derive(Clone, Debug)]
enum Way {
    Plain(Passage),
    ForPages(Box<Cors<Passage>>),
}

/// Through the gate to the routes.
#[derive(Clone, Debug)]
struct Passage {
    app: Router,
    shared: Arc<Shared>,
    counts: Arc<Counts>,
    peer: IpAddr,
}

impl Client {
    async fn serve(self, builder: &Builder<TokioExecutor>, stream: ClientSocket) {
        let (shared, has_asked) = (self.shared.clone(), self.has_asked.clone());
        let (counts, seen) = (self.counts.clone(), stream.seen());
        // Nobody is told of it: the connection is closed.
        let late = || {
            if seen.is_in_head() {
                counts.turned_away(Limit::HeaderTimeout);
            }
        };
        let service = TowerToHyperService::new(self);
        let serving = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(serving);
        let header_timeout = Duration::from_millis(shared.config.gateway.header_timeout_ms);
        // Until a client has said which HTTP it speaks, nobody else counts the time.
        let silent = tokio::time::sleep(header_timeout);
        tokio::pin!(silent);
        let (mut is_watched, mut is_stopping) = (true, false);
        loop {
            tokio::select! {
                served = serving.as_mut() => {
                    if served.is_err_and(|error| is_late(&*error)) {
                        late();
                    }
                    return;
                }
                () = &mut silent, if is_watched => {
                    if !has_asked.load(Ordering::Relaxed) {
                        late();
                        return;
                    }
                    is_watched = false;
                }
                () = shared.shutdown.requested(), if !is_stopping => {
                    serving.as_mut().graceful_shutdown();
                    is_stopping = true;
                }
            }
        }
    }
}

/// Whether a connection ended because no head came in time.
fn is_late(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(hyper::Error::is_timeout)
}

fn prepare(stream: &TcpStream) {
    let unread_ms = u32::try_from(UNREAD_MAX.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, unread_ms) {
        tracing::debug!(%error, "cannot set TCP_USER_TIMEOUT");
    }
}

impl<B> Service<Request<B>> for Client
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.has_asked.store(true, Ordering::Relaxed);
        let request = request.map(Body::new);
        match &mut self.passage {
            Way::Plain(passage) => passage.call(request),
            Way::ForPages(passage) => passage.call(request).boxed(),
        }
    }
}

impl Service<Request<Body>> for Passage {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (app, shared, peer) = (self.app.clone(), self.shared.clone(), self.peer);
        let counts = self.counts.clone();
        let began = Instant::now();
        let is_long = request.uri().query().is_some_and(|it| it.contains("wait="));
        async move {
            let answer = shared.gate.pass(app, peer, request).await;
            let took = (!is_long).then(|| began.elapsed());
            counts.answer(&answer, took);
            Ok(answer)
        }
        .boxed()
    }
}
