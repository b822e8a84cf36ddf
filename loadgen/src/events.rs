//! What a driver says while it runs: with `--events`, one JSON object per line.
//!
//! The order is `ready`, `started`, any number of `progress` and `samples`, `ended`, `finished`.
//! With `--handshake` the driver waits twice for a line on its standard input: after `ready` for
//! `go`, and after `ended` for `sum up`. So whoever started it can read the counters of all
//! processes, the driver's own among them, exactly around what was measured. The end of the input
//! counts as "do not send" in the first place, and as `sum up` in the second.

use reports::result::{Outcomes, Phase};
use serde::{Deserialize, Serialize};

/// The line that lets a driver begin.
pub const GO: &str = "go";
/// The line that lets it sum up.
pub const SUM_UP: &str = "sum up";

/// An accepted order and when the driver read the reply: `(order_id, Unix µs)`.
pub type Sample = (i64, i64);

/// One line of `--events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// All connections are up, and nothing has been sent.
    Ready {
        connections: u32,
        /// Requests that the plan asks for; none where a closed loop ends by time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        requests: Option<u64>,
    },
    /// The first request is about to be sent.
    Started { at_unix_us: i64 },
    /// Sent every 100 ms, and once more at the end.
    Progress(Progress),
    /// Accepted orders soon after their replies, so that a reader can measure how long their rows
    /// take to become durable.
    Samples { samples: Vec<Sample> },
    /// The last request has ended, at that moment; nothing has been summed up yet.
    Ended { at_unix_us: i64 },
    /// The last line.
    Finished {
        phase: Box<Phase>,
        /// The data ended and began again although the plan does not want that, so buyers came
        /// twice who should not.
        data_wrapped: bool,
    },
}

/// How far a run has come. Counts are totals so far; the interval is the time since the previous
/// progress.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub elapsed_ns: u64,
    /// Requests that have ended, by their outcome.
    pub counts: Outcomes,
    pub due: u64,
    pub sent: u64,
    pub dropped: u64,
    /// Sent and not ended.
    pub in_flight: u64,
    pub interval_per_s: f64,
    /// P99 of what ended in the interval, by the headline clock (intended or taken); absent when
    /// nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_p99_ns: Option<u64>,
}

impl Progress {
    /// Requests that have ended.
    pub fn done(&self) -> u64 {
        self.counts.total()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_survives_a_json_line() {
        let progress = Progress {
            due: 3,
            interval_p99_ns: Some(5),
            ..Progress::default()
        };
        for event in [
            Event::Ready {
                connections: 2,
                requests: Some(4),
            },
            Event::Started { at_unix_us: 1 },
            Event::Progress(progress),
            Event::Samples {
                samples: vec![(1, 2), (3, 4)],
            },
            Event::Ended { at_unix_us: 2 },
        ] {
            let line = serde_json::to_string(&event).expect("encodes");
            assert_eq!(
                serde_json::from_str::<Event>(&line).expect("decodes"),
                event,
                "{line}"
            );
        }
    }

    #[test]
    fn lines_are_flat_objects_with_a_tag() {
        let line = serde_json::to_string(&Event::Samples {
            samples: vec![(1, 2)],
        })
        .expect("encodes");
        assert_eq!(line, r#"{"event":"samples","samples":[[1,2]]}"#);
    }
}
