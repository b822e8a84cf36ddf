//! A request on its way: what it asks for, when it was due and sent, and how it ended.

use reports::outcome_log::{Outcome, Refusal};
use reports::result;

/// What a request asks for. An `order` is the place of one in the list of those that something
/// follows, which says more about it ([`super::Port::asked`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// A purchase, by its index in the data.
    Buy {
        element: u32,
    },
    Cancel {
        order: u32,
    },
    Pay {
        order: u32,
    },
    /// A purchase by whoever cancelled that order, and of the same.
    BuyAgain {
        order: u32,
    },
}

/// What a lane sends that serves no ordinary purchases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    Cancel,
    Pay,
    BuyAgain,
}

impl Serves {
    pub const ALL: [Self; 3] = [Self::Cancel, Self::Pay, Self::BuyAgain];

    /// Place in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

impl Operation {
    /// How many kinds there are.
    pub const KINDS: usize = 3;

    /// From 0 to [`Self::KINDS`], to index by.
    pub fn kind(self) -> usize {
        match self {
            Self::Buy { .. } | Self::BuyAgain { .. } => 0,
            Self::Cancel { .. } => 1,
            Self::Pay { .. } => 2,
        }
    }

    /// None for what follows nothing.
    pub fn served_by(self) -> Option<Serves> {
        match self {
            Self::Buy { .. } => None,
            Self::Cancel { .. } => Some(Serves::Cancel),
            Self::Pay { .. } => Some(Serves::Pay),
            Self::BuyAgain { .. } => Some(Serves::BuyAgain),
        }
    }

    /// Whether it comes after a yes.
    pub fn follows(self) -> bool {
        !matches!(self, Self::Buy { .. })
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
