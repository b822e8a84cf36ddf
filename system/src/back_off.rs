//! Leaves alone for a while what has just failed, so that neither the other side nor the log is
//! flooded with attempts.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// First and longest pause after a failure.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What failed, and until when each of it is left alone. The pause doubles with every failure.
#[derive(Debug)]
pub struct BackOff<K>(HashMap<K, Pause>);

#[derive(Clone, Copy, Debug)]
struct Pause {
    length: Duration,
    until: Instant,
}

impl<K: Copy + Eq + Hash> BackOff<K> {
    /// Whether it may be tried now.
    pub fn is_due(&self, key: K) -> bool {
        self.0
            .get(&key)
            .is_none_or(|pause| Instant::now() >= pause.until)
    }

    /// It failed.
    pub fn failed(&mut self, key: K) {
        let length = match self.0.get(&key) {
            Some(pause) => (pause.length * 2).min(PAUSE_MAX),
            None => PAUSE_MIN,
        };
        let until = Instant::now() + length;
        self.0.insert(key, Pause { length, until });
    }

    /// It succeeded.
    pub fn succeeded(&mut self, key: K) {
        self.0.remove(&key);
    }

    /// Forgets what is of no interest any more.
    pub fn retain(&mut self, is_of_interest: impl Fn(K) -> bool) {
        self.0.retain(|key, _| is_of_interest(*key));
    }
}

impl<K> Default for BackOff<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_left_alone_ever_longer_within_a_bound_until_it_succeeds() {
        let mut back_off = BackOff::default();
        assert!(back_off.is_due(1));
        back_off.failed(1);
        assert!(!back_off.is_due(1));
        assert!(back_off.is_due(2), "others are not concerned");
        let lengths: Vec<_> = (0..8)
            .map(|_| {
                back_off.failed(1);
                back_off.0[&1].length
            })
            .collect();
        assert_eq!(lengths[0], PAUSE_MIN * 2);
        assert_eq!(lengths[7], PAUSE_MAX);
        back_off.succeeded(1);
        assert!(back_off.is_due(1));
    }
}
