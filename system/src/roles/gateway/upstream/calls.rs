//! What one thread counts of its calls of one instance: how they went, and how long they took.

use crate::metrics::{Histogram, Kind, Metrics, REQUEST, nanos};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As was asked.
    Answered,
    /// The service refuses, and works.
    Refused,
    /// The service says that it failed.
    Failed,
    /// Sent, and nobody knows what became of it.
    Unknown,
    /// There is no connection.
    NotSent,
    /// Nobody tried: its breaker is open.
    LeftAlone,
}

/// By [`Outcome`].
const OUTCOMES: [&str; 6] = [
    "answered",
    "refused",
    "failed",
    "unknown",
    "not_sent",
    "left_alone",
];

/// Of one instance.
#[derive(Debug)]
pub struct Calls {
    outcomes: [AtomicU64; OUTCOMES.len()],
    durations: Histogram,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            outcomes: std::array::from_fn(|_| AtomicU64::new(0)),
            durations: Histogram::durations(&REQUEST),
        }
    }
}

impl Calls {
    /// One that went like this, and how long it took if it was sent.
    pub fn ended(&self, outcome: Outcome, took: Duration) {
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
        if !matches!(outcome, Outcome::NotSent | Outcome::LeftAlone) {
            self.durations.observe(nanos(took));
        }
    }

    /// Registers the metrics of calls of the instance of `upstream` at `target`.
    pub fn register(
        self: &Arc<Self>,
        metrics: &Metrics,
        upstream: &'static str,
        target: &Arc<str>,
    ) {
        let (calls, at) = (self.clone(), target.clone());
        let (name, help) = ("seckill_gateway_upstream_calls_total", "Calls of services");
        metrics.register(Kind::Counter, name, help, move |out| {
            for (outcome, count) in OUTCOMES.iter().zip(&calls.outcomes) {
                let labels = [
                    ("upstream", upstream),
                    ("target", &*at),
                    ("outcome", outcome),
                ];
                out.count(&labels, count.load(Ordering::Relaxed));
            }
        });
        let (calls, at) = (self.clone(), target.clone());
        let name = "seckill_gateway_upstream_call_duration_seconds";
        let help = "Sent to answered or given up";
        metrics.register(Kind::Histogram, name, help, move |out| {
            let labels = [("upstream", upstream), ("target", &*at)];
            out.histogram(&labels, &calls.durations);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_apart_by_how_they_went_and_only_those_that_were_sent_are_timed() {
        let calls = Arc::<Calls>::default();
        let metrics = Metrics::default();
        calls.register(&metrics, "order", &"a:1".into());
        for outcome in [
            Outcome::Answered,
            Outcome::Refused,
            Outcome::Failed,
            Outcome::Unknown,
            Outcome::NotSent,
            Outcome::LeftAlone,
        ] {
            calls.ended(outcome, Duration::from_millis(2));
        }
        let text = metrics.text();
        let target = "upstream=\"order\",target=\"a:1\"";
        for outcome in OUTCOMES {
            let name = "seckill_gateway_upstream_calls_total";
            let line = format!("{name}{{{target},outcome=\"{outcome}\"}} 1\n");
            assert!(text.contains(&line), "{line}: {text}");
        }
        let count = format!("_duration_seconds_count{{{target}}} 4\n");
        assert!(text.contains(&count), "{text}");
    }
}
