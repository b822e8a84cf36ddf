//! A run of load, whatever the protocol: threads, clocks, arrivals, outcomes, and what is reported.
//!
//! The seam is the [`Lane`]. A lane is one connection as one task. It takes requests from a source,
//! which owns arrivals (a closed loop's workers, an open loop's schedule and backlog), and hands
//! them with their ends to a recorder, which owns clocks and outcomes; both through its [`Port`].
//! Nothing is a task, a timer or a wake-up per request: what one read of a connection ends is
//! recorded under one lock, and answered with as many new requests in one write.
//!
//! Another client becomes a driver by implementing [`Lane`] and calling [`drive`] with
//! a function that makes a lane of a port. Each time it is polled, a lane
//! 1. gives the port its waker ([`Port::register`]) and reads the time once ([`Port::now_ns`]);
//! 2. gives up what has passed its deadline ([`Port::deadline_ns`]) and hands everything that ended
//!    to [`Port::end`], with the outcome that its protocol gives it;
//! 3. takes new requests ([`Port::take`]), sends what it can, marks each with the moment of its send,
//!    and says how many it sent and what it has room for ([`Port::sent`]);
//! 4. says when it must look at its time-outs ([`Port::look_at`]);
//! 5. ends when nothing is under way and [`Port::is_over`].
//!
//! What a request asks for is an [`Operation`]. Cancels, pays and the purchases after a cancel follow
//! a yes, each when it is due. They leave on lanes of their own, which are connected where such are
//! served ([`Port::serves`]).

mod clock;
mod drive;
mod follow;
mod pacer;
mod port;
mod recorder;
mod reporter;
mod request;
mod shared;
mod slot;
mod source;
mod stop;
mod sum_up;
#[cfg(test)]
mod tests;
mod texts;
mod timeline;

pub use drive::{Elements, Measured, drive};
pub use pacer::PACING;
pub use port::Port;
pub use request::{Operation, Request, RequestEnd, Serves};
pub use stop::Stop;
pub(crate) use texts::{refusal, without_numbers};

use std::future::Future;
use tokio::time::Instant;

/// One connection of a run.
pub trait Lane: Send + 'static {
    /// Connects before the run, retrying until the deadline.
    ///
    /// # Contract
    /// - Nothing is sent that the system under test would count.
    /// - An error is the reason of the last attempt.
    fn connect_first(
        &mut self,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), String>> + Send;

    /// Sends and receives until the run has no more requests for this lane.
    ///
    /// # Contract
    /// - Every request that was taken is ended, given back or dropped, exactly once.
    /// - A connection that is lost is made again while there is anything left to send.
    fn run(self) -> impl Future<Output = ()> + Send;
}
