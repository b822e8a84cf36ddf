//! What the checks run on: a way to reach the engine, fresh ids, one seed, and failures as text.

use crate::{EngineError, Result, StockEngine};
use rand::{SeedableRng, rngs::SmallRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Environment variable that repeats a run.
const SEED_VARIABLE: &str = "CONFORMANCE_SEED";
/// Environment variable for longer runs of the model test.
const CASES_VARIABLE: &str = "CONFORMANCE_CASES";
/// Cases of the model test in an ordinary run.
const CASES_DEFAULT: u32 = 40;

/// The engine under test.
#[async_trait::async_trait]
pub trait Subject: Send + Sync {
    /// A client of its own, as a separate process would have.
    async fn connect(&self) -> Result<Arc<dyn StockEngine>>;

    /// The ways in which the server behind the engine can be lost, by name.
    fn losses(&self) -> Vec<String> {
        Vec::new()
    }

    /// Loses the server in one of these ways, and lets it answer again.
    async fn lose(&self, how: &str) -> std::result::Result<(), String> {
        Err(format!("cannot lose a server by {how:?}"))
    }

    /// Lets the server behind the engine forget what it acknowledged (no log, an eviction policy, no
    /// flush at a commit), or, with `false`, no longer. `false` as the answer: there is no server
    /// that could. An engine that keeps stock is held to refusing
    /// such a server.
    async fn let_forget(&self, _may_forget: bool) -> std::result::Result<bool, String> {
        Err("the subject says neither how its server may forget nor that it cannot".to_owned())
    }
}

/// Why a check failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// Result of a check.
pub type Outcome = std::result::Result<(), Failure>;

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self(error.to_string())
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Fails with `what` unless `is_so`.
pub(super) fn ensure(is_so: bool, what: impl FnOnce() -> String) -> Outcome {
    if is_so { Ok(()) } else { Err(Failure(what())) }
}

/// Characters of a value that a failure shows.
const SHOWN_MAX: usize = 400;

/// Fails unless both are equal, naming what was compared.
pub(super) fn equal<T: PartialEq + std::fmt::Debug>(actual: T, expected: T, what: &str) -> Outcome {
    let shown = |value: &T| {
        let text = format!("{value:?}");
        let cut = text
            .char_indices()
            .nth(SHOWN_MAX)
            .map(|(at, _)| format!("{}… ({} bytes)", &text[..at], text.len()));
        cut.unwrap_or(text)
    };
    ensure(actual == expected, || {
        format!(
            "{what}: expected {}, got {}",
            shown(&expected),
            shown(&actual)
        )
    })
}

/// The engine under test with everything a check needs.
pub struct Harness {
    subject: Box<dyn Subject>,
    seed: u64,
    cases: u32,
    next_id: AtomicI64,
}

impl std::fmt::Debug for Harness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Harness")
            .field("seed", &self.seed)
            .field("cases", &self.cases)
            .finish_non_exhaustive()
    }
}

impl Harness {
    /// A harness with a random seed, or that of the environment variable `CONFORMANCE_SEED`.
    pub fn new(subject: impl Subject + 'static) -> Self {
        let number = |name: &str| {
            std::env::var(name)
                .ok()
                .and_then(|text| text.parse::<u64>().ok())
        };
        let seed = number(SEED_VARIABLE).unwrap_or_else(rand::random);
        let cases = number(CASES_VARIABLE)
            .and_then(|cases| u32::try_from(cases).ok())
            .unwrap_or(CASES_DEFAULT);
        // Ids of another run against the same server must not come back.
        let next_id = AtomicI64::new(rand::random_range(1 << 40..1 << 60));
        Self {
            subject: Box::new(subject),
            seed,
            cases,
            next_id,
        }
    }

    /// The same harness with this seed.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The same harness with this many cases of the model test.
    pub fn with_cases(mut self, cases: u32) -> Self {
        self.cases = cases;
        self
    }

    /// How to repeat this run.
    pub fn seed_line(&self) -> String {
        format!("repeat with {SEED_VARIABLE}={}", self.seed)
    }

    /// A client of its own.
    pub async fn engine(&self) -> Result<Arc<dyn StockEngine>> {
        self.subject.connect().await
    }

    /// Ways to lose the server.
    pub(super) fn losses(&self) -> Vec<String> {
        self.subject.losses()
    }

    /// Loses the server.
    pub(super) async fn lose(&self, how: &str) -> Outcome {
        Ok(self.subject.lose(how).await?)
    }

    /// Lets the server forget, or not; whether it can.
    pub(super) async fn let_forget(&self, may_forget: bool) -> std::result::Result<bool, Failure> {
        Ok(self.subject.let_forget(may_forget).await?)
    }

    /// Cases of the model test.
    pub(super) fn cases(&self) -> u32 {
        self.cases
    }

    /// The seed of this run.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// A generator for one purpose; the same for the same seed.
    pub(super) fn rng(&self, purpose: u64) -> SmallRng {
        SmallRng::seed_from_u64(
            self.seed
                .wrapping_add(purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        )
    }

    /// An id that no one else has.
    pub(super) fn id(&self) -> i64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}
