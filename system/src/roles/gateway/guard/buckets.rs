//! Where token buckets are kept: so many and no more, in shards, each with a lock of its own.
//!
//! A bucket that is full again is as good as none, and goes when room is needed; one that is in use
//! never does, or its owner would get a full one in its place. So while all of a shard are in use,
//! those who come new share one bucket: somebody who comes from a million addresses gets no more than
//! the bucket of one address for each shard, and takes nothing from whoever was there before.

use governor::nanos::Nanos;
use governor::state::StateStore;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Shards; a power of two.
const SHARDS: usize = 64;
/// Shortest pause between two searches of one shard for buckets that are full again. A search looks
/// at all of them, which must not be the price of every request that is turned away.
const SEARCH_PAUSE: Duration = Duration::from_millis(10);

/// Buckets by the hash of their key: they cost the same however long keys are. The hash must be one
/// that clients cannot foresee, or they choose whose bucket they share.
#[derive(Debug)]
pub struct Buckets {
    shards: Vec<Mutex<Shard>>,
    /// Most buckets of a shard.
    most: usize,
    /// Time that one request takes from a bucket.
    price: Nanos,
}

/// When each bucket is full again, since the limiter began.
#[derive(Debug, Default)]
struct Shard {
    full_at: HashMap<u64, Nanos, BuildHasherDefault<Hashed>>,
    /// Of those who find no room.
    shared: Option<Nanos>,
    next_search: u64,
}

impl Buckets {
    /// At most `most` in all, which fill by a token in `interval`.
    pub fn at_most(most: usize, interval: Duration) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            most: most.div_ceil(SHARDS),
            price: interval.max(Duration::from_nanos(1)).into(),
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        let lock = |shard: &Mutex<Shard>| shard.lock().expect("sound").full_at.len();
        self.shards.iter().map(lock).sum()
    }
}

impl Shard {
    /// Whether there is room for one more at `now`; makes it if there can be.
    fn has_room(&mut self, most: usize, now: u64) -> bool {
        if self.full_at.len() < most {
            return true;
        }
        if now < self.next_search {
            return false;
        }
        self.full_at.retain(|_, full_at| full_at.as_u64() > now);
        let pause = u64::try_from(SEARCH_PAUSE.as_nanos()).unwrap_or(u64::MAX);
        self.next_search = now.saturating_add(pause);
        self.full_at.len() < most
    }
}

impl StateStore for Buckets {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // The map takes the lower bits.
        let shard = (key >> 48) as usize % SHARDS;
        let mut shard = self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(full_at) = shard.full_at.get_mut(key) {
            let (outcome, next) = measure(Some(*full_at))?;
            *full_at = next;
            return Ok(outcome);
        }
        // A bucket that was full a moment ago is full again after the price of one request: this is
        // how late it is.
        let (outcome, next) = measure(None)?;
        let now = next.saturating_sub(self.price).as_u64();
        if shard.has_room(self.most, now) {
            shard.full_at.insert(*key, next);
            return Ok(outcome);
        }
        let (outcome, next) = measure(shard.shared)?;
        shard.shared = Some(next);
        Ok(outcome)
    }
}

/// What is a hash already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a key is one number");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use governor::middleware::NoOpMiddleware;
    use governor::{Quota, RateLimiter};
    use std::hash::{BuildHasher, RandomState};
    use std::num::NonZeroU32;

    const MOST: usize = 64 * 100;

    struct Limited {
        limiter: RateLimiter<u64, Buckets, FakeRelativeClock, NoOpMiddleware<Nanos>>,
        clock: FakeRelativeClock,
        hasher: RandomState,
    }

    impl Limited {
        /// One request per second, three at once.
        fn new() -> Self {
            let burst = NonZeroU32::new(3).expect("three");
            let quota = Quota::per_second(NonZeroU32::MIN).allow_burst(burst);
            let clock = FakeRelativeClock::default();
            let buckets = Buckets::at_most(MOST, quota.replenish_interval());
            Self {
                limiter: RateLimiter::new(quota, buckets, clock.clone()),
                clock,
                hasher: RandomState::new(),
            }
        }

        fn asks(&self, whoever: u64) -> bool {
            let key = self.hasher.hash_one(whoever);
            self.limiter.check_key(&key).is_ok()
        }

        fn wait_ms(&self, ms: u64) {
            self.clock.advance(Duration::from_millis(ms));
        }
    }

    #[test]
    fn a_million_keys_take_no_more_room_and_push_nobody_in_use_out() {
        let limited = Limited::new();
        // Honest people, who have used what they may.
        let honest = 0..500;
        for whoever in honest.clone() {
            assert!((0..3).all(|_| limited.asks(whoever)));
            assert!(!limited.asks(whoever));
        }
        let through = (1_000..1_001_000).filter(|whoever| limited.asks(*whoever));
        // A first token for each that finds room, and one bucket for each shard.
        let through = through.count();
        assert!(through <= MOST - 500 + SHARDS * 3, "{through}");
        // No one of them is new again: each would get three at once.
        assert!(honest.clone().all(|whoever| !limited.asks(whoever)));
        limited.wait_ms(1_000);
        for whoever in honest {
            assert!(limited.asks(whoever), "their token of this second");
            assert!(!limited.asks(whoever));
        }
        assert_eq!(limited.limiter.into_state_store().len(), MOST);
    }

    #[test]
    fn who_is_pushed_out_gets_no_more_than_who_stays() {
        // The attacker uses a key up, floods with others, and comes back.
        let limited = Limited::new();
        assert!((0..3).all(|_| limited.asks(1)));
        for round in 0..50 {
            for whoever in 0..2_000 {
                limited.asks(10_000 + round * 2_000 + whoever);
            }
            assert!(!limited.asks(1));
            limited.wait_ms(10);
        }
    }

    #[test]
    fn buckets_that_are_full_again_make_room() {
        let limited = Limited::new();
        for whoever in 0..1_000_000 {
            limited.asks(whoever);
        }
        let newcomer = 2_000_000;
        let alone = |limited: &Limited| (0..4).filter(|_| limited.asks(newcomer)).count();
        assert!(alone(&limited) < 3, "there is no room yet");
        limited.wait_ms(3_000);
        assert_eq!(alone(&limited), 3, "a bucket of their own");
        assert!(limited.limiter.into_state_store().len() <= MOST);
    }

    #[test]
    fn a_full_shard_is_searched_at_most_once_per_pause() {
        let mut shard = Shard::default();
        for key in 0..4 {
            shard.full_at.insert(key, Nanos::new(1_000 + key));
        }
        let pause = u64::try_from(SEARCH_PAUSE.as_nanos()).expect("short");
        assert!(!shard.has_room(4, 999));
        assert!(!shard.has_room(4, 998 + pause), "not searched again yet");
        assert!(shard.has_room(4, 999 + pause));
        assert!(shard.full_at.is_empty());
    }
}
