//! The identity under which this process publishes: worker id, queue, generation, and the lease on
//! all of them.
//!
//! fence-wait (R1): requests are started, and yes is said, only while the lease runs on this
//! process's own monotonic clock, counted from when its last successful heartbeat was sent.
//! one-term-per-batch (R3): a fence revokes an identity as a whole.

mod identity;
mod registration;

pub use identity::Identity;

use crate::broker::Settings;
use crate::clock::{monotonic_ms, unix_ms};
use crate::config::IncarnationConfig;
use crate::shutdown::Shutdown;
use crate::store::{Publisher, Store};
use crate::terms::Terms;
use registration::Registrar;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Pause between attempts to register again after having been fenced for good, and least time
/// between two incarnations of which the first lost its queue.
const REGISTER_RETRY: Duration = Duration::from_secs(1);
/// Longest wait for the database when handing back: a process that stops does not wait for one that
/// hangs.
const HAND_BACK_TIMEOUT: Duration = Duration::from_secs(1);

/// Gives the hot path the present identity; cheap to clone.
#[derive(Clone, Debug)]
pub struct Incarnation {
    receiver: watch::Receiver<Arc<Identity>>,
}

impl Incarnation {
    /// Registers this process and keeps its lease on the current runtime until the keeper hands it
    /// back.
    pub async fn start(
        store: Store,
        broker: Settings,
        config: IncarnationConfig,
        terms: Terms,
        publisher: Publisher,
    ) -> anyhow::Result<(Self, Keeper)> {
        let registrar = Registrar {
            store,
            broker,
            terms,
            publisher,
        };
        let identity = registrar.register().await?;
        let (sender, receiver) = watch::channel(identity);
        let (stop, stopped) = Shutdown::channel();
        let task = tokio::spawn(keep(registrar, config, sender, stopped));
        Ok((Self { receiver }, Keeper { stop, task }))
    }

    /// Waits until nobody keeps the lease any more.
    pub async fn ended(&self) {
        let mut receiver = self.receiver.clone();
        while receiver.changed().await.is_ok() {}
    }

    /// Whether the present identity was ended by a fence, and the next one is not there yet.
    pub fn is_fenced(&self) -> bool {
        self.receiver.borrow().is_revoked()
    }

    /// How long the present identity may still act.
    pub fn left(&self) -> Duration {
        self.receiver.borrow().left()
    }

    /// The present identity, if it may act.
    pub fn current(&self) -> Option<Arc<Identity>> {
        let identity = self.receiver.borrow().clone();
        identity.may_act().then_some(identity)
    }
}

/// Holds the lease; [`Keeper::hand_back`] ends it cleanly.
#[derive(Debug)]
pub struct Keeper {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Keeper {
    /// Gives the identity up: it is fenced and acknowledged in one step, so that the reconciler
    /// need not wait for the lease. Call it when nothing is under way any more.
    pub async fn hand_back(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the lease keeper ended badly");
        }
    }
}

async fn keep(
    registrar: Registrar,
    config: IncarnationConfig,
    sender: watch::Sender<Arc<Identity>>,
    stopped: Shutdown,
) {
    let interval = Duration::from_millis(config.heartbeat_ms);
    let mut since = Instant::now();
    loop {
        let identity = sender.borrow().clone();
        let beating = async {
            tokio::time::sleep(interval).await;
            heartbeat(&registrar.store, &identity, config.lease_ms).await
        };
        // A queue that is gone again at once is not replaced without a pause.
        let losing = async {
            identity.until_route_is_lost().await;
            tokio::time::sleep(REGISTER_RETRY.saturating_sub(since.elapsed())).await;
        };
        let beat = tokio::select! {
            () = stopped.requested() => break,
            () = losing => Ok(false),
            beat = beating => beat,
        };
        match beat {
            Ok(true) => {}
            Ok(false) => {
                identity.revoke();
                tracing::warn!(
                    incarnation = identity.id.0,
                    generation = identity.generation.0,
                    "fenced, or without a queue"
                );
                if let Some(next) = succeed(&registrar, &identity, &stopped).await {
                    sender.send_replace(next);
                    since = Instant::now();
                }
            }
            // The lease runs on; if the database stays away, it runs out.
            Err(error) => tracing::warn!(%error, "heartbeat failed"),
        }
    }
    let identity = sender.borrow().clone();
    identity.revoke();
    match tokio::time::timeout(HAND_BACK_TIMEOUT, hand_back(&registrar.store, &identity)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "could not hand the incarnation back; the reconciler will fence it")
        }
        Err(_) => {
            tracing::warn!("no time to hand the incarnation back; the reconciler will fence it")
        }
    }
}

/// Extends the lease; `false` means this generation has been fenced.
async fn heartbeat(store: &Store, identity: &Identity, lease_ms: u64) -> database::Result<bool> {
    let sent_ms = monotonic_ms();
    let minted_until_ms = identity.minter.next_until_ms(unix_ms(), lease_ms);
    let is_ours = store
        .heartbeat(identity.id, identity.generation, minted_until_ms)
        .await?;
    if is_ours {
        identity.minter.may_mint_until(minted_until_ms);
        identity.extend(sent_ms + lease_ms);
    }
    Ok(is_ours)
}

/// Acknowledges a fence and finds out what comes after it: the next generation, or a new
/// incarnation.
async fn succeed(
    registrar: &Registrar,
    fenced: &Identity,
    stopped: &Shutdown,
) -> Option<Arc<Identity>> {
    loop {
        tokio::select! {
            () = stopped.requested() => return None,
            next = try_succeed(registrar, fenced) => match next {
                Ok(next) => return Some(next),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "cannot take up a new identity yet"),
            }
        }
        tokio::select! {
            () = stopped.requested() => return None,
            () = tokio::time::sleep(REGISTER_RETRY) => {}
        }
    }
}

async fn try_succeed(registrar: &Registrar, fenced: &Identity) -> anyhow::Result<Arc<Identity>> {
    // `fenced` is revoked already: no request of the old term can be answered yes after this
    // acknowledgement.
    let (generation, is_live) = registrar.store.acknowledge(fenced.id).await?;
    if !is_live {
        tracing::warn!(
            incarnation = fenced.id.0,
            "declared dead while alive; registering a new incarnation"
        );
        return registrar.register().await;
    }
    // Whoever fences takes the binding away, too; then there is a next generation.
    let was_fenced = generation != fenced.generation;
    if was_fenced
        && let Some(adopted) = registrar
            .adopt(fenced.id, generation, fenced.minter.clone())
            .await?
    {
        return Ok(adopted);
    }
    // exclusive-route (R6): a queue that is gone is not made anew by the one who lost it, because
    // then nobody would notice what was lost with it.
    tracing::error!(
        incarnation = fenced.id.0,
        "its queue is gone or its node is down; registering a new incarnation"
    );
    // worker-id-outlives-lease (R17): a batch under way may still mint what nobody will be told.
    let lease_ms = registrar.publisher.lease_ms;
    let minted_until_ms = fenced.minter.next_until_ms(unix_ms(), lease_ms);
    registrar
        .store
        .hand_back(fenced.id, minted_until_ms)
        .await?;
    registrar.register().await
}

async fn hand_back(store: &Store, identity: &Identity) -> database::Result<()> {
    store
        .hand_back(identity.id, identity.minter.high_water_ms(unix_ms()))
        .await
}
