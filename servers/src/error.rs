//! Why a server cannot be had, in one sentence and perhaps the last lines of its log.

use std::fmt::Display;

/// How this crate says that somebody else answers on a port.
pub(crate) const TAKEN: &str = "port taken";
/// How servers say it, in lower case.
const TAKEN_WORDS: [&str; 4] = [
    "address already in use",
    "eaddrinuse",
    "already running",
    TAKEN,
];

/// A server that cannot be started, or that does not do as it is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Its program is not installed; the text says which.
    #[error("{0}")]
    Missing(String),
    /// Anything else. Another try may help only if [`Error::is_port_taken`].
    #[error("{0}")]
    Failed(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether the server lost its port to somebody else; on another one it may start.
    pub fn is_port_taken(&self) -> bool {
        let text = self.to_string().to_lowercase();
        TAKEN_WORDS.iter().any(|words| text.contains(words))
    }
}

pub(crate) fn failed(text: impl Into<String>) -> Error {
    Error::Failed(text.into())
}

/// Says what was being done when something else than this crate failed.
pub(crate) trait OrFailed<T> {
    fn or_failed(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Display> OrFailed<T> for std::result::Result<T, E> {
    fn or_failed(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::Failed(format!("{}: {error}", doing())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_port_is_recognised() {
        let of_redis =
            "x\n  | Could not create server TCP listening socket: bind: Address already in use";
        assert!(failed(of_redis).is_port_taken());
        assert!(!failed("no space left on device").is_port_taken());
    }
}
