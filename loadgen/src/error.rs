//! The one error type of this crate. Wrong usage is kept apart because a command line reports it
//! with exit code 2.

use std::io;
use std::path::PathBuf;

/// Result of a driver call.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a run did not take place, or could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The arguments contradict one another or are out of range; nothing was sent.
    #[error("{0}")]
    Usage(String),
    /// The request data is wrong; nothing was sent.
    #[error("{origin}: {fault}")]
    Data {
        /// Where the data came from: the name of its file.
        origin: String,
        /// Element number (counted from 1), field, and what is allowed.
        fault: String,
    },
    /// The server could not be reached before the run began; nothing was sent.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Address as it was given.
        address: String,
        /// The last attempt's failure.
        reason: String,
    },
    /// Requests failed, and the command was told to fail then. Everything has been written.
    #[error("{failed} of {due} requests failed or were dropped")]
    Failed {
        /// Errors, unknown outcomes and drops.
        failed: u64,
        /// Requests that were due.
        due: u64,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// "read", "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system refused a thread, a timer or a socket.
    #[error("cannot {action}: {source}")]
    System {
        /// What was being done.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Whether the caller used the driver wrongly (exit code 2) rather than something having failed
    /// (exit code 1).
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Usage(_))
    }

    pub(crate) fn file(action: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
