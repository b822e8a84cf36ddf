//! Lanes: the right to have one publish under way, taken before anything is reserved for it.
//!
//! A lane comes back when its publish is resolved, however late. It is *in doubt* while a publish
//! takes longer than a quarter of the publish deadline, and from a publish that was not confirmed,
//! or the loss of its connection, until a marker is. When all are in doubt the broker is stalled:
//! batches go on without a lane, and ask the engine without being allowed to sell. So what is held
//! for buyers who cannot be told yes is never more than one batch for each lane.

#[cfg(test)]
mod tests;

use super::confirms::Confirms;
use super::doubts::{Doubt, Doubts};
use super::proving::{Pause, Withheld, prove};
use crate::broker::{PublishOutcome, Publisher};
use crate::ids::Generation;
use crate::metrics::{Kind, Metrics};
use crate::shutdown::Shutdown;
use crate::supervisor::Supervisor;
use engines::IncarnationId;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// A publish that takes longer than this part of the publish deadline puts its lane in doubt: long
/// enough for a busy broker, short enough for those who wait to hear of it in time.
const DOUBT_SHARE: u64 = 4;

/// The lanes of one serving thread; cheap to clone.
#[derive(Clone, Debug)]
pub struct Lanes {
    free: Arc<Semaphore>,
    /// Bounds the batches that are under way without a lane.
    asking: Arc<Semaphore>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    count: usize,
    /// How long a publish may take before its lane is in doubt.
    patience: Duration,
    publisher: Arc<dyn Publisher>,
    /// The connection over which something was confirmed last.
    proven: AtomicU64,
    doubts: Doubts,
    confirms: Confirms,
    pause: Arc<Pause>,
    unproven: mpsc::UnboundedSender<Withheld>,
    /// What the log was told.
    is_stalled: AtomicBool,
}

/// A batch's turn; the next one may have it when this is dropped.
#[derive(Debug)]
pub enum Turn {
    /// What is granted can be published.
    Sell(Lane),
    /// The broker is stalled: nothing may be granted.
    Ask {
        /// Held only to be given back.
        _permit: Option<OwnedSemaphorePermit>,
    },
}

/// The right to have one publish under way.
#[derive(Debug)]
pub struct Lane {
    state: Arc<State>,
    permit: Option<OwnedSemaphorePermit>,
    doubt: Option<Doubt>,
    /// It comes back only after a marker was confirmed.
    is_unproven: bool,
}

impl Lanes {
    /// `count` lanes over `publisher`, for publishes that have `publish_timeout_ms`. Markers go, on
    /// the current runtime, into the queue of whatever `identity` says; when one comes back because
    /// nothing leads there any more, `route_is_lost` hears of it. `in_process` counts the lanes in
    /// doubt of the whole process. What proves lanes runs until `asked`; that it has ended before,
    /// the supervisor tells.
    pub fn start(
        count: usize,
        publisher: Arc<dyn Publisher>,
        publish_timeout_ms: u64,
        in_process: Arc<AtomicUsize>,
        identity: impl Fn() -> Option<(IncarnationId, Generation)> + Send + Sync + 'static,
        route_is_lost: impl Fn(IncarnationId, Generation) + Clone + Send + Sync + 'static,
        (supervisor, asked): (&Supervisor, &Shutdown),
    ) -> Self {
        let (unproven, withheld) = mpsc::unbounded_channel();
        let pause = Arc::<Pause>::default();
        let state = Arc::new(State {
            count,
            patience: Duration::from_millis(publish_timeout_ms / DOUBT_SHARE),
            proven: AtomicU64::new(publisher.connection()),
            publisher: publisher.clone(),
            doubts: Doubts::new(in_process),
            confirms: Confirms::new(count),
            pause: pause.clone(),
            unproven,
            is_stalled: AtomicBool::new(false),
        });
        // What proves lanes ends with the last of them, so it must not keep them alive.
        let known = Arc::downgrade(&state);
        let proving = async move {
            let probe = || {
                let (known, publisher) = (known.clone(), publisher.clone());
                let route_is_lost = route_is_lost.clone();
                let target = identity().filter(|_| publisher.is_connected());
                async move {
                    let (incarnation, generation) = target?;
                    let connection = publisher.connection();
                    let outcome = publisher.probe(incarnation, generation).await;
                    match (outcome, known.upgrade()) {
                        (PublishOutcome::Accepted, Some(state)) => {
                            state.proven.store(connection, Ordering::Relaxed);
                        }
                        // exclusive-route (R6): while lanes are withheld nothing else finds it out.
                        (PublishOutcome::Unroutable, _) => route_is_lost(incarnation, generation),
                        _ => {}
                    }
                    Some(outcome)
                }
            };
            prove(withheld, &pause, probe).await;
            anyhow::Ok(())
        };
        let (supervisor, asked) = (supervisor.clone(), asked.clone());
        tokio::spawn(supervisor.task("the proving of lanes".to_owned(), asked, proving));
        Self {
            free: Arc::new(Semaphore::new(count)),
            asking: Arc::new(Semaphore::new(count)),
            state,
        }
    }

    /// Waits for a lane, or until all of them are in doubt.
    pub async fn turn(&self) -> Turn {
        if let Some(lane) = self.lane().await {
            return Turn::Sell(lane);
        }
        let permit = self.asking.clone().acquire_owned().await;
        Turn::Ask {
            _permit: permit.ok(),
        }
    }

    /// What `turn` is worth by now: lanes may have come back, or lost their connection, while its
    /// requests were waited for.
    pub async fn renewed(&self, turn: Turn) -> Turn {
        match turn {
            Turn::Sell(lane) if lane.is_of_this_connection() => Turn::Sell(lane),
            Turn::Sell(lane) => {
                lane.withhold();
                self.turn().await
            }
            Turn::Ask { .. } => self.free_lane().map_or(turn, Turn::Sell),
        }
    }

    /// How much of the time from `from` to `to` every lane waited for a confirm.
    pub fn all_confirming(&self, from: Instant, to: Instant) -> Duration {
        self.state.confirms.all_within(from, to)
    }

    /// Registers how many there are of each kind.
    pub fn register(&self, metrics: &Metrics) {
        // What proves lanes ends with the last of them.
        let (state, free) = (Arc::downgrade(&self.state), Arc::downgrade(&self.free));
        let help = "Nothing under way, waiting for a confirm, or for a marker";
        metrics.register(Kind::Gauge, "seckill_lanes", help, move |out| {
            let free = free.upgrade().map_or(0, |free| free.available_permits());
            let (waiting, doubtful) = state.upgrade().map_or((0, 0), |state| {
                (state.confirms.waiting(), state.doubts.count())
            });
            out.count(&[("state", "free")], free as u64);
            // One whose confirm is late is both.
            let waiting = waiting.saturating_sub(doubtful);
            out.count(&[("state", "waiting")], waiting as u64);
            out.count(&[("state", "doubtful")], doubtful as u64);
        });
    }

    async fn lane(&self) -> Option<Lane> {
        loop {
            if let Some(lane) = self.free_lane() {
                return Some(lane);
            }
            let permit = tokio::select! {
                biased;
                permit = self.free.clone().acquire_owned() => permit.ok()?,
                () = self.state.doubts.reach(self.state.count) => {
                    self.state.log(true);
                    return None;
                }
            };
            if let Some(lane) = Lane::of_this_connection(&self.state, permit) {
                return Some(lane);
            }
        }
    }

    /// One that need not be waited for.
    fn free_lane(&self) -> Option<Lane> {
        while let Ok(permit) = self.free.clone().try_acquire_owned() {
            let lane = Lane::of_this_connection(&self.state, permit);
            if lane.is_some() {
                return lane;
            }
        }
        None
    }
}

impl State {
    fn log(&self, is_stalled: bool) {
        if self.is_stalled.swap(is_stalled, Ordering::Relaxed) == is_stalled {
            return;
        }
        match is_stalled {
            true => tracing::warn!(
                lanes = self.count,
                "the broker is stalled: nothing is sold until it confirms something"
            ),
            false => tracing::info!("the broker confirms again"),
        }
    }
}

impl Lane {
    /// `None` where the connection is a new one: then the lane is withheld until that has proved
    /// itself.
    fn of_this_connection(state: &Arc<State>, permit: OwnedSemaphorePermit) -> Option<Self> {
        let lane = Self {
            state: state.clone(),
            permit: Some(permit),
            doubt: None,
            is_unproven: false,
        };
        if lane.is_of_this_connection() {
            state.log(false);
            return Some(lane);
        }
        lane.withhold();
        None
    }

    fn is_of_this_connection(&self) -> bool {
        self.state.publisher.connection() == self.state.proven.load(Ordering::Relaxed)
    }

    fn withhold(mut self) {
        self.is_unproven = true;
    }

    /// Waits until `publishing` is resolved. If the caller gives up first, run in a task of its
    /// own, it keeps the lane until then.
    pub async fn carry(
        mut self,
        publishing: impl Future<Output = PublishOutcome>,
    ) -> (PublishOutcome, Self) {
        // What is cut off is not confirmed.
        self.is_unproven = true;
        let mut publishing = pin!(publishing);
        let state = self.state.clone();
        let waiting = state.confirms.wait();
        let outcome = match tokio::time::timeout(state.patience, &mut publishing).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.doubt = Some(Doubt::new(&state.doubts));
                publishing.await
            }
        };
        drop(waiting);
        if outcome == PublishOutcome::Accepted {
            self.is_unproven = false;
            self.doubt = None;
            self.state.pause.end();
        } else {
            self.state.pause.begin();
        }
        (outcome, self)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take().filter(|_| self.is_unproven) else {
            return;
        };
        let doubt = self.doubt.take();
        let doubt = doubt.unwrap_or_else(|| Doubt::new(&self.state.doubts));
        // Nobody proves it any more only where nobody sells any more.
        let _ = self.state.unproven.send(Withheld { permit, doubt });
    }
}
