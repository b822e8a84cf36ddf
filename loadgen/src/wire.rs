//! The part of HTTP/2 that a client of unary gRPC calls needs, as a state machine over bytes: it
//! owns no socket, no clock and no task. It was written for the driver because a general-purpose
//! client spends several times as much CPU per request.

mod frame;
mod hpack;
mod huffman;
mod session;
mod static_table;

pub use frame::ERROR_REFUSED_STREAM;
pub use session::{Ended, Reply, Session, Target};
