//! A request on its way: what it asks for, when it was due and sent, and how it ended.

use reports::outcome_log::{Outcome, Refusal};
use reports::result;

/// What a request asks for.
///
/// A cancel or a pay becomes a variant of its own, with the order that it is about. Whoever sends
/// it does so on a lane of its own target: the source then keeps one queue per kind, and a lane takes
/// only the kinds that its target serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// A purchase, by its index in the data.
    Buy { element: u32 },
}

impl Operation {
    /// How many kinds there are.
    pub const KINDS: usize = 1;

    /// From 0 to [`Self::KINDS`], to index by.
    pub fn kind(self) -> usize {
        match self {
            Self::Buy { .. } => 0,
        }
    }

    /// What a kind is called in a result.
    pub fn name_of(kind: usize) -> result::Operation {
        result::Operation::KNOWN[kind].clone()
    }
}

/// A request that has begun: a worker has taken it, or it is due.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub operation: Operation,
    /// When it was meant to be sent (open loop) or a worker took it (closed loop).
    pub due_ns: u64,
    /// None as long as the server certainly has not seen it.
    pub sent_ns: Option<u64>,
}

/// How a request ended, as it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestEnd {
    pub outcome: Outcome,
    /// There exactly when it was refused.
    pub refusal: Option<Refusal>,
    /// 0 if the reply named no order.
    pub order_id: i64,
    /// A status's name, or what the driver itself observed.
    pub label: &'static str,
    /// What the server said about it; usually empty.
    pub detail: String,
}

impl RequestEnd {
    pub fn new(outcome: Outcome, label: &'static str) -> Self {
        Self {
            outcome,
            refusal: None,
            order_id: 0,
            label,
            detail: String::new(),
        }
    }

    /// Given up after the time-out, when the server already had the request.
    pub fn timed_out() -> Self {
        Self::new(Outcome::Unknown, "driver time-out")
    }

    /// No connection took the request before its time-out.
    pub fn not_sent(reason: &str) -> Self {
        Self {
            detail: reason.to_owned(),
            ..Self::new(Outcome::Error, "not sent before the time-out")
        }
    }

    /// The connection was lost while the request was open.
    pub fn connection_lost(reason: &str) -> Self {
        Self {
            detail: reason.to_owned(),
            ..Self::new(Outcome::Unknown, "connection lost")
        }
    }

    /// Given up because the run was told a second time to stop.
    pub fn abandoned() -> Self {
        Self::new(Outcome::Unknown, "abandoned at the stop")
    }
}
