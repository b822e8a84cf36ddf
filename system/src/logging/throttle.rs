//! At most one line per kind of failure and second, and how many were left out.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Of each kind there is a line this often.
pub const EVERY: Duration = Duration::from_secs(1);

/// Remembers when each kind had its last line.
#[derive(Debug)]
pub struct Throttle<K> {
    kinds: HashMap<K, Kind>,
}

#[derive(Debug)]
struct Kind {
    told: Instant,
    left_out: u64,
}

impl<K: Eq + Hash + Copy> Throttle<K> {
    /// Nothing has been told yet.
    pub fn new() -> Self {
        Self {
            kinds: HashMap::new(),
        }
    }

    /// Whether a line of this kind may be written at `now`. If not it counts as left out.
    pub fn admit(&mut self, kind: K, now: Instant) -> bool {
        let Some(known) = self.kinds.get_mut(&kind) else {
            let fresh = Kind {
                told: now,
                left_out: 0,
            };
            self.kinds.insert(kind, fresh);
            return true;
        };
        if now.saturating_duration_since(known.told) >= EVERY {
            known.told = now;
            return true;
        }
        known.left_out += 1;
        false
    }

    /// The kinds of which lines were left out since this was last asked, and how many of each.
    pub fn take_left_out(&mut self) -> Vec<(K, u64)> {
        let left_out = self.kinds.iter_mut().filter(|(_, kind)| kind.left_out > 0);
        left_out
            .map(|(key, kind)| (*key, std::mem::take(&mut kind.left_out)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_thousand_failures_in_a_second_one_is_told_and_the_others_are_counted() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut throttle = Throttle::new();
        let told = (0..1_000).filter(|ms| throttle.admit("write", at(*ms)));
        assert_eq!(told.count(), 1);
        assert!(throttle.admit("read", at(500)), "another kind");
        assert!(throttle.admit("write", at(1_000)), "the next second");
        assert!(!throttle.admit("write", at(1_999)));
        assert_eq!(throttle.take_left_out(), [("write", 1_000)]);
        assert_eq!(throttle.take_left_out(), []);
        assert!(throttle.admit("write", at(2_000)));
    }
}
