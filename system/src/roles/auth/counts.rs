//! What the auth service counts: logins.

use crate::metrics::{Kind, Metrics};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tonic::{Code, Status};

const RESULTS: [&str; 3] = ["done", "refused", "unavailable"];

/// Of one process.
#[derive(Debug, Default)]
pub struct Counts {
    logins: [AtomicU64; RESULTS.len()],
}

impl Counts {
    /// Somebody tried to log in.
    pub fn login<T>(&self, told: &Result<T, Status>) {
        let result = match told.as_ref().map_err(Status::code) {
            Ok(_) => 0,
            Err(Code::Unavailable | Code::Internal | Code::FailedPrecondition) => 2,
            Err(_) => 1,
        };
        self.logins[result].fetch_add(1, Ordering::Relaxed);
    }

    /// Registers what is counted.
    pub fn register(self: &Arc<Self>, metrics: &Metrics) {
        let counts = self.clone();
        metrics.register(
            Kind::Counter,
            "seckill_logins_total",
            "Logins",
            move |out| {
                for (result, count) in RESULTS.iter().zip(&counts.logins) {
                    out.count(&[("result", result)], count.load(Ordering::Relaxed));
                }
            },
        );
    }
}
