//! Which create-consumers live, this one among them, and so which queues are this one's.
//!
//! Each has a row in `consumers`, which it makes beat. Whether another one lives is judged by the
//! changes of its `beats` on this process's own monotonic clock, because clocks step. Who was here
//! before counts only once they were seen to beat: what a killed one left behind keeps nobody waiting
//! who starts in its place. Who comes later is news, and counts at once.
//!
//! Nothing but evenness rests on this. Two consumers may each take themselves for the owner of a
//! queue; then the broker lets one of them wait (one-consumer-per-queue, R4). Nobody leaves a queue to
//! somebody whom they cannot see, and whoever cannot read the table keeps what they have.

mod sights;

use super::share;
use crate::config::MqConfig;
use crate::ids::ConsumerId;
use crate::shutdown::Shutdown;
use crate::store::Store;
use anyhow::Context;
use engines::IncarnationId;
use sights::Sights;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// What these consumers are called in the table.
const KIND: &str = "create-consumer";
/// How often it is looked who lives.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Longest wait for the own row to go; others will find it silent.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest list of queues that the table holds, bytes.
const QUEUES_MAX: usize = 128;

/// This consumer among the others. Dropped, it leaves them in the background.
#[derive(Debug)]
pub struct Membership {
    stop: watch::Sender<bool>,
    view: watch::Receiver<View>,
    queues: watch::Sender<Vec<IncarnationId>>,
    task: JoinHandle<()>,
}

/// Who lives, as far as this consumer knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct View {
    /// `None` while this one could not write its row yet.
    own: Option<ConsumerId>,
    /// Ascending, with this one.
    live: Vec<ConsumerId>,
}

impl Membership {
    /// Joins the others, in a task on the current runtime.
    pub fn start(store: Store, config: &MqConfig) -> Self {
        let (stop, stopped) = Shutdown::channel();
        let (queues, consumed) = watch::channel(Vec::new());
        let (sender, view) = watch::channel(View::default());
        let member = Member {
            store,
            sights: Sights::new(Duration::from_millis(config.consumer_lease_ms)),
            own: None,
            consumed,
            view: sender,
        };
        let heartbeat = Duration::from_millis(config.consumer_heartbeat_ms);
        let task = tokio::spawn(member.run(heartbeat, stopped));
        Self {
            stop,
            view,
            queues,
            task,
        }
    }

    /// Those of `queues`, ascending, that this consumer has to consume. All of them until it has a
    /// row: others cannot know of it yet, and what is theirs they have.
    pub fn share_of(&mut self, queues: &[IncarnationId]) -> Vec<IncarnationId> {
        let view = self.view.borrow_and_update();
        match view.own {
            Some(own) => share::of(own, &view.live, queues),
            None => queues.to_vec(),
        }
    }

    /// Waits until somebody has come or gone since the last [`Self::share_of`].
    ///
    /// # Errors
    /// When this consumer does not beat any more: others take its queues, and it must not go on as if
    /// it were one of them.
    pub async fn changed(&mut self) -> anyhow::Result<()> {
        let changed = self.view.changed().await;
        changed.context("the consumer's heartbeats ended without having been asked to")
    }

    /// Says what this consumer consumes; the table shows it with the next heartbeat.
    pub fn consumes(&self, mut queues: Vec<IncarnationId>) {
        queues.sort_unstable();
        self.queues.send_replace(queues);
    }

    /// Takes the own row away, so that others take over at once.
    pub async fn leave(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the heartbeats ended badly");
        }
    }
}

/// What the task of a [`Membership`] works with.
struct Member {
    store: Store,
    sights: Sights,
    own: Option<ConsumerId>,
    consumed: watch::Receiver<Vec<IncarnationId>>,
    view: watch::Sender<View>,
}

impl Member {
    async fn run(mut self, heartbeat: Duration, stopped: Shutdown) {
        let every = |period| {
            let mut interval = tokio::time::interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        // The first of both is due at once.
        let (mut beats, mut looks) = (every(heartbeat), every(LOOK_INTERVAL.min(heartbeat)));
        loop {
            tokio::select! {
                biased;
                () = stopped.requested() => break,
                _ = beats.tick() => self.beat().await,
                _ = looks.tick() => self.look().await,
            }
        }
        let Some(own) = self.own else { return };
        match tokio::time::timeout(LEAVE_TIMEOUT, self.store.leave_consumers(own)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "could not leave the other consumers"),
            Err(_) => tracing::warn!(?LEAVE_TIMEOUT, "no time to leave the other consumers"),
        }
    }

    /// Who was taken for dead comes back as who they were, and has the same share again: what others
    /// took up meanwhile waits at the broker, and has not moved.
    async fn beat(&mut self) {
        let queues = listed(&self.consumed.borrow());
        let beaten = match self.own {
            None => match self.store.join_consumers(KIND, &queues).await {
                Ok(own) => {
                    self.own = Some(own);
                    self.publish();
                    Ok(())
                }
                Err(error) => Err(error),
            },
            Some(own) => match self.store.beat_of_consumer(own, &queues).await {
                Ok(true) => Ok(()),
                Ok(false) => {
                    tracing::warn!(consumer = own.0, "was taken for dead");
                    self.store.rejoin_consumers(own, KIND, &queues).await
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = beaten {
            tracing::warn!(%error, "the consumer's heartbeat failed");
        }
    }

    async fn look(&mut self) {
        match self.store.consumers(KIND).await {
            Ok(lives) => self.sights.update(lives, Instant::now()),
            Err(error) => {
                tracing::warn!(%error, "cannot look for other consumers");
                self.sights.missed();
                return;
            }
        }
        for life in self.sights.silent(Instant::now()) {
            if Some(life.id) == self.own {
                continue;
            }
            match self.store.forget_consumer(life).await {
                Ok(true) => tracing::info!(consumer = life.id.0, "a consumer has fallen silent"),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "cannot forget a silent consumer"),
            }
        }
        self.publish();
    }

    fn publish(&self) {
        let mut live = self.sights.live(Instant::now());
        if let Some(own) = self.own
            && let Err(place) = live.binary_search(&own)
        {
            live.insert(place, own);
        }
        let view = View {
            own: self.own,
            live,
        };
        self.view.send_if_modified(|known| {
            let is_new = *known != view;
            if is_new {
                tracing::info!(own = ?view.own, live = ?view.live, "consumers share out the queues");
                *known = view;
            }
            is_new
        });
    }
}

/// The queues for the table, as many as it has room for.
fn listed(queues: &[IncarnationId]) -> String {
    const MORE: &str = " …";
    let mut list = String::new();
    for queue in queues {
        let next = format!("{}{queue}", if list.is_empty() { "" } else { " " });
        if list.len() + next.len() + MORE.len() > QUEUES_MAX {
            return list + MORE;
        }
        list.push_str(&next);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DatabaseConfig;
    use engines::Registry;

    /// A consumer that beats no more loses its queues to others, and would never hear of new ones.
    #[tokio::test]
    async fn that_the_heartbeats_have_ended_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let config = DatabaseConfig {
            url: format!("sqlite://{}", folder.path().join("a.db").display()),
            ..DatabaseConfig::default()
        };
        let store = Store::migrate(&config, &Registry::standard()).await;
        let mut membership = Membership::start(store.unwrap(), &MqConfig::default());
        membership.task.abort();
        let told = async { while membership.changed().await.is_ok() {} };
        let told = tokio::time::timeout(Duration::from_secs(20), told).await;
        told.expect("whoever waits for changes hears of it");
    }

    #[test]
    fn the_table_shows_as_many_queues_as_it_has_room_for() {
        let queues = |count: i64| (1..=count).map(IncarnationId).collect::<Vec<_>>();
        assert_eq!(listed(&[]), "");
        assert_eq!(listed(&queues(3)), "1 2 3");
        let many = listed(&queues(1_000));
        assert!(
            many.starts_with("1 2 3 ") && many.ends_with(" 44 …"),
            "{many}"
        );
        assert!(many.len() <= QUEUES_MAX);
    }
}
