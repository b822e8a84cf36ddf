//! Why a connection, a stream or a request goes no further, in words: what the server did wrong,
//! what this client leaves out, what HTTP/2's error codes are called.

/// The connection must be dropped; what it owed is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The server broke RFC 9113 or RFC 7541.
    #[error("the server broke HTTP/2: {0}")]
    Violation(&'static str),
    /// The server may do so, but this client takes no part in it.
    #[error("the server goes beyond this client: {0}")]
    Unsupported(&'static str),
}

/// Why a connection that is in order takes no request at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    #[error("the server's settings have not come")]
    NoSettings,
    #[error("the connection is being closed")]
    GoingAway,
    #[error("the server takes no more requests at once")]
    StreamLimit,
    #[error("the server's flow-control window is used up")]
    Window,
    #[error("the message is longer than 16,384 bytes")]
    TooLong,
}

/// Names of RFC 9113 section 7, by number.
const ERROR_NAMES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// What an error code is called.
pub fn error_name(code: u32) -> &'static str {
    let name = ERROR_NAMES.get(code as usize);
    name.copied().unwrap_or("an error without a name")
}
