//! Who lives: every publisher's heartbeats, watched on this reconciler's own monotonic clock.
//!
//! fence-wait (R1): no clock of another machine is believed, because clocks step. A heartbeat
//! counts from when its number was first read here, which is later than when it was sent; so
//! whatever has not beaten for a lease and the margin *since then* has surely lost its lease. A new
//! reconciler knows nobody silent.

use crate::ids::Generation;
use crate::store::{Life, Store};
use engines::IncarnationId;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// How often the heartbeats are read beside the passes. So much later than it came, at most, a
/// heartbeat seems to have come.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Watches in a task of its own until it is dropped, because a pass may wait long for something
/// else.
#[derive(Debug)]
pub struct Watch {
    store: Store,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins to watch. A lease counts as over only `margin_ms` after its end.
    pub fn start(store: Store, margin_ms: u64) -> Self {
        let seen = Arc::new(Mutex::new(Seen::new(Duration::from_millis(margin_ms))));
        let task = tokio::spawn(keep_looking(store.clone(), seen.clone()));
        Self { store, seen, task }
    }

    /// What is seen now; a look begun after this was called is in it.
    async fn look(&self) -> database::Result<tokio::sync::MutexGuard<'_, Seen>> {
        let mut seen = self.seen.lock().await;
        look(&self.store, &mut seen).await?;
        Ok(seen)
    }

    /// Publishers whose lease may run, ascending.
    pub async fn live(&self) -> database::Result<Vec<IncarnationId>> {
        let seen = self.look().await?;
        Ok(seen.live(Instant::now()))
    }

    /// Incarnations whose lease has surely run out and that nobody has fenced for sure.
    pub async fn silent(&self) -> database::Result<Vec<Life>> {
        let seen = self.look().await?;
        Ok(seen.silent(Instant::now()))
    }

    /// Publishers that count as live although none of their heartbeats was ever seen to come: each
    /// will either beat or be fenced.
    pub async fn never_heard(&self) -> database::Result<u64> {
        let seen = self.look().await?;
        let count = seen.of.values().filter(|sight| sight.is_unheard()).count();
        Ok(count as u64)
    }

    /// Whether `id` can no longer say yes under any generation before `generation`, the raising to
    /// which was committed at `raised`.
    pub async fn is_fenced(
        &self,
        id: IncarnationId,
        generation: Generation,
        raised: Instant,
    ) -> database::Result<bool> {
        let seen = self.look().await?;
        Ok(seen.is_fenced(id, generation, raised, Instant::now()))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_looking(store: Store, seen: Arc<Mutex<Seen>>) {
    loop {
        let mut seen_now = seen.lock().await;
        if let Err(error) = look(&store, &mut seen_now).await {
            tracing::debug!(%error, "the heartbeats were not read");
        }
        drop(seen_now);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Looks are made one after the other, so none takes back what a later one saw.
async fn look(store: &Store, seen: &mut Seen) -> database::Result<()> {
    let begun = Instant::now();
    let lives = store.lives().await?;
    seen.update(lives, begun, Instant::now());
    Ok(())
}

/// What the looks so far have shown.
#[derive(Debug)]
struct Seen {
    margin: Duration,
    of: HashMap<IncarnationId, Sight>,
    /// When the last look was over.
    last: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Sight {
    life: Life,
    /// End of the look that first showed these `beats`.
    since: Instant,
    /// Whether `beats` was ever seen to change.
    was_heard: bool,
}

impl Sight {
    fn lease(&self) -> Duration {
        Duration::from_millis(self.life.lease_ms)
    }

    fn is_unheard(&self) -> bool {
        self.life.is_live && !self.was_heard
    }
}

impl Seen {
    fn new(margin: Duration) -> Self {
        Self {
            margin,
            of: HashMap::new(),
            last: None,
        }
    }

    fn update(&mut self, lives: Vec<Life>, begun: Instant, ended: Instant) {
        let before = std::mem::take(&mut self.of);
        for life in lives {
            let fresh = Sight {
                life,
                since: ended,
                was_heard: false,
            };
            let sight = match before.get(&life.id) {
                None => fresh,
                Some(known) if known.life.beats != life.beats => Sight {
                    was_heard: true,
                    ..fresh
                },
                // The database was out of reach for a whole lease, or this process was frozen: who
                // could not beat in that time is not dead, so their silence counts from now on.
                Some(known) if self.was_blind(begun, known.lease()) => Sight {
                    was_heard: known.was_heard,
                    ..fresh
                },
                Some(known) => Sight { life, ..*known },
            };
            self.of.insert(life.id, sight);
        }
        self.last = Some(ended);
    }

    fn was_blind(&self, begun: Instant, lease: Duration) -> bool {
        self.last.is_some_and(|last| begun - last >= lease)
    }

    fn live(&self, now: Instant) -> Vec<IncarnationId> {
        let live = self.of.values().filter(|sight| {
            let may_run = now - sight.since < sight.lease();
            sight.life.is_live && sight.life.has_queue && may_run
        });
        let mut live: Vec<_> = live.map(|sight| sight.life.id).collect();
        live.sort_unstable();
        live
    }

    fn silent(&self, now: Instant) -> Vec<Life> {
        let is_over = |sight: &&Sight| now - sight.since >= sight.lease() + self.margin;
        let silent = self.of.values().filter(is_over).map(|sight| sight.life);
        // Whoever is fenced for good and has acknowledged it is waited for no more.
        silent
            .filter(|life| life.is_live || life.acknowledged < life.generation)
            .collect()
    }

    /// Needs a look begun after the raising. No heartbeat under an earlier generation succeeds
    /// after it, so the last one is at least as old as the raising, and as the look that first
    /// showed it.
    fn is_fenced(
        &self,
        id: IncarnationId,
        generation: Generation,
        raised: Instant,
        now: Instant,
    ) -> bool {
        let Some(sight) = self.of.get(&id) else {
            return true;
        };
        let is_over = now - sight.since.min(raised) >= sight.lease() + self.margin;
        sight.life.acknowledged >= generation || is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DatabaseConfig;
    use crate::ids::WorkerId;
    use crate::store::Publisher;
    use engines::Registry;

    const LEASE: Duration = Duration::from_millis(3_000);
    const MARGIN: Duration = Duration::from_millis(500);
    const LOOK: Duration = Duration::from_millis(50);
    const ONE: IncarnationId = IncarnationId(1);

    fn life(beats: i64) -> Life {
        Life {
            id: ONE,
            generation: Generation(1),
            acknowledged: Generation(1),
            is_live: true,
            has_queue: true,
            beats,
            lease_ms: 3_000,
        }
    }

    /// Looks at the same row again and again, until `after` the time `at`.
    fn watched(seen: &mut Seen, life: Life, at: Instant, after: Duration) -> Instant {
        let mut now = at;
        while now < at + after {
            now = (now + LOOK).min(at + after);
            seen.update(vec![life], now, now);
        }
        now
    }

    #[test]
    fn nobody_is_silent_before_they_were_watched_for_a_lease_and_the_margin() {
        let (mut seen, start) = (Seen::new(MARGIN), Instant::now());
        seen.update(vec![life(7)], start, start);
        let now = watched(&mut seen, life(7), start, LEASE - LOOK);
        assert_eq!((seen.live(now), seen.silent(now)), (vec![ONE], Vec::new()));
        let now = watched(&mut seen, life(7), now, LOOK);
        assert_eq!((seen.live(now), seen.silent(now)), (Vec::new(), Vec::new()));
        let now = watched(&mut seen, life(7), now, MARGIN);
        assert_eq!(seen.silent(now), [life(7)]);
        let now = watched(&mut seen, life(8), now, LOOK);
        assert_eq!((seen.live(now), seen.silent(now)), (vec![ONE], Vec::new()));
    }

    #[test]
    fn a_time_without_a_look_makes_nobody_silent() {
        let (mut seen, start) = (Seen::new(MARGIN), Instant::now());
        seen.update(vec![life(7)], start, start);
        let hour = start + Duration::from_secs(3_600);
        seen.update(vec![life(7)], hour, hour);
        assert_eq!(
            (seen.live(hour), seen.silent(hour)),
            (vec![ONE], Vec::new())
        );
        let now = watched(&mut seen, life(7), hour, LEASE + MARGIN);
        assert_eq!(seen.silent(now), [life(7)]);
    }

    #[test]
    fn a_fence_is_waited_for_from_the_raising_or_from_the_last_heartbeat_before_it() {
        let raised_to = Generation(2);
        let fenced = Life {
            generation: raised_to,
            ..life(8)
        };
        // It beat just before the raising, and nobody had seen that before.
        let (mut seen, start) = (Seen::new(MARGIN), Instant::now());
        seen.update(vec![life(7)], start, start);
        let raised = watched(&mut seen, life(7), start, LEASE);
        let now = watched(&mut seen, fenced, raised, LEASE + MARGIN - LOOK);
        assert!(!seen.is_fenced(ONE, raised_to, raised, now));
        let now = watched(&mut seen, fenced, now, LOOK);
        assert!(seen.is_fenced(ONE, raised_to, raised, now));
        // It had been silent for a lease when it was raised.
        let (mut seen, start) = (Seen::new(MARGIN), Instant::now());
        seen.update(vec![life(8)], start, start);
        let raised = watched(&mut seen, life(8), start, LEASE);
        let now = watched(&mut seen, fenced, raised, MARGIN - LOOK);
        assert!(!seen.is_fenced(ONE, raised_to, raised, now));
        let now = watched(&mut seen, fenced, now, LOOK);
        assert!(seen.is_fenced(ONE, raised_to, raised, now));
        // It says so itself.
        let acknowledged = Life {
            acknowledged: raised_to,
            ..fenced
        };
        let (mut seen, start) = (Seen::new(MARGIN), Instant::now());
        seen.update(vec![acknowledged], start, start);
        assert!(seen.is_fenced(ONE, raised_to, start, start));
    }

    /// As if the database's clock had made a step by an hour the other way.
    async fn shift(url: &str, by_ms: i64) {
        let limits = database::PoolLimits {
            connections_max: 1,
            statement_max: Duration::from_secs(30),
            acquire_max: Duration::from_secs(5),
            lock_wait_max: None,
            idle_transaction_max: None,
        };
        let database = database::Database::open(url, &limits).unwrap();
        let shift = "UPDATE incarnations SET heartbeat_at_ms = heartbeat_at_ms + ?";
        database.run(shift, [by_ms]).await.unwrap();
    }

    /// A living publisher is not silent after a step forward, a dead one is after a step back.
    async fn a_step_of_the_databases_clock_changes_nothing(url: String) {
        const HOUR_MS: i64 = 3_600_000;
        const PATIENCE: Duration = Duration::from_secs(20);
        let config = DatabaseConfig {
            url: url.clone(),
            ..DatabaseConfig::default()
        };
        let store = Store::migrate(&config, &Registry::standard()).await;
        let store = store.unwrap();
        let publisher = Publisher {
            lease_ms: 1_500,
            deadline_ms: 100,
            address: String::new(),
            label: String::new(),
        };
        let id = store.register(WorkerId(1), &publisher, 0).await;
        let id = id.unwrap().expect("nobody else is there");
        let first = Generation::FIRST;
        assert!(store.confirm_binding(id, first, "q").await.unwrap());
        shift(&url, -HOUR_MS).await;
        let watch = Watch::start(store.clone(), 200);
        assert!(watch.silent().await.unwrap().is_empty());
        assert_eq!(watch.never_heard().await.unwrap(), 1);
        assert!(store.heartbeat(id, first, 0).await.unwrap());
        assert_eq!(watch.live().await.unwrap(), [id]);
        assert_eq!(watch.never_heard().await.unwrap(), 0);
        shift(&url, HOUR_MS).await;
        let begun = Instant::now();
        let silent = loop {
            match watch.silent().await.unwrap().as_slice() {
                [silent] => break *silent,
                _ => assert!(begun.elapsed() < PATIENCE, "it counts as living"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        assert!(watch.live().await.unwrap().is_empty());
        assert!(store.fence_silent(&silent).await.unwrap());
        assert_eq!(store.fenced_for_sure(9).await.unwrap()[0].id, id);
        assert!(watch.silent().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_step_of_the_clock_changes_nothing_on_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("a.db").display());
        a_step_of_the_databases_clock_changes_nothing(url).await;
    }

    #[tokio::test]
    async fn a_step_of_the_clock_changes_nothing_on_a_server() {
        let Some(server) = servers::DatabaseServer::start().await else {
            return;
        };
        a_step_of_the_databases_clock_changes_nothing(server.create_database().await).await;
    }
}
