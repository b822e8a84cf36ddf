//! The units that this process may sell without asking anybody: one number that never falls below
//! zero.
//!
//! units-in-one-place (R16): units come in only after the database has granted them, and go out of
//! here before the database hears of it, so the sum over everybody never exceeds what was granted.

use super::wants::Elsewhere;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What the stock needs of an atomic number; the tests put a model checker's in its place.
pub trait Number {
    fn load(&self) -> u64;
    /// Adds; wraps around beyond the largest number, which no sale comes near.
    fn add(&self, units: u64);
    /// Replaces `from` by `to` if it is still `from`; may fail for no reason. The value that was
    /// there otherwise.
    fn replace(&self, from: u64, to: u64) -> Result<(), u64>;
}

// Relaxed would do for the count alone; acquire and release also order what a taker does after a
// refill.
impl Number for AtomicU64 {
    fn load(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    fn add(&self, units: u64) {
        self.fetch_add(units, Ordering::AcqRel);
    }

    fn replace(&self, from: u64, to: u64) -> Result<(), u64> {
        self.compare_exchange_weak(from, to, Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
    }
}

/// Units in memory.
#[derive(Debug, Default)]
pub struct Stock<N = AtomicU64>(N);

impl<N: Number> Stock<N> {
    /// Units there are now. Whoever holds the rights of the lease knows that they only become
    /// fewer.
    pub fn units(&self) -> u64 {
        self.0.load()
    }

    /// Takes all of `units` or nothing.
    pub fn take(&self, units: u64) -> bool {
        let mut there = self.0.load();
        loop {
            let Some(rest) = there.checked_sub(units) else {
                return false;
            };
            match self.0.replace(there, rest) {
                Ok(()) => return true,
                Err(now_there) => there = now_there,
            }
        }
    }

    /// Takes `units`, or what there is of them; how many it took.
    pub fn take_up_to(&self, units: u64) -> u64 {
        let mut there = self.0.load();
        loop {
            let taken = units.min(there);
            match self.0.replace(there, there - taken) {
                Ok(()) => return taken,
                Err(now_there) => there = now_there,
            }
        }
    }

    /// Puts units in. Only for the holder of the lease's rights, after the database has counted
    /// them as idle.
    pub fn put(&self, units: u64) {
        self.0.add(units);
    }
}

/// What a process saw of its sale's units, in its memory and elsewhere.
///
/// The two are not read at once, but the bound on memory is read *before* the look at the database,
/// and memory only falls while the lease's rights are held. So at the moment of the look there were
/// no more units anywhere than the two together, whatever was sold here or came back elsewhere in
/// between: sold-out-means-gone (R18). Counting what is in memory later would miss a unit that was
/// in memory at the look, was sold since, and whose like came back to the pool meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// When it began.
    pub begun: Instant,
    /// Most units that memory had when `elsewhere` was read.
    pub here_at_most: u64,
    /// The units that are not in this process.
    pub elsewhere: Elsewhere,
}

impl Look {
    /// Whether, at the moment of the look, so many units were nowhere.
    pub fn is_too_much(&self, units: u64) -> bool {
        units > self.elsewhere.pooled + self.elsewhere.others + self.here_at_most
    }
}

#[cfg(test)]
#[path = "stock_tests.rs"]
mod tests;
