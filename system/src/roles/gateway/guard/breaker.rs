//! A circuit breaker: a service that fails is left alone for a while, so that its clients get an
//! answer at once and it gets time.
//!
//! *Closed*, all requests go through and answers of the last while are counted. Where too large a
//! share of them are failures it *opens*, and none goes through. After a pause it is *half-open*: one
//! request tries, all others are turned away, and its answer closes or opens it again.

#[cfg(test)]
mod tests;

use super::retry_after::RetryAfter;
use crate::config::BreakerConfig;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Parts of the window, each of which is forgotten as a whole.
const PARTS: u32 = 10;
/// Fewer answers than this say nothing about a share.
const ANSWERS_MIN: u32 = 10;

/// A breaker for each instance of each service, by its address.
#[derive(Debug)]
pub struct Breakers {
    config: BreakerConfig,
    /// No more than are configured.
    by_url: Mutex<BTreeMap<String, Arc<Breaker>>>,
}

impl Breakers {
    /// None yet.
    pub fn new(config: &BreakerConfig) -> Arc<Self> {
        Arc::new(Self {
            config: config.clone(),
            by_url: Mutex::default(),
        })
    }

    /// The one of the instance at `url`, the same for all who ask it.
    pub fn of(&self, url: &str) -> Arc<Breaker> {
        let new = || Breaker::new(url, &self.config, Instant::now);
        let mut by_url = self.lock();
        by_url.entry(url.to_owned()).or_insert_with(new).clone()
    }

    /// What each does now, by the address of its instance.
    #[cfg(test)]
    pub fn states(&self) -> Vec<(String, State)> {
        let state = |(url, breaker): (&String, &Arc<Breaker>)| (url.clone(), breaker.state());
        self.lock().iter().map(state).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Breaker>>> {
        self.by_url.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a breaker does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Lets them through.
    Closed,
    /// Lets one through, which is under way.
    HalfOpen,
    /// Lets none through, or, once its pause is over, the next one.
    Open,
}

impl State {
    /// Each, with its name for operators.
    pub const ALL: [(Self, &str); 3] = [
        (Self::Closed, "closed"),
        (Self::HalfOpen, "half_open"),
        (Self::Open, "open"),
    ];
}

/// Of one instance of a service; shared by all who ask it.
pub struct Breaker {
    /// Whose it is, for the log.
    name: String,
    failures_percent: u32,
    part: Duration,
    pause: Duration,
    now: Box<dyn Fn() -> Instant + Send + Sync>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    /// Raised whenever the phase changes: what was asked before does not count any more.
    turn: u64,
    answers: Window,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen,
}

/// A request that went through. Dropped without a word, it says nothing about the service.
#[derive(Debug)]
#[must_use = "say how the request went"]
pub struct Call {
    breaker: Arc<Breaker>,
    turn: u64,
    is_over: bool,
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl Breaker {
    /// As configured, closed, by this clock.
    pub fn new(
        name: &str,
        config: &BreakerConfig,
        now: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> Arc<Self> {
        let inner = Inner {
            phase: Phase::Closed,
            turn: 0,
            answers: Window::at(now()),
        };
        Arc::new(Self {
            name: name.to_owned(),
            failures_percent: config.failures_percent,
            part: Duration::from_millis(config.window_ms) / PARTS,
            pause: Duration::from_millis(config.open_ms),
            now: Box::new(now),
            inner: Mutex::new(inner),
        })
    }

    /// Lets a request through, or says when one may be.
    pub fn call(self: &Arc<Self>) -> Result<Call, RetryAfter> {
        let mut inner = self.lock();
        match inner.phase {
            Phase::Closed => {}
            // Nobody knows how long the one takes that tries.
            Phase::HalfOpen => return Err(RetryAfter::wait(self.pause)),
            Phase::Open { until } => {
                let now = (self.now)();
                if now < until {
                    return Err(RetryAfter::wait(until - now));
                }
                inner.enter(Phase::HalfOpen);
            }
        }
        Ok(Call {
            breaker: self.clone(),
            turn: inner.turn,
            is_over: false,
        })
    }

    /// What it does now, for metrics.
    pub fn state(&self) -> State {
        match self.lock().phase {
            Phase::Closed => State::Closed,
            Phase::HalfOpen => State::HalfOpen,
            Phase::Open { .. } => State::Open,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a request of this turn went; `None`: nobody knows.
    fn told(&self, turn: u64, is_failure: Option<bool>) {
        let mut inner = self.lock();
        if inner.turn != turn {
            return;
        }
        let now = (self.now)();
        match (inner.phase, is_failure) {
            (Phase::Closed, Some(is_failure)) => {
                inner.answers.count(now, self.part, is_failure);
                if is_failure && inner.answers.is_bad(self.failures_percent) {
                    let until = now + self.pause;
                    inner.enter(Phase::Open { until });
                    tracing::warn!(service = self.name, "fails too often; left alone");
                }
            }
            (Phase::HalfOpen, Some(false)) => {
                tracing::info!(service = self.name, "answers again");
                inner.answers = Window::at(now);
                inner.enter(Phase::Closed);
            }
            (Phase::HalfOpen, Some(true)) => {
                let until = now + self.pause;
                inner.enter(Phase::Open { until });
            }
            // Whoever tried has gone; the next one tries.
            (Phase::HalfOpen, None) => inner.enter(Phase::Open { until: now }),
            (Phase::Closed, None) | (Phase::Open { .. }, _) => {}
        }
    }
}

impl Inner {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.turn += 1;
    }
}

impl Call {
    /// The service answered; a refusal is an answer.
    pub fn answered(self) {
        self.end(Some(false));
    }

    /// The service could not be reached, did not answer in time, or failed.
    pub fn failed(self) {
        self.end(Some(true));
    }

    fn end(mut self, is_failure: Option<bool>) {
        self.is_over = true;
        self.breaker.told(self.turn, is_failure);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_over {
            self.breaker.told(self.turn, None);
        }
    }
}

/// Answers of the last while, in parts of equal length.
#[derive(Debug)]
struct Window {
    /// `(all, failures)`
    parts: [(u32, u32); PARTS as usize],
    /// The one that is being filled, and when it was begun.
    current: usize,
    begun: Instant,
}

impl Window {
    fn at(now: Instant) -> Self {
        Self {
            parts: [(0, 0); PARTS as usize],
            current: 0,
            begun: now,
        }
    }

    fn count(&mut self, now: Instant, part: Duration, is_failure: bool) {
        if now.saturating_duration_since(self.begun) >= part * PARTS {
            *self = Self::at(now);
        }
        while now.saturating_duration_since(self.begun) >= part {
            self.begun += part;
            self.current = (self.current + 1) % self.parts.len();
            self.parts[self.current] = (0, 0);
        }
        let (all, failures) = &mut self.parts[self.current];
        *all = all.saturating_add(1);
        *failures = failures.saturating_add(u32::from(is_failure));
    }

    /// Whether at least this share are failures.
    fn is_bad(&self, percent: u32) -> bool {
        let sum = |of: fn(&(u32, u32)) -> u32| self.parts.iter().map(|it| u64::from(of(it))).sum();
        let (all, failures): (u64, u64) = (sum(|it| it.0), sum(|it| it.1));
        all >= u64::from(ANSWERS_MIN) && failures * 100 >= all * u64::from(percent)
    }
}
