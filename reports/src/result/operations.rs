//! What buyers asked for, what they were told, and how long it took.

use super::hist::Hist;
use super::open_enum::open_enum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

open_enum! {
    /// What a request asks for.
    Operation { Buy = "buy", Cancel = "cancel", Pay = "pay" }
}

open_enum! {
    /// What a buyer was told.
    OutcomeName {
        Accepted = "accepted",
        Refused = "refused",
        /// Answered with an order that the same buyer was already given.
        Duplicate = "duplicate",
        /// The server certainly did not do it, or it was never sent.
        Error = "error",
        /// Sent, but without an answer, so that it is not known whether there is an order.
        Unknown = "unknown",
    }
}

open_enum! {
    /// From when a latency counts; it always ends with the reply, or with giving up.
    LatencyClock {
        /// From the moment when the schedule of an open loop meant it to be sent.
        Intended = "intended",
        /// From the moment when a worker of a closed loop took it.
        Taken = "taken",
        /// From the moment when it was written to its connection.
        Sent = "sent",
    }
}

/// Outcomes, counted once per request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outcomes {
    pub accepted: u64,
    pub refused: u64,
    pub duplicate: u64,
    pub error: u64,
    pub unknown: u64,
}

impl Outcomes {
    pub fn total(&self) -> u64 {
        self.accepted + self.refused + self.duplicate + self.error + self.unknown
    }

    /// Errors and unknown outcomes.
    pub fn failed(&self) -> u64 {
        self.error + self.unknown
    }

    pub fn of(&self, outcome: &OutcomeName) -> u64 {
        match outcome {
            OutcomeName::Accepted => self.accepted,
            OutcomeName::Refused => self.refused,
            OutcomeName::Duplicate => self.duplicate,
            OutcomeName::Error => self.error,
            OutcomeName::Unknown => self.unknown,
            OutcomeName::Other(_) => 0,
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.duplicate += other.duplicate;
        self.error += other.error;
        self.unknown += other.unknown;
    }
}

/// Latencies of one outcome by one clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    pub clock: LatencyClock,
    pub outcome: OutcomeName,
    pub hist: Hist,
}

/// One operation in one phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OpStats {
    pub counts: Outcomes,
    pub units_accepted: u64,
    /// At most one entry per clock and outcome; none where nothing was recorded. Requests that were
    /// never sent have no entry by the clock `sent`.
    pub latency: Vec<Latency>,
}
