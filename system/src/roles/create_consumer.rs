//! The create-consumer role: turns order events into rows, in batches, and settles the holds
//! afterwards.
//!
//! Consumers share out the queues evenly, each by what it sees of the others in the table
//! `consumers`. That there is one active consumer per queue never rests on that table, but on the
//! broker (one-consumer-per-queue, R4): during a hand-over both are subscribed, and one of them waits.
//! A message is acknowledged only after its rows are committed, a hold settled only after that.

mod counts;
mod membership;
mod poison;
mod queue;
mod settle;
mod share;
mod tasks;

use crate::admin::Admin;
use crate::broker::{self, Broker, Settings};
use crate::config::Config;
use crate::roles::{self, RoleConfig};
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::terms::Terms;
use anyhow::{anyhow, bail};
use counts::Counts;
use engines::IncarnationId;
use membership::Membership;
use queue::QueueConsumer;
use settle::Settler;
use std::sync::Arc;
use std::time::Duration;
use tasks::QueueTasks;
use tokio::sync::watch;

/// What the connection to the broker is called.
const NAME: &str = "create-consumer";
/// How often new queues are looked for; bounds how long the first orders of a new publisher wait.
const DISCOVERY_INTERVAL: Duration = Duration::from_millis(200);
/// Queues read in one statement.
const QUEUES_PAGE: i64 = 1_024;
/// Pause before a lost connection is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);
/// Longest wait for batches under way when stopping, and then for their holds to be settled. A
/// database that hangs costs both; together they stay below the 10 s that a stop may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);
const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);

/// Consumes until asked to stop.
pub async fn run(
    RoleConfig {
        config,
        registry,
        admin,
        sales,
        ready,
    }: RoleConfig,
    (): (),
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let store = Store::connect(&config.database, roles::engine(&config, &registry)?).await?;
    admin.needs_database(&store);
    let engine = roles::build_shared_engine(&config, &registry).await?;
    let (keep_alive, until_drained) = Shutdown::channel();
    let terms = Terms::start(store.clone(), sales, until_drained).await?;
    let counts = Arc::<Counts>::default();
    counts.register(admin.metrics());
    let (settler, mut settling) = Settler::start(engine, terms.clone(), counts.clone());
    let settings = Settings::new(&config);
    let mut broker = broker::connect(&settings, NAME).await?;
    let (shown, consumed) = watch::channel((broker.clone(), Vec::new()));
    look_at_queues(&admin, &counts, consumed);
    ready(None)?;
    loop {
        let ended = tokio::select! {
            ended = consume_queues(&config, &store, (&settler, &counts), &broker, &shown, &shutdown) => ended,
            settled = &mut settling => return Err(match settled {
                Err(error) => anyhow!("the settling of holds failed: {error}"),
                Ok(()) => anyhow!("the settling of holds ended without having been asked to"),
            }),
            () = terms.ended() => bail!("the reading of sales ended without having been asked to"),
        };
        if shutdown.is_requested() {
            break;
        }
        if let Err(error) = ended {
            tracing::warn!(error = format!("{error:#}"), "consuming was interrupted");
        }
        broker = match reconnect(&settings, broker.as_ref(), &shutdown).await {
            Some(broker) => broker,
            None => break,
        };
    }
    drop(settler);
    if tokio::time::timeout(SETTLE_TIMEOUT, settling)
        .await
        .is_err()
    {
        tracing::warn!(?SETTLE_TIMEOUT, "gave up settling; the reconciler will");
    }
    drop(keep_alive);
    broker.close("done").await;
    store.close().await;
    Ok(())
}

/// A connection, and the queues that are consumed over it.
type Consumed = (Arc<dyn Broker>, Vec<IncarnationId>);

/// Has the depth of the queues looked up when somebody scrapes; the role needs its connection.
fn look_at_queues(admin: &Admin, counts: &Arc<Counts>, consumed: watch::Receiver<Consumed>) {
    let connected = consumed.clone();
    admin.look("the broker", move || {
        let is_connected = connected.borrow().0.is_connected();
        let reason = (!is_connected).then(|| "the broker is out of reach".to_owned());
        std::future::ready(reason)
    });
    let counts = counts.clone();
    admin.measure("the queues", move || {
        let counts = counts.clone();
        let (broker, queues) = consumed.borrow().clone();
        async move {
            if let Err(error) = counts.look(broker.as_ref(), &queues).await {
                tracing::debug!(error = format!("{error:#}"), "queues were not looked at");
            }
        }
    });
}

async fn reconnect(
    settings: &Settings,
    old: &dyn Broker,
    shutdown: &Shutdown,
) -> Option<Arc<dyn Broker>> {
    old.close("reconnecting").await;
    loop {
        tokio::select! {
            () = shutdown.requested() => return None,
            () = tokio::time::sleep(RECONNECT_PAUSE) => {}
        }
        match broker::connect(settings, NAME).await {
            Ok(broker) => return Some(broker),
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "cannot reconnect to the broker"
                )
            }
        }
    }
}

/// Keeps one task for each queue of this consumer's share until shutdown or until the connection is
/// lost; ends with all tasks ended. Who has no connection has no share.
async fn consume_queues(
    config: &Config,
    store: &Store,
    (settler, counts): (&Settler, &Arc<Counts>),
    broker: &Arc<dyn Broker>,
    shown: &watch::Sender<Consumed>,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let mut membership = Membership::start(store.clone(), &config.mq);
    let mut tasks = QueueTasks::default();
    let consumer = |queue| {
        let counting = (settler.clone(), counts.clone());
        QueueConsumer::new(config, store.clone(), counting, queue)
    };
    let ended = loop {
        if shutdown.is_requested() {
            break Ok(());
        }
        if !broker.is_connected() {
            break Err(anyhow!("the connection to the broker was lost"));
        }
        let found = tokio::select! {
            () = shutdown.requested() => break Ok(()),
            found = store.queues(QUEUES_PAGE) => found,
        };
        match found {
            Ok(queues) => {
                let share = membership.share_of(&queues);
                tasks.follow(&share, broker, consumer).await;
                membership.consumes(tasks.queues());
                shown.send_replace((broker.clone(), tasks.queues()));
            }
            Err(error) => tracing::warn!(%error, "cannot look for queues"),
        }
        tokio::select! {
            () = shutdown.requested() => {}
            changed = membership.changed() => if let Err(error) = changed {
                break Err(error);
            },
            () = tokio::time::sleep(DISCOVERY_INTERVAL) => {}
        }
    };
    // The others take up the queues while these come to their end here, and wait at the broker.
    tokio::join!(membership.leave(), tasks.stop(DRAIN_TIMEOUT));
    ended
}
