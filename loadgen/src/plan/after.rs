//! What buyers do after the yes.

use crate::duration::as_ns;
use crate::random::SplitMix64;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What becomes of the orders that were accepted. What each buyer does is drawn from the plan's seed
/// and their id, so that it is the same in every run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orders {
    /// Of the order service, `host:port`, plain text.
    pub address: String,
    /// So many for each kind of request: to cancel, to pay, to buy again.
    #[serde(default = "one_connection")]
    pub connections: u32,
    /// Shares of the accepted orders, 1 at most together: cancelled, paid, and both at once, so that
    /// the two race.
    #[serde(default)]
    pub cancel: f64,
    #[serde(default)]
    pub pay: f64,
    #[serde(default)]
    pub cancel_and_pay: f64,
    /// Of those whose cancel was accepted, the share who buy again at once.
    #[serde(default)]
    pub again: f64,
    /// Of the cancels, the share that is sent twice, at the same time.
    #[serde(default)]
    pub twice: f64,
    /// From the yes to what follows, drawn evenly.
    pub delay: Delay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    #[serde(rename = "min_ns", with = "as_ns")]
    pub min: Duration,
    #[serde(rename = "max_ns", with = "as_ns")]
    pub max: Duration,
}

fn one_connection() -> u32 {
    1
}

/// What one buyer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    /// How many cancels are sent.
    pub cancels: u32,
    pub pays: bool,
    /// After a cancel that was accepted.
    pub buys_again: bool,
    pub delay_ns: u64,
}

impl Orders {
    pub(crate) fn cancels(&self) -> bool {
        self.cancel + self.cancel_and_pay > 0.0
    }

    pub(crate) fn pays(&self) -> bool {
        self.pay + self.cancel_and_pay > 0.0
    }

    pub(crate) fn buys_again(&self) -> bool {
        self.cancels() && self.again > 0.0
    }

    /// Every share is drawn on its own, so that a change of one leaves the others as they were.
    pub(crate) fn course(&self, seed: u64, user_id: i64) -> Course {
        let of_user = SplitMix64(user_id as u64).next();
        let mut random = SplitMix64(seed ^ of_user);
        let [part, twice, again] = std::array::from_fn(|_| random.share());
        let min_ns = crate::duration::ns(self.delay.min);
        let more_ns = crate::duration::ns(self.delay.max) - min_ns;
        let both = part < self.cancel_and_pay;
        let cancels = part < self.cancel_and_pay + self.cancel;
        Course {
            cancels: match (cancels, twice < self.twice) {
                (false, _) => 0,
                (true, false) => 1,
                (true, true) => 2,
            },
            pays: both || (!cancels && part < self.cancel_and_pay + self.cancel + self.pay),
            buys_again: again < self.again,
            delay_ns: min_ns + random.bounded(more_ns + 1),
        }
    }
}
