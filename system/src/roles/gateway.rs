//! The gateway role: the whole system over HTTP. It checks who asks, turns JSON into the messages of
//! the services behind it, and their answers into JSON; it keeps nothing that a second gateway would
//! have to know.
//!
//! Like the seckill role it has serving threads that share nothing on the way of a request: each has a
//! runtime, a socket (SO_REUSEPORT), and connections of its own to every service.

mod accounts;
mod answer;
mod app;
mod counts;
mod document;
mod gate;
pub mod guard;
mod input;
mod orders;
mod products;
mod router;
mod routing;
mod sale;
mod serving;
mod shared;
mod upstream;

use crate::accounts::Access;
use crate::config::{Config, upstreams};
use crate::listener::{Connections, Listener, open_files};
use crate::metrics::Kind;
use crate::roles::{self, Addresses, RoleConfig};
use crate::serving_threads::{ServingThreads, how_many};
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::supervisor::Supervisor;
use counts::TURNED_AWAY;
use guard::breaker::State;
use routing::Routing;
use serving::Serving;
use shared::Shared;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Listens where the configuration says.
pub fn bind(config: &Config) -> anyhow::Result<Listener> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = how_many(config.gateway.threads, cores);
    Listener::of_setting("gateway.listen", &config.gateway.listen, threads)
}

/// Serves on `listener`, with a thread for each of its sockets, until asked to stop.
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
    let sockets = listener.into_sockets();
    let most_clients = open_files::room_for_clients(
        config.gateway.max_connections,
        sockets.len(),
        config.database.max_connections,
    )?;
    let factory = roles::engine(&config, &registry)?;
    let store = Store::connect(&config.database, factory).await?;
    admin.needs_database(&store);
    let access = Access::start(&store, &config.jwt).await?;
    if config.jwt.secret.is_empty() {
        tracing::warn!(
            "jwt.secret is not set: nobody can log in, and nothing can be bought over HTTP"
        );
    }
    let checked = registry.check(&config.seckill.engine)?;
    let instances = upstreams(&config.gateway.upstreams.seckill)?;
    let deals_buyers = checked.guarantees.needs_user_affinity;
    let routing = Arc::new(Routing::new(&instances, deals_buyers));
    let (stop, stopping) = Shutdown::channel();
    let (supervisor, mut ends) = Supervisor::new();
    let following = match deals_buyers {
        true => {
            let engine = roles::build_engine(&config, &registry).await?;
            let task = routing
                .clone()
                .follow(store.clone(), engine, stopping.clone());
            let (supervisor, asked) = (supervisor.clone(), stopping.clone());
            Some(tokio::spawn(supervisor.task(
                "the following of buyers".to_owned(),
                asked,
                async {
                    task.await;
                    anyhow::Ok(())
                },
            )))
        }
        false => None,
    };
    let connections = Connections::at_most(most_clients);
    let means = (admin.clone(), connections, stopping);
    let shared = Shared::new(config, routing, access, means)?;
    observe(&shared);
    let (reports, mut started) = mpsc::channel(sockets.len());
    let watched = (&supervisor, &shared.shutdown);
    let names = ("gateway thread", "gateway");
    let threads = ServingThreads::start(names, sockets, watched, |_, socket| {
        let serving = Serving {
            shared: shared.clone(),
            ready: reports.clone(),
        };
        move || serving.run(socket)
    })?;
    drop(reports);
    let serving = async {
        for _ in 0..threads.len() {
            if started.recv().await.is_none() {
                // All have failed, which the supervisor tells.
                std::future::pending::<()>().await;
            }
        }
        tracing::info!(address = %addresses.listen, threads = threads.len(), "serving HTTP");
        ready(Some(addresses))?;
        std::future::pending().await
    };
    let ended = tokio::select! {
        () = shutdown.requested() => Ok(()),
        reason = ends.first() => Err(reason),
        failed = serving => failed,
    };
    stop.send_replace(true);
    let served = ended.and(threads.join().await);
    if let Some(following) = following {
        let _ = following.await;
    }
    store.close().await;
    served
}

/// Registers what the threads have in common.
fn observe(shared: &Arc<Shared>) {
    let metrics = shared.admin.metrics();
    let counted = Arc::downgrade(shared);
    let (name, help) = ("seckill_gateway_in_flight_requests", "Requests under way");
    metrics.gauge(name, help, move || {
        let shared = counted.upgrade();
        shared.map_or(0.0, |shared| shared.gate.in_flight() as f64)
    });
    let connections = shared.connections.clone();
    let (name, help) = ("seckill_gateway_connections", "Clients connected");
    metrics.gauge(name, help, move || connections.taken() as f64);
    // Whom the threads turn away they count themselves.
    let connections = shared.connections.clone();
    let (name, help) = TURNED_AWAY;
    metrics.register(Kind::Counter, name, help, move |out| {
        out.count(&[("limit", "max_connections")], connections.turned_away());
    });
    shared.routing.observe(metrics);
    observe_breakers(shared);
}

/// What the breaker of each instance of each service does. Two services at one address share theirs.
fn observe_breakers(shared: &Shared) {
    let services = shared.config.gateway.upstreams.all().into_iter();
    let watched: Vec<_> = services
        .flat_map(|(service, list)| {
            let instances = upstreams(list).unwrap_or_default().into_iter();
            instances.map(move |instance| {
                let breaker = shared.breakers.of(&instance.url);
                (service, instance, breaker)
            })
        })
        .collect();
    let name = "seckill_gateway_breaker_state";
    let help = "1: what the breaker of this instance does with calls";
    let metrics = shared.admin.metrics();
    metrics.register(Kind::Gauge, name, help, move |out| {
        for (service, instance, breaker) in &watched {
            let now = breaker.state();
            for (state, name) in State::ALL {
                let labels = [
                    ("upstream", *service),
                    ("target", instance.target()),
                    ("state", name),
                ];
                let is_so = now == state;
                out.value(&labels, f64::from(u8::from(is_so)));
            }
        }
    });
}
