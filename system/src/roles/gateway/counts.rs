//! What one thread of the gateway counts: its answers by their status, how long they took, and whom it
//! turned away for which bound.

use super::guard::limit::Limit;
use crate::metrics::{Histogram, Kind, Metrics, REQUEST, nanos};
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The metric of all bounds, and what it says.
pub const TURNED_AWAY: (&str, &str) = (
    "seckill_gateway_turned_away_total",
    "Requests and connections beyond a bound",
);

/// Below these there is no status, and beyond them neither.
const FIRST: u16 = 100;
const STATUSES: usize = 500;
/// Told also while they are 0.
const USUAL: [u16; 18] = [
    200, 400, 401, 403, 404, 405, 408, 409, 413, 414, 415, 422, 429, 431, 500, 502, 503, 504,
];

/// Of one thread.
#[derive(Debug)]
pub struct Counts {
    by_status: Box<[AtomicU64]>,
    /// By [`Limit::index`].
    turned_away: [AtomicU64; Limit::ALL.len()],
    durations: Histogram,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            by_status: (0..STATUSES).map(|_| AtomicU64::new(0)).collect(),
            turned_away: std::array::from_fn(|_| AtomicU64::new(0)),
            durations: Histogram::durations(&REQUEST),
        }
    }
}

impl Counts {
    /// An answer, with the bound in its extensions if it is a refusal because of one; `took` is left
    /// out where somebody wanted to wait.
    pub fn answer(&self, answer: &Response, took: Option<Duration>) {
        self.bare_answer(answer.status(), answer.extensions().get().copied());
        if let Some(took) = took {
            self.durations.observe(nanos(took));
        }
    }

    /// An answer to what was no request.
    pub fn bare_answer(&self, status: StatusCode, limit: Option<Limit>) {
        let index = usize::from(status.as_u16().saturating_sub(FIRST));
        if let Some(count) = self.by_status.get(index) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(limit) = limit {
            self.turned_away(limit);
        }
    }

    /// Somebody is beyond this bound.
    pub fn turned_away(&self, limit: Limit) {
        self.turned_away[limit.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Registers the metrics of this thread.
    pub fn register(self: &Arc<Self>, metrics: &Metrics) {
        let counts = self.clone();
        let (name, help) = ("seckill_gateway_requests_total", "Replies by HTTP status");
        metrics.register(Kind::Counter, name, help, move |out| {
            for (status, count) in (FIRST..).zip(&counts.by_status) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 || USUAL.contains(&status) {
                    out.count(&[("status", &status.to_string())], count);
                }
            }
        });
        let counts = self.clone();
        let (name, help) = TURNED_AWAY;
        metrics.register(Kind::Counter, name, help, move |out| {
            for (limit, count) in Limit::ALL.iter().zip(&counts.turned_away) {
                let count = count.load(Ordering::Relaxed);
                out.count(&[("limit", limit.name())], count);
            }
        });
        let name = "seckill_gateway_request_duration_seconds";
        let help = "Head read to answer made; a long poll is not in it";
        metrics.histogram(name, help, self.clone(), |counts| &counts.durations);
    }
}
