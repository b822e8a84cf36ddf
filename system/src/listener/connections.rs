//! How many clients are connected, over all serving threads: a bound, so that they never take the
//! files that the process needs itself.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Pause between two log lines about the same trouble.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The places for clients.
#[derive(Debug)]
pub struct Connections {
    most: usize,
    taken: AtomicUsize,
    turned_away: AtomicU64,
    surplus: Occasionally,
    /// Accepts that failed.
    pub failures: Occasionally,
}

impl Connections {
    /// As many places as `most`.
    pub fn at_most(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            taken: AtomicUsize::new(0),
            turned_away: AtomicU64::new(0),
            surplus: Occasionally::default(),
            failures: Occasionally::default(),
        })
    }

    /// How many there are.
    pub fn most(&self) -> usize {
        self.most
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many clients were turned away, ever.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    /// Counts a client who found no place; how many there were since this was last told, if it is
    /// time to tell again.
    pub fn turn_away(&self) -> Option<u64> {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        self.surplus.count()
    }

    /// A place, if one is free.
    pub fn take(self: &Arc<Self>) -> Option<Place> {
        // One too many is dropped right here, which gives it back.
        let place = Place(self.clone());
        (self.taken.fetch_add(1, Ordering::Relaxed) < self.most).then_some(place)
    }
}

/// One client's place; given back on drop.
#[derive(Debug)]
pub struct Place(Arc<Connections>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts what may happen thousands of times a second, and says now and then how often it has.
#[derive(Debug, Default)]
pub struct Occasionally {
    count: AtomicU64,
    told: Mutex<Option<Instant>>,
}

impl Occasionally {
    /// Once more; how often since this was last told, if it is time to tell again.
    pub fn count(&self) -> Option<u64> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|told| told.elapsed() < LOG_INTERVAL) {
            return None;
        }
        *told = Some(Instant::now());
        Some(self.count.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let connections = Connections::at_most(2);
        let held = [connections.take(), connections.take()];
        assert!(held.iter().all(Option::is_some));
        assert!(connections.take().is_none());
        drop(held);
        assert!(connections.take().is_some());
        assert_eq!(connections.taken.load(Ordering::Relaxed), 0);
        for turned_away in 1..4 {
            connections.turn_away();
            assert_eq!(connections.turned_away(), turned_away);
        }
    }

    #[test]
    fn trouble_is_told_at_once_and_then_not_again_for_a_while() {
        let trouble = Occasionally::default();
        assert_eq!(trouble.count(), Some(1));
        assert_eq!(trouble.count(), None);
    }
}
