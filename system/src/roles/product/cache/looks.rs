//! One look into the database for everybody who asks meanwhile, and the answer for whoever asks soon
//! after.
//!
//! Whoever asks for what is not known waits for the next look, which is for all that is asked for by
//! then: however many ask, there is one look at a time, and never two for the same thing. What is not
//! there is known as well as what is.

mod counts;

use super::recent::Recent;
use crate::metrics::Metrics;
use counts::{Counts, Read};
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// Askers that wait at the same time; more are turned away.
const WAITING_MAX: usize = 20_000;
/// Longest wait of one of them.
const WAIT_MAX: Duration = Duration::from_secs(3);
/// Most keys of one look.
const KEYS_MAX: usize = 1_024;
/// What an entry weighs beside its value, bytes, roughly.
const ENTRY_BYTES: usize = 128;

/// What was seen, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<V> {
    /// `None`: it is not there.
    pub value: Option<V>,
    /// It was so then, or is so since.
    pub at: Instant,
}

/// Why nobody can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// [`WAITING_MAX`] others wait.
    Crowded,
    /// No look came in time.
    TooLate,
    /// The database said this.
    Away(String),
}

type Answer<V> = Result<Seen<V>, Unseen>;

/// Answers whoever asks for a `K`; cheap to clone.
#[derive(Debug)]
pub struct Looks<K, V> {
    inner: Arc<Inner<K, V>>,
}

impl<K, V> Clone for Looks<K, V> {
    fn clone(&self) -> Self {
        let inner = self.inner.clone();
        Self { inner }
    }
}

#[derive(Debug)]
struct Inner<K, V> {
    state: Mutex<State<K, V>>,
    wanted: Notify,
    /// What was seen longer ago is looked at again.
    age_max: Duration,
    /// What a value weighs, bytes.
    weigh: fn(&V) -> usize,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct State<K, V> {
    seen: Recent<K, Seen<V>>,
    /// Who waits for what, in the order in which it was asked for first; a key is in both or in
    /// neither, unless a look for it is under way: then it is in `waiting` only.
    waiting: HashMap<K, Vec<oneshot::Sender<Answer<V>>>>,
    order: VecDeque<K>,
    askers: usize,
    /// Nothing that was seen is believed beyond it without another look; `None`: its age decides.
    trusted_until: Option<Instant>,
    /// One more whenever everything is forgotten.
    forgotten: u64,
}

/// A look to take: what it is for.
#[derive(Debug)]
pub struct Look<K> {
    pub keys: Vec<K>,
    at: Instant,
    forgotten: u64,
}

impl<K: Copy + Eq + Hash, V: Clone> Looks<K, V> {
    /// Remembers at most so much for at most so long.
    pub fn new(bytes_max: usize, age_max: Duration, weigh: fn(&V) -> usize) -> Self {
        let state = State {
            seen: Recent::new(bytes_max),
            waiting: HashMap::new(),
            order: VecDeque::new(),
            askers: 0,
            trusted_until: None,
            forgotten: 0,
        };
        let inner = Inner {
            state: Mutex::new(state),
            wanted: Notify::new(),
            age_max,
            weigh,
            counts: Arc::default(),
        };
        let inner = Arc::new(inner);
        Self { inner }
    }

    /// What is known of `key`, if that is fresh, or what the next look says. Where the database is
    /// away it is what was known last, if anything was.
    pub async fn get(&self, key: K) -> Answer<V> {
        let answer = {
            let mut state = self.state();
            let counts = &self.inner.counts;
            if let Some(seen) = self.fresh(&mut state, key) {
                counts.read(match seen.value {
                    Some(_) => Read::Hit,
                    None => Read::Absent,
                });
                return Ok(seen);
            }
            if state.askers >= WAITING_MAX {
                counts.read(Read::TurnedAway);
                return Err(Unseen::Crowded);
            }
            counts.read(match state.waiting.contains_key(&key) {
                true => Read::Joined,
                false => Read::Missed,
            });
            state.wait(key)
        };
        self.inner.wanted.notify_one();
        match tokio::time::timeout(WAIT_MAX, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(Unseen::TooLate),
        }
    }

    /// Waits until somebody has asked for what is not known.
    pub async fn wanted(&self) {
        self.inner.wanted.notified().await;
    }

    /// The next look, which is taken from now on; `None`: nobody waits. There must not be two at a
    /// time.
    pub fn next(&self) -> Option<Look<K>> {
        let mut state = self.state();
        let count = state.order.len().min(KEYS_MAX);
        let keys: Vec<K> = state.order.drain(..count).collect();
        (count > 0).then(|| Look {
            keys,
            at: Instant::now(),
            forgotten: state.forgotten,
        })
    }

    /// What it saw: those of its keys that are there, or why nobody can say.
    pub fn done(&self, look: Look<K>, found: Result<HashMap<K, V>, String>) {
        let mut state = self.state();
        if state.forgotten != look.forgotten {
            // Everything was forgotten meanwhile, and this may be of before.
            state.order.extend(look.keys);
            self.inner.wanted.notify_one();
            return;
        }
        let (at, weigh) = (look.at, self.inner.weigh);
        let mut found = found;
        for key in look.keys {
            let answer = match &mut found {
                Ok(found) => {
                    let value = found.remove(&key);
                    let weight = ENTRY_BYTES + value.as_ref().map_or(0, weigh);
                    let seen = Seen { value, at };
                    state.seen.put(key, seen.clone(), weight);
                    Ok(seen)
                }
                Err(why) => {
                    let known = state.seen.get(key).cloned();
                    known.ok_or_else(|| Unseen::Away(why.clone()))
                }
            };
            state.answer(key, &answer);
        }
        self.inner.counts.hold(state.seen.len());
        if !state.order.is_empty() {
            self.inner.wanted.notify_one();
        }
    }

    /// Forgets `key` if what is known of it `is_old`. What a look under way sees is kept: call it
    /// between looks.
    pub fn forget(&self, key: K, is_old: impl FnOnce(&Seen<V>) -> bool) {
        let mut state = self.state();
        if state.seen.get(key).is_some_and(is_old) {
            state.seen.remove(key);
            self.inner.counts.forgot(1);
        }
        self.inner.counts.hold(state.seen.len());
    }

    /// Forgets everything, also what a look under way is about to see.
    pub fn forget_all(&self) {
        let mut state = self.state();
        self.inner.counts.forgot(state.seen.len());
        self.inner.counts.hold(0);
        state.seen.clear();
        state.forgotten += 1;
    }

    /// Somebody makes sure until then that what is known is still so.
    pub fn trust_until(&self, until: Instant) {
        self.state().trusted_until = Some(until);
    }

    /// Registers what is counted here, under this name.
    pub fn observe(&self, metrics: &Metrics, kind: &'static str) {
        self.inner.counts.register(metrics, kind);
    }

    fn fresh(&self, state: &mut State<K, V>, key: K) -> Option<Seen<V>> {
        let now = Instant::now();
        let is_trusted = state.trusted_until.is_none_or(|until| now < until);
        let seen = state.seen.get(key)?;
        let is_fresh = is_trusted && now.saturating_duration_since(seen.at) < self.inner.age_max;
        is_fresh.then(|| seen.clone())
    }

    fn state(&self) -> MutexGuard<'_, State<K, V>> {
        let state = self.inner.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash, V: Clone> State<K, V> {
    fn wait(&mut self, key: K) -> oneshot::Receiver<Answer<V>> {
        let (sender, answer) = oneshot::channel();
        let waiting = self.waiting.entry(key).or_default();
        if waiting.is_empty() {
            self.order.push_back(key);
        }
        waiting.push(sender);
        self.askers += 1;
        answer
    }

    fn answer(&mut self, key: K, answer: &Answer<V>) {
        for asker in self.waiting.remove(&key).unwrap_or_default() {
            self.askers -= 1;
            // Whoever has given up hears nothing.
            let _ = asker.send(answer.clone());
        }
    }
}

#[cfg(test)]
mod tests;
