//! The little of HTTP/2 that a unary gRPC client needs, as a state machine over bytes: it owns no
//! socket, no clock and no task. Written for the driver because a general client spends several
//! times the CPU per request.

mod frame;
mod hpack;
mod huffman;
mod session;
mod static_table;

pub use frame::ERROR_REFUSED_STREAM;
pub use session::{Ended, Reply, Session, Target};
