//! What the looks at the rows of consumers have shown, and who counts as living and who as dead
//! because of it.

use crate::ids::ConsumerId;
use crate::store::ConsumerLife;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What the looks so far have shown.
#[derive(Debug)]
pub struct Sights {
    lease: Duration,
    of: HashMap<ConsumerId, Sight>,
    /// When the last look was over.
    last: Option<Instant>,
    /// Whether a look has failed since.
    was_missed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sight {
    life: ConsumerLife,
    /// The look that first showed these `beats`.
    since: Instant,
    /// Whether `beats` was seen to change, or the row to come.
    was_heard: bool,
}

impl Sights {
    /// Nothing was seen yet. Who is silent for a `lease` is dead.
    pub fn new(lease: Duration) -> Self {
        Self {
            lease,
            of: HashMap::new(),
            last: None,
            was_missed: false,
        }
    }

    /// All rows, as a look shows them that is over now.
    pub fn update(&mut self, lives: Vec<ConsumerLife>, now: Instant) {
        // The database was out of reach, or this process stood still: who could not beat in that time
        // is not dead, so their silence counts from now on; and whose row came in it may be dead.
        let was_blind =
            self.was_missed || self.last.is_some_and(|last| now - last >= self.lease / 2);
        let is_first = self.last.is_none();
        let before = std::mem::take(&mut self.of);
        for life in lives {
            let sight = |was_heard| Sight {
                life,
                since: now,
                was_heard,
            };
            let seen = match before.get(&life.id) {
                None => sight(!is_first && !was_blind),
                Some(known) if known.life != life => sight(true),
                Some(known) if was_blind => sight(known.was_heard),
                Some(known) => *known,
            };
            self.of.insert(life.id, seen);
        }
        self.last = Some(now);
        self.was_missed = false;
    }

    /// A look has failed.
    pub fn missed(&mut self) {
        self.was_missed = true;
    }

    /// Who counts as living, ascending.
    pub fn live(&self, now: Instant) -> Vec<ConsumerId> {
        let live = self.of.values().filter(|sight| {
            let is_silent = now - sight.since >= self.lease;
            sight.was_heard && !is_silent
        });
        let mut live: Vec<_> = live.map(|sight| sight.life.id).collect();
        live.sort_unstable();
        live
    }

    /// Who has been silent for a lease.
    pub fn silent(&self, now: Instant) -> Vec<ConsumerLife> {
        let silent = self
            .of
            .values()
            .filter(|sight| now - sight.since >= self.lease);
        silent.map(|sight| sight.life).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_millis(1_500);
    const LOOK: Duration = Duration::from_millis(200);
    const ONE: ConsumerId = ConsumerId(1);
    const TWO: ConsumerId = ConsumerId(2);

    fn life(id: ConsumerId, beats: i64) -> ConsumerLife {
        ConsumerLife { id, beats }
    }

    /// Looks at the same rows again and again, until `after` the time `at`.
    fn watched(
        sights: &mut Sights,
        lives: &[ConsumerLife],
        at: Instant,
        after: Duration,
    ) -> Instant {
        let mut now = at;
        while now < at + after {
            now = (now + LOOK).min(at + after);
            sights.update(lives.to_vec(), now);
        }
        now
    }

    #[test]
    fn who_was_there_before_counts_once_they_beat_and_until_they_are_silent_for_a_lease() {
        let (mut sights, start) = (Sights::new(LEASE), Instant::now());
        sights.update(vec![life(ONE, 7)], start);
        assert_eq!(sights.live(start), []);
        let now = watched(&mut sights, &[life(ONE, 7)], start, LOOK);
        assert_eq!(sights.live(now), []);
        let heard = watched(&mut sights, &[life(ONE, 8)], now, LOOK);
        assert_eq!(sights.live(heard), [ONE]);
        let now = watched(&mut sights, &[life(ONE, 8)], heard, LEASE - LOOK);
        assert_eq!((sights.live(now), sights.silent(now)), (vec![ONE], vec![]));
        let now = watched(&mut sights, &[life(ONE, 8)], now, LOOK);
        assert_eq!(sights.live(now), []);
        assert_eq!(sights.silent(now), [life(ONE, 8)]);
        let now = watched(&mut sights, &[life(ONE, 9)], now, LOOK);
        assert_eq!((sights.live(now), sights.silent(now)), (vec![ONE], vec![]));
    }

    #[test]
    fn what_a_dead_one_left_behind_never_counts_and_is_silent_after_a_lease() {
        let (mut sights, start) = (Sights::new(LEASE), Instant::now());
        sights.update(vec![life(ONE, 7)], start);
        let now = watched(&mut sights, &[life(ONE, 7)], start, LEASE);
        assert_eq!(sights.live(now), []);
        assert_eq!(sights.silent(now), [life(ONE, 7)]);
    }

    #[test]
    fn who_comes_later_counts_at_once_and_who_has_left_does_not() {
        let (mut sights, start) = (Sights::new(LEASE), Instant::now());
        sights.update(vec![], start);
        let now = watched(&mut sights, &[life(TWO, 0)], start, LOOK);
        assert_eq!(sights.live(now), [TWO]);
        let now = watched(&mut sights, &[], now, LOOK);
        assert_eq!((sights.live(now), sights.silent(now)), (vec![], vec![]));
    }

    #[test]
    fn a_time_without_a_look_makes_nobody_silent_and_nobody_new() {
        let both = [life(ONE, 7), life(TWO, 0)];
        for is_missed in [true, false] {
            let (mut sights, start) = (Sights::new(LEASE), Instant::now());
            sights.update(vec![life(ONE, 6)], start);
            let now = watched(&mut sights, &both[..1], start, LEASE - LOOK);
            assert_eq!(sights.live(now), [ONE]);
            let now = match is_missed {
                true => now + LOOK,
                false => now + Duration::from_secs(3_600),
            };
            if is_missed {
                sights.missed();
            }
            sights.update(both.to_vec(), now);
            assert_eq!((sights.live(now), sights.silent(now)), (vec![ONE], vec![]));
            let now = watched(&mut sights, &both, now, LEASE);
            assert_eq!(sights.live(now), []);
            assert_eq!(sights.silent(now).len(), 2);
        }
    }
}
