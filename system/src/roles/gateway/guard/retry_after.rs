//! When who is turned away for now should ask again.

use std::time::Duration;

/// Asking again helps after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter {
    /// Whole seconds, at least one, as the header `Retry-After` has them.
    pub seconds: u64,
}

impl RetryAfter {
    /// After `wait`, rounded up.
    pub fn wait(wait: Duration) -> Self {
        let begun = u64::from(wait.subsec_nanos() > 0);
        Self {
            seconds: wait.as_secs().saturating_add(begun).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        for (ms, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)] {
            let wait = RetryAfter::wait(Duration::from_millis(ms));
            assert_eq!(wait.seconds, seconds, "{ms} ms");
        }
    }
}
