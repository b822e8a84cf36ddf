//! The one error type of this crate: what kind of infrastructure failure, and whether a retry can
//! help.

use crate::Term;

/// Result of an engine call.
pub type Result<T> = std::result::Result<T, EngineError>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A failure of infrastructure. Refusals (sold out, not open, …) are never errors but
/// [`crate::Verdict`]s.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The call may or may not have been executed: it was sent, and no answer came.
    #[error("engine outcome unknown: {context}")]
    Unknown {
        /// What was being done.
        context: String,
        /// The underlying failure.
        #[source]
        source: Option<Source>,
    },
    /// The call was certainly not executed; a retry can help.
    #[error("engine unavailable: {context}")]
    Unavailable {
        /// What was being done.
        context: String,
        /// The underlying failure.
        #[source]
        source: Option<Source>,
    },
    /// The engine, its parameters or its server are configured in a way that cannot keep the
    /// contract.
    #[error("{0}")]
    Config(String),
    /// The engine answered something that this version does not understand.
    #[error("engine protocol violation: {0}")]
    Protocol(String),
}

impl EngineError {
    /// What a call fails with that has no verdict to say that its term is not the open one.
    pub fn not_open(term: &Term) -> Self {
        Self::Unavailable {
            context: format!("epoch {} of sale {} is not open", term.epoch, term.sale),
            source: None,
        }
    }

    /// Whether repeating the same call later can succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Unavailable { .. })
    }

    /// Whether the call may have been executed.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Protocol(_))
    }

    /// The same failure once more, without its source: for every item of a call that failed as a
    /// whole.
    pub fn repeat(&self) -> Self {
        match self {
            Self::Unknown { context, .. } => Self::Unknown {
                context: context.clone(),
                source: None,
            },
            Self::Unavailable { context, .. } => Self::Unavailable {
                context: context.clone(),
                source: None,
            },
            Self::Config(what) => Self::Config(what.clone()),
            Self::Protocol(what) => Self::Protocol(what.clone()),
        }
    }

    /// One failure for each of `count` items.
    pub fn for_each<T>(&self, count: usize) -> Vec<Result<T>> {
        (0..count).map(|_| Err(self.repeat())).collect()
    }
}
