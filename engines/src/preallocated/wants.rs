//! The wants of other processes, as this one has seen them.
//!
//! A want counts for a while after it was written or renewed. Clocks step, so that while runs on
//! this process's monotonic clock, from when it first saw the number that the want has now: each
//! time it is written the number rises, also when the want is met. The want of a dead process so
//! ends by itself, for each of the others at its own time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a want asks. Renewed by whoever still lacks units.
pub const WANT_LASTS: Duration = Duration::from_secs(1);

/// The want of another process: a row with units that it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    pub incarnation: i64,
    pub units: u64,
    /// Larger each time the want is written.
    pub beats: i64,
}

/// The units that are not in this process, as one consistent read found them.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Units in the pool.
    pub pooled: u64,
    /// Most units that other processes may have idle.
    pub others: u64,
    /// What others lack.
    pub wants: Vec<Want>,
}

/// The units that are not in this process, as far as they count for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Elsewhere {
    /// Units in the pool.
    pub pooled: u64,
    /// Most units that other processes may have idle.
    pub others: u64,
    /// Units that others lack, as far as they go before us.
    pub wanted: u64,
}

impl Elsewhere {
    /// Units of the pool that are ours to take.
    pub fn available(&self) -> u64 {
        self.pooled.saturating_sub(self.wanted)
    }
}

/// Since when each want that is there has been seen as it is.
#[derive(Debug, Default)]
pub struct Wants(HashMap<i64, (i64, Instant)>);

impl Wants {
    /// Counts the wants that were not there long unchanged, of processes with an id below `below`:
    /// two that starve at once do not wait for each other.
    pub fn weigh(&mut self, found: &Found, below: i64, now: Instant) -> Elsewhere {
        let before = std::mem::take(&mut self.0);
        let mut wanted = 0;
        for want in &found.wants {
            let known = before.get(&want.incarnation);
            let since = match known {
                Some((beats, since)) if *beats == want.beats => *since,
                _ => now,
            };
            self.0.insert(want.incarnation, (want.beats, since));
            if want.incarnation < below && now - since < WANT_LASTS {
                wanted += want.units;
            }
        }
        Elsewhere {
            pooled: found.pooled,
            others: found.others,
            wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(incarnation: i64, beats: i64) -> Found {
        let want = Want {
            incarnation,
            units: 5,
            beats,
        };
        Found {
            wants: vec![want],
            ..Found::default()
        }
    }

    #[test]
    fn a_want_counts_until_it_was_seen_unchanged_for_its_time() {
        let (mut wants, start) = (Wants::default(), Instant::now());
        let mut wanted = |beats, after| wants.weigh(&found(1, beats), 2, start + after).wanted;
        let almost = WANT_LASTS - Duration::from_millis(1);
        assert_eq!(wanted(7, Duration::ZERO), 5);
        assert_eq!(wanted(7, almost), 5);
        assert_eq!(wanted(7, WANT_LASTS), 0);
        assert_eq!(wanted(8, WANT_LASTS), 5, "it was renewed");
        assert_eq!(wanted(8, WANT_LASTS + almost), 5);
        assert_eq!(wanted(8, 2 * WANT_LASTS), 0);
    }

    #[test]
    fn a_want_of_one_that_comes_later_is_not_counted() {
        let (mut wants, now) = (Wants::default(), Instant::now());
        assert_eq!(wants.weigh(&found(2, 1), 2, now).wanted, 0);
        assert_eq!(wants.weigh(&found(2, 1), i64::MAX, now).wanted, 5);
    }
}
