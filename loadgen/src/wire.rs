//! The part of HTTP/2 that a client of unary gRPC calls needs, as a state machine over bytes: it
//! owns no socket, no clock and no task. It was written for the driver because a general-purpose
//! client spends several times as much CPU per request, which on a shared machine is taken from the
//! system under test; `loadgen/examples/client_cost.rs` shows both in one run.
//!
//! It is frozen and fenced. What it does: plain text with prior knowledge; one method with the same
//! headers for every request of a connection; one message of at most [`MESSAGE_LEN_MAX`] bytes
//! there, one back. It keeps to all limits of the server (streams, both windows, the table of
//! headers), answers its PING and SETTINGS, and says of every request whether the server may have
//! processed it.
//!
//! What it refuses, with a [`WireError`] that ends the connection: anything that RFC 9113 and RFC
//! 7541 call an error (those of a stream too), push, replies over 4 MiB, header blocks over 64 KiB,
//! header names and values over 16 KiB, empty CONTINUATION frames that are not the last, and a peer
//! that does not read its answers. What it has not got: TLS, HTTP/1.1, streaming, metadata per
//! request, compression, retries. What needs those belongs into a lane with a general-purpose
//! client.
//!
//! What it does not check, because no outcome hangs on it: `content-type` and `content-length` of a
//! reply, and the window of a stream whose request is sent.

mod error;
mod frame;
mod hpack;
mod huffman;
mod session;
mod static_table;

pub use error::{Obstacle, WireError, error_name};
pub use frame::ERROR_REFUSED_STREAM;
pub use frame::PAYLOAD_MAX as MESSAGE_LEN_MAX;
pub use session::{Ended, Reply, Session, Target};

type Result<R> = std::result::Result<R, WireError>;
