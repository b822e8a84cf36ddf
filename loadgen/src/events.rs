//! What the driver reports while it runs and at its end: with `--events`, one JSON object per line.

use reports::model::{LatencySummary, OutcomeCounts};
use serde::{Deserialize, Serialize};

/// An accepted order and when the driver read the reply: `(order_id, Unix µs)`.
pub type Sample = (i64, i64);

/// One line of `--events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// All connections are up and the first request is about to be sent.
    Started {
        at_unix_us: i64,
        connections: u32,
        concurrency: u32,
        requests: u64,
    },
    /// Sent every 100 ms. Counts are totals so far; the interval is the time since the previous
    /// progress.
    Progress(Progress),
    /// Accepted orders soon after their replies, so that a reader can measure how long their rows
    /// take to become durable.
    Samples { samples: Vec<Sample> },
    /// The last line.
    Finished(Summary),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub elapsed_ms: u64,
    pub done: u64,
    /// Accepted orders; an order that its user was already told about counts in `done` only.
    pub accepted: u64,
    pub refused: u64,
    pub errors: u64,
    pub unknown: u64,
    /// P99 of the replies in the interval; 0 when there were none.
    pub interval_p99_us: u64,
    pub interval_rps: f64,
    pub samples: Vec<Sample>,
}

/// What one run measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Requests that ended in any way; fewer than were asked for only after an interruption.
    pub requests: u64,
    /// 0 when nothing was sent.
    pub first_send_unix_us: i64,
    /// When the last request ended, by a reply, a time-out or a lost connection.
    pub last_reply_unix_us: i64,
    pub counts: OutcomeCounts,
    /// Sum of quantities of accepted requests.
    pub accepted_units: u64,
    /// From send to reply, for every request that was sent; one that timed out counts with the time
    /// it was waited for.
    pub latency: LatencySummary,
    /// Label and count, most frequent first. A label is a gRPC status, or what the driver itself
    /// observed.
    pub statuses: Vec<(String, u64)>,
    /// CPU of this process from just before the first send to the last reply.
    pub cpu_us: u64,
    pub peak_rss_bytes: u64,
}

impl Summary {
    /// First send to last reply, in seconds.
    pub fn total_s(&self) -> f64 {
        (self.last_reply_unix_us - self.first_send_unix_us).max(0) as f64 / 1e6
    }

    /// Finished requests per second; 0 for an empty run.
    pub fn requests_per_s(&self) -> f64 {
        let total_s = self.total_s();
        if total_s > 0.0 {
            self.requests as f64 / total_s
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_survives_a_json_line() {
        let progress = Progress {
            done: 3,
            samples: vec![(7, 1_000)],
            ..Progress::default()
        };
        for event in [
            Event::Started {
                at_unix_us: 1,
                connections: 2,
                concurrency: 3,
                requests: 4,
            },
            Event::Progress(progress),
            Event::Samples {
                samples: vec![(1, 2), (3, 4)],
            },
            Event::Finished(Summary {
                statuses: vec![("OK".into(), 9)],
                ..Summary::default()
            }),
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
