//! What a search is told of a leg, and what it says in return.

/// One leg of a search, at the rate that the search had asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeOutcome {
    /// Id of the leg.
    pub leg: String,
    pub met: Met,
}

/// What a leg says of its rate.
#[derive(Clone, Debug, PartialEq)]
pub enum Met {
    /// P99, errors and audit are within the objective.
    Met,
    /// They are not.
    Missed {
        /// A phrase: `P99 of 240 ms, at most 100`.
        why: String,
    },
    /// The driver did not reach the rate, so that nothing is known of the system.
    NotOffered { reached_per_s: f64 },
    /// The leg failed for a reason that is not the rate's: it is run again, a few times.
    Broken {
        /// In one line.
        why: String,
    },
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A leg at this rate.
    Probe { rate_per_s: f64 },
    /// The search has ended well.
    Done(Bracket),
    /// It has ended without a rate that holds, for this reason, in one sentence.
    Failed(String),
}

/// Where the capacity lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Bracket {
    /// Three of three legs met the objective here.
    pub holds_per_s: f64,
    /// Three of three legs missed it here (two of three where the driver reaches no further); none
    /// when no rate was missed.
    pub fails_per_s: Option<f64>,
    /// Why `fails_per_s` is absent, in one sentence.
    pub open_why: Option<String>,
}

impl Bracket {
    /// The rate that holds as a share of the throughput of a saturating closed loop, measured within
    /// the same minutes: of the figures of a search the one that another search must repeat.
    pub fn share_of(&self, saturated_per_s: f64) -> f64 {
        self.holds_per_s / saturated_per_s
    }
}
