//! What `seckill status --json` prints. Ages are by the database's clock and for people: whether a
//! process lives cannot be judged in one look.

use crate::store::{
    Allocated, ConsumerState, IncarnationState, LeaseState, OrderCounts, SaleState,
};
use serde::Serialize;

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// When, by the database's clock, unix ms.
    pub at_ms: i64,
    /// The configured engine.
    pub engine: String,
    /// What could not be asked, and why.
    pub not_asked: Vec<String>,
    pub sales: Vec<SaleStatus>,
    /// How many there are beyond those.
    pub sales_not_shown: u64,
    pub incarnations: Vec<IncarnationStatus>,
    pub consumers: Vec<ConsumerStatus>,
    pub dead_letters: DeadLetters,
    pub outbox: Outbox,
}

/// One sale.
#[derive(Clone, Debug, Serialize)]
pub struct SaleStatus {
    #[serde(flatten)]
    pub row: SaleState,
    pub window: Window,
    #[serde(flatten)]
    pub allocated: Allocated,
    /// `null`: it is not open there, or the engine could not be asked.
    pub engine: Option<EngineStock>,
    pub releases_left: u64,
    /// `null`: they were not counted.
    pub orders: Option<OrderCounts>,
    pub leases: Vec<LeaseState>,
}

/// Whether a sale sells, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Window {
    NotStarted,
    On,
    /// Its window is over, and it has not ended yet.
    Over,
    /// The engine has forgotten it.
    Ended,
    /// An operator has paused it.
    Paused,
}

impl Window {
    /// At `now_ms`, unix ms.
    pub fn of(sale: &SaleState, now_ms: i64) -> Self {
        let now_s = now_ms.div_euclid(1_000);
        match sale {
            sale if sale.ended => Self::Ended,
            sale if now_s >= sale.ends_at => Self::Over,
            sale if sale.paused => Self::Paused,
            sale if now_s < sale.starts_at => Self::NotStarted,
            _ => Self::On,
        }
    }

    /// As the table has it.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotStarted => "not started",
            Self::On => "on",
            Self::Over => "over",
            Self::Ended => "ended",
            Self::Paused => "paused",
        }
    }
}

/// An engine's own view of a sale.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct EngineStock {
    /// Whether it could sell under the term that the database names.
    pub is_open: bool,
    /// Units that can be sold.
    pub remaining: i64,
    /// Units in open holds.
    pub open_units: u64,
}

/// A publishing process.
#[derive(Clone, Debug, Serialize)]
pub struct IncarnationStatus {
    #[serde(flatten)]
    pub row: IncarnationState,
    /// Since its last heartbeat, ms.
    pub beat_age_ms: i64,
    /// Messages in its queue that nobody has taken; `null`: nobody could be asked.
    pub waiting: Option<u64>,
}

/// A consumer.
#[derive(Clone, Debug, Serialize)]
pub struct ConsumerStatus {
    #[serde(flatten)]
    pub row: ConsumerState,
    /// Since its last heartbeat, ms.
    pub beat_age_ms: i64,
}

/// Messages and orders that could not become rows.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DeadLetters {
    /// How many nobody has resolved.
    pub open: u64,
    pub oldest_age_ms: Option<i64>,
}

/// What is on its way to the engine and to listeners.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Outbox {
    pub releases_left: u64,
    /// Since the order of the oldest was changed last, ms.
    pub oldest_release_age_ms: Option<i64>,
    pub copies_left: u64,
}
