//! One operation's outcomes, and its latencies by outcome and clock.

use crate::run::request::Request;
use reports::outcome_log::Outcome;
use reports::result::{HistRecorder, Latency, LatencyClock, OpStats, OutcomeName, Outcomes};

/// In the order of [`index`].
const OUTCOMES: [OutcomeName; 5] = [
    OutcomeName::Accepted,
    OutcomeName::Refused,
    OutcomeName::Duplicate,
    OutcomeName::Error,
    OutcomeName::Unknown,
];

#[derive(Debug, Default)]
pub struct OperationRecorder {
    pub counts: Outcomes,
    pub units_accepted: u64,
    /// From when it was due or taken, of everything that ended; made when first needed.
    from_due: [Option<Box<HistRecorder>>; OUTCOMES.len()],
    /// From the real send, of what was sent.
    from_sent: [Option<Box<HistRecorder>>; OUTCOMES.len()],
}

impl OperationRecorder {
    pub fn record(&mut self, outcome: Outcome, request: &Request, now_ns: u64) {
        super::count(&mut self.counts, outcome);
        let at = index(outcome);
        let from_due = self.from_due[at].get_or_insert_default();
        from_due.record_ns(now_ns.saturating_sub(request.due_ns));
        if let Some(sent_ns) = request.sent_ns {
            let from_sent = self.from_sent[at].get_or_insert_default();
            from_sent.record_ns(now_ns.saturating_sub(sent_ns));
        }
    }

    /// Adds everything that another one has recorded.
    pub fn merge(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.units_accepted += other.units_accepted;
        let pairs = [
            (&mut self.from_due, &other.from_due),
            (&mut self.from_sent, &other.from_sent),
        ];
        for (into, from) in pairs {
            for (into, from) in into.iter_mut().zip(from) {
                if let Some(from) = from {
                    into.get_or_insert_default().merge(from);
                }
            }
        }
    }

    /// As it stands in a result; `clock` is that of when requests were due or taken.
    pub fn stats(&self, clock: &LatencyClock) -> OpStats {
        let by = |clock: &LatencyClock, recorded: &[Option<Box<HistRecorder>>]| {
            let recorded = OUTCOMES.iter().zip(recorded);
            let latency = recorded.filter_map(|(outcome, recorded)| {
                Some(Latency {
                    clock: clock.clone(),
                    outcome: outcome.clone(),
                    hist: recorded.as_ref()?.to_hist(),
                })
            });
            latency.collect::<Vec<_>>()
        };
        let mut latency = by(clock, &self.from_due);
        latency.extend(by(&LatencyClock::Sent, &self.from_sent));
        OpStats {
            counts: self.counts,
            units_accepted: self.units_accepted,
            latency,
        }
    }
}

fn index(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Accepted => 0,
        Outcome::Refused => 1,
        Outcome::Duplicate => 2,
        Outcome::Error => 3,
        Outcome::Unknown => 4,
    }
}
