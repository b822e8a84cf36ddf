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

/// By outcome; made when first needed.
type ByOutcome = [Option<Box<HistRecorder>>; OUTCOMES.len()];

#[derive(Debug, Default)]
pub struct OperationRecorder {
    pub counts: Outcomes,
    pub units_accepted: u64,
    /// Of what was sent at the very moment when it was due or taken, as nearly everything is in a
    /// closed loop: both clocks say the same, and it is recorded once.
    at_once: ByOutcome,
    /// Of everything else, from when it was due or taken.
    from_due: ByOutcome,
    /// Of everything else that was sent, from the real send.
    from_sent: ByOutcome,
}

impl OperationRecorder {
    pub fn record(&mut self, outcome: Outcome, request: &Request, now_ns: u64) {
        super::count(&mut self.counts, outcome);
        let at = index(outcome);
        let since_due_ns = now_ns.saturating_sub(request.due_ns);
        let from = match request.sent_ns {
            Some(sent_ns) if sent_ns == request.due_ns => &mut self.at_once,
            Some(sent_ns) => {
                let from_sent = self.from_sent[at].get_or_insert_default();
                from_sent.record_ns(now_ns.saturating_sub(sent_ns));
                &mut self.from_due
            }
            None => &mut self.from_due,
        };
        from[at].get_or_insert_default().record_ns(since_due_ns);
    }

    /// Adds everything that another one has recorded.
    pub fn merge(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.units_accepted += other.units_accepted;
        merge(&mut self.at_once, &other.at_once);
        merge(&mut self.from_due, &other.from_due);
        merge(&mut self.from_sent, &other.from_sent);
    }

    /// As it stands in a result; `clock` is that of when requests were due or taken.
    pub fn stats(&self, clock: &LatencyClock) -> OpStats {
        let by = |clock: &LatencyClock, recorded: &ByOutcome| {
            let mut recorded = recorded.clone();
            merge(&mut recorded, &self.at_once);
            let recorded = OUTCOMES.iter().zip(recorded);
            let latency = recorded.filter_map(|(outcome, recorded)| {
                Some(Latency {
                    clock: clock.clone(),
                    outcome: outcome.clone(),
                    hist: recorded?.to_hist(),
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

fn merge(into: &mut ByOutcome, from: &ByOutcome) {
    for (into, from) in into.iter_mut().zip(from) {
        if let Some(from) = from {
            into.get_or_insert_default().merge(from);
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
