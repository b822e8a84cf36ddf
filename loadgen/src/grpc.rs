//! The closed-loop gRPC driver: a fixed number of workers, each with one request at a time, over a
//! fixed number of connections, until exactly the wanted number of requests has ended. This module
//! owns the threads, the clock, the sockets and the records of a run.

mod clock;
mod drive;
mod lane;
mod outcome;
mod recorder;
mod reporter;
mod shared;
mod stop;

pub use drive::{Measured, drive};
pub use stop::Stop;

use crate::{Error, Result};
use std::time::Duration;

/// How often open requests are checked against their time-out, which may therefore take effect this
/// much late.
pub const TIMEOUT_RESOLUTION: Duration = Duration::from_millis(10);
/// The most workers and threads that a run may have: bounds on the driver's memory, sockets and
/// threads.
pub const CONCURRENCY_MAX: u32 = 100_000;
pub const THREADS_MAX: u32 = 64;
/// Longest time-out, given by the range of the latency histograms.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// The load of one run: how many requests are sent to which address, by how many workers.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// `host:port`.
    pub address: String,
    pub concurrency: u32,
    pub connections: u32,
    pub requests: u64,
    /// How long a worker waits for its request, from the moment it takes it until it gives it up.
    pub timeout: Duration,
    /// Runtimes of one thread each, to which the connections are assigned in turn.
    pub threads: u32,
    /// Request `k` uses element `(start_index + k) mod len`.
    pub start_index: u64,
    /// One in this many accepted orders is reported to the observer.
    pub sample_every: u64,
    /// Keep a record per request for the outcome log (32 bytes each).
    pub keep_outcomes: bool,
    /// Report progress and samples to the observer.
    pub report: bool,
}

impl LoadPlan {
    /// ghz's defaults: 50 workers, 200 requests, one connection, 20 s.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            concurrency: 50,
            connections: 1,
            requests: 200,
            timeout: Duration::from_secs(20),
            threads: 1,
            start_index: 0,
            sample_every: 100,
            keep_outcomes: false,
            report: false,
        }
    }

    /// Refuses a load that cannot be driven; the error says what is allowed.
    pub fn check(&self) -> Result<()> {
        let fault = if self.requests == 0 {
            "requests must be at least 1, got 0".to_owned()
        } else if !(1..=CONCURRENCY_MAX).contains(&self.concurrency) {
            format!(
                "concurrency must be 1 to {CONCURRENCY_MAX}, got {}",
                self.concurrency
            )
        } else if self.connections == 0 {
            "connections must be at least 1, got 0".to_owned()
        } else if self.connections > self.concurrency {
            let (connections, concurrency) = (self.connections, self.concurrency);
            format!(
                "connections must be at most the concurrency ({concurrency}), got {connections}"
            )
        } else if !(1..=THREADS_MAX).contains(&self.threads) {
            format!("threads must be 1 to {THREADS_MAX}, got {}", self.threads)
        } else if self.timeout < TIMEOUT_RESOLUTION || self.timeout > TIMEOUT_MAX {
            let (min, max) = (TIMEOUT_RESOLUTION.as_millis(), TIMEOUT_MAX.as_secs());
            format!(
                "timeout must be {min} ms to {max} s, got {:?}",
                self.timeout
            )
        } else if self.sample_every == 0 {
            "sample-every must be at least 1, got 0".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::Usage(fault))
    }
}
