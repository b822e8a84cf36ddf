//! The create-consumer role: turns order events into rows, in batches, and settles the holds
//! afterwards.
//!
//! One channel and one active consumer per queue (one-consumer-per-queue, R4); consumers share out
//! the queues through the broker. A message is acknowledged only after its rows are committed, a
//! hold settled only after that.

mod poison;
mod queue;
mod settle;

use crate::back_off::BackOff;
use crate::broker::{self, Broker, Settings};
use crate::config::Config;
use crate::roles::{self, RoleConfig};
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::terms::Terms;
use anyhow::{anyhow, bail};
use engines::IncarnationId;
use queue::QueueConsumer;
use settle::Settler;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

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
        ready,
    }: RoleConfig,
    (): (),
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let store = Store::connect(&config.database, roles::engine(&config, &registry)?).await?;
    // What a publishing process keeps in its memory, only that process can settle.
    let engine = match roles::settles_own_holds(&config, &registry)? {
        true => None,
        false => Some(roles::build_engine(&config, &registry).await?),
    };
    let (keep_alive, until_drained) = Shutdown::channel();
    let terms = Terms::start(store.clone(), until_drained).await?;
    let (settler, mut settling) = Settler::start(engine, terms.clone());
    let settings = Settings::new(&config);
    let mut broker = broker::connect(&settings, NAME).await?;
    ready(None)?;
    loop {
        let ended = tokio::select! {
            ended = consume_queues(&config, &store, &settler, &broker, &shutdown) => ended,
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

/// Keeps one task per queue until shutdown or until the connection is lost; ends with all tasks
/// ended.
async fn consume_queues(
    config: &Config,
    store: &Store,
    settler: &Settler,
    broker: &Arc<dyn Broker>,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let mut tasks: HashMap<IncarnationId, JoinHandle<bool>> = HashMap::new();
    let mut back_off = BackOff::default();
    let ended = loop {
        if shutdown.is_requested() {
            break Ok(());
        }
        if !broker.is_connected() {
            break Err(anyhow::anyhow!("the connection to the broker was lost"));
        }
        let found = tokio::select! {
            () = shutdown.requested() => break Ok(()),
            found = store.queues(QUEUES_PAGE) => found,
        };
        match found {
            Ok(queues) => {
                give_way(&mut tasks, &mut back_off).await;
                back_off.retain(|incarnation| queues.contains(&incarnation));
                for incarnation in queues
                    .into_iter()
                    .filter(|incarnation| {
                        !tasks.contains_key(incarnation) && back_off.is_due(*incarnation)
                    })
                    .collect::<Vec<_>>()
                {
                    let consumer =
                        QueueConsumer::new(config, store.clone(), settler.clone(), incarnation);
                    tasks.insert(
                        incarnation,
                        tokio::spawn(supervise(consumer, broker.clone(), shutdown.clone())),
                    );
                }
            }
            Err(error) => tracing::warn!(%error, "cannot look for queues"),
        }
        tokio::select! {
            () = shutdown.requested() => {}
            () = tokio::time::sleep(DISCOVERY_INTERVAL) => {}
        }
    };
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    for (incarnation, mut task) in tasks {
        if timeout_at(deadline, &mut task).await.is_err() {
            // What is not acknowledged is delivered again.
            tracing::warn!(
                incarnation = incarnation.0,
                ?DRAIN_TIMEOUT,
                "gave up a batch under way"
            );
            task.abort();
        }
    }
    ended
}

/// Takes out the tasks that have ended; a queue that could not be consumed is left alone for a
/// while.
async fn give_way(
    tasks: &mut HashMap<IncarnationId, JoinHandle<bool>>,
    back_off: &mut BackOff<IncarnationId>,
) {
    let ended: Vec<_> = tasks.extract_if(|_, task| task.is_finished()).collect();
    for (incarnation, task) in ended {
        match task.await {
            Ok(true) => back_off.succeeded(incarnation),
            Ok(false) | Err(_) => back_off.failed(incarnation),
        }
    }
}

/// Whether the queue could be consumed.
async fn supervise(consumer: QueueConsumer, broker: Arc<dyn Broker>, shutdown: Shutdown) -> bool {
    let incarnation = consumer.incarnation();
    let consuming = broker.consume(incarnation).await;
    let is_there = consuming.is_ok();
    let ended = match consuming {
        Ok(mut deliveries) => {
            let ended = consumer.run(deliveries.as_mut(), &shutdown).await;
            // drain-in-one-session (R5): nothing is nack-requeued; closing gives back, in order,
            // what was not acknowledged.
            deliveries.close().await;
            ended
        }
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        tracing::warn!(
            incarnation = incarnation.0,
            error = format!("{error:#}"),
            "queue given up; it will be taken up again"
        );
    }
    is_there
}
