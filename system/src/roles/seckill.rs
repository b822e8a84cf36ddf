//! The seckill role: one control thread that holds lease and terms, and serving threads that share
//! nothing else.
//!
//! A serving thread is a `current_thread` runtime with its own listener (SO_REUSEPORT), engine
//! connection and publishing connection: a woken connection task then finds whole batches of
//! replies to flush.

mod caretaker;
mod counts;
mod dead_letters;
mod group_commit;
mod health;
mod inspection;
pub(crate) mod past_sales;
mod pressure;
mod published;
mod readiness;
mod replies;
mod service;
pub(crate) mod serving;
pub(crate) mod shared;

use crate::broker::Settings;
use crate::config::{Ack, Config};
use crate::incarnation::Incarnation;
use crate::listener::{Connections, Listener, open_files};
use crate::roles::{self, Addresses, RoleConfig};
use crate::serving_threads::{ServingThreads, how_many};
use crate::shutdown::Shutdown;
use crate::store::{Publisher, Store};
use crate::supervisor::Supervisor;
use crate::terms::Terms;
use anyhow::Context;
use caretaker::Caretaker;
use engines::{Registry, StockEngine};
use inspection::Inspector;
use past_sales::PastSales;
use published::Published;
use serving::Serving;
use shared::Shared;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Listens where the configuration says, with a socket for each serving thread.
pub fn bind(config: &Config) -> anyhow::Result<Listener> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = how_many(config.seckill.threads, cores);
    tracing::info!(
        threads,
        cores,
        configured = config.seckill.threads,
        "serving threads"
    );
    Listener::of_setting("seckill.listen", &config.seckill.listen, threads)
}

/// Serves on `listener`, with a thread for each of its sockets, until asked to stop. This runtime
/// holds lease and terms; serving threads have their own.
pub async fn run(
    RoleConfig {
        config,
        registry,
        admin,
        sales,
        ready,
    }: RoleConfig,
    listener: Listener,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let addresses = Addresses::of_clients(listener.address());
    let sockets = listener.into_sockets();
    // The role ends when it is asked to, and when a part of it has ended.
    let (stop, stopping) = Shutdown::channel();
    let (supervisor, mut ends) = Supervisor::new();
    let (readiness, is_ready) = watch::channel(false);
    let (dead, none_dead) = watch::channel(true);
    let most_clients = open_files::room_for_clients(
        config.seckill.max_connections,
        sockets.len(),
        config.database.max_connections,
    )?;
    let engine = checked_engine(&config, &registry).await?;
    let store = Store::connect(&config.database, roles::engine(&config, &registry)?).await?;
    admin.needs_database(&store);
    // Terms and lease outlive the request to stop: what was accepted still has to be published.
    let (keep_alive, until_drained) = Shutdown::channel();
    let terms = Terms::start(store.clone(), sales, until_drained).await?;
    let (incarnation, keeper) = Incarnation::start(
        store.clone(),
        Settings::new(&config),
        config.incarnation.clone(),
        terms.clone(),
        Publisher {
            lease_ms: config.incarnation.lease_ms,
            deadline_ms: config.seckill.publish_timeout_ms,
            address: match &*config.seckill.advertised {
                "" => addresses.listen.to_string(),
                advertised => advertised.to_owned(),
            },
            label: config.incarnation.label.clone(),
        },
    )
    .await?;
    let guarantees = engine.info().guarantees;
    let (is_shared, settles) = (
        guarantees.needs_one_engine_per_process,
        guarantees.settles_own_holds,
    );
    let needs_care = (is_shared || settles).then(|| engine.clone());
    let shared = Arc::new(Shared {
        config: config.clone(),
        registry: registry.clone(),
        admin: admin.clone(),
        published: (settles && config.seckill.ack == Ack::Confirmed).then(Published::default),
        lanes_in_doubt: Arc::default(),
        pressure: Arc::default(),
        engine: is_shared.then(|| engine.clone()),
        terms,
        past_sales: PastSales::start(store.clone(), &config.seckill),
        incarnation,
        connections: Connections::at_most(most_clients),
        shutdown: stopping.clone(),
        ready: is_ready,
        none_dead,
        supervisor,
    });
    let inspector = Inspector {
        engine: engine.clone(),
        terms: shared.terms.clone(),
        incarnation: shared.incarnation.clone(),
        pressure: shared.pressure.clone(),
        store: store.clone(),
        threads: sockets.len(),
    };
    observe(&shared);
    let mut parts = Parts::new(&shared);
    let (terms, incarnation) = (shared.terms.clone(), shared.incarnation.clone());
    parts.run("the reading of sales", async move {
        terms.ended().await;
        Ok(())
    });
    parts.run("the keeping of the lease", async move {
        incarnation.ended().await;
        Ok(())
    });
    let looking_up = shared.past_sales.ended();
    parts.run("the looking up of past sales", async move {
        looking_up.await;
        Ok(())
    });
    let counting = dead_letters::watch(store.clone(), dead);
    parts.run("the watch over dead letters", counting);
    admin.serve_calls(inspector.calls()?);
    let caretaker =
        needs_care.map(|engine| Caretaker::start(shared.clone(), engine, store.clone()));

    let (reports, mut started) = mpsc::channel(sockets.len());
    let watched = (&shared.supervisor, &shared.shutdown);
    let names = ("serving thread", "serve");
    let threads = ServingThreads::start(names, sockets, watched, |index, socket| {
        let serving = Serving {
            shared: shared.clone(),
            index,
            ready: reports.clone(),
        };
        move || serving.run(socket)
    })?;
    drop(reports);
    let running = async {
        let mut publishers = Vec::with_capacity(threads.len());
        while publishers.len() < threads.len() {
            match started.recv().await {
                Some(publisher) => publishers.push(publisher),
                // All have failed, which the supervisor tells.
                None => std::future::pending().await,
            }
        }
        let sources = readiness::Sources {
            incarnation: shared.incarnation.clone(),
            terms: shared.terms.clone(),
            publishers,
            engine,
            store: store.clone(),
            deadline_ms: config.seckill.publish_timeout_ms,
        };
        let looking = readiness::watch(sources, readiness.clone(), admin.clone());
        parts.run("the watch over readiness", looking);
        let _ = shared.ready.clone().changed().await;
        tracing::info!(
            address = %addresses.listen, threads = threads.len(),
            engine = %config.seckill.engine, "serving"
        );
        ready(Some(addresses))?;
        std::future::pending().await
    };
    let ended = tokio::select! {
        () = shutdown.requested() => Ok(()),
        reason = ends.first() => Err(reason),
        failed = running => failed,
    };
    stop.send_replace(true);
    parts.tasks.abort_all();
    readiness.send_replace(false);
    let served = ended.and(threads.join().await);
    if let Some(caretaker) = caretaker {
        caretaker.stop().await;
    }
    keeper.hand_back().await;
    drop(keep_alive);
    store.close().await;
    served
}

/// Registers what the control thread knows.
fn observe(shared: &Shared) {
    let metrics = shared.admin.metrics();
    let connections = shared.connections.clone();
    let (name, help) = ("seckill_connections", "Clients connected");
    metrics.gauge(name, help, move || connections.taken() as f64);
    let connections = shared.connections.clone();
    let name = "seckill_connections_turned_away_total";
    let help = "Clients closed at once because there was no place";
    metrics.counter(name, help, move || connections.turned_away());
    let incarnation = shared.incarnation.clone();
    let help = "How long this process may still say yes";
    metrics.gauge("seckill_lease_remaining_seconds", help, move || {
        incarnation.left().as_secs_f64()
    });
}

/// The tasks of the control thread that have to run until the role is asked to stop. Aborted when
/// this is dropped.
struct Parts<'a> {
    shared: &'a Shared,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl<'a> Parts<'a> {
    fn new(shared: &'a Shared) -> Self {
        let tasks = JoinSet::new();
        Self { shared, tasks }
    }

    fn run(&mut self, name: &str, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let asked = self.shared.shutdown.clone();
        let supervisor = self.shared.supervisor.clone();
        self.tasks
            .spawn(supervisor.task(name.to_owned(), asked, task));
    }
}

async fn checked_engine(
    config: &Config,
    registry: &Registry,
) -> anyhow::Result<Arc<dyn StockEngine>> {
    let engine = roles::build_engine(config, registry).await?;
    let checked = engine.check_server(config.engine.allow_volatile).await;
    let settings = checked.with_context(|| format!("engine {}", config.seckill.engine))?;
    tracing::info!(?settings, "engine server checked");
    Ok(engine)
}
