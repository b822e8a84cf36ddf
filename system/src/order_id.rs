//! Mints order ids: 41 bits of ms since 2025-01-01, 10 bits of worker id, 12 bits of sequence.
//!
//! Ids of one minter only grow, also across a clock step-back: the minter stays on the last ms it
//! used and borrows from the future within [`MAX_AHEAD_MS`]; beyond that it refuses instead of
//! minting something a restart could repeat.

use crate::ids::WorkerId;
use engines::OrderId;
use std::sync::atomic::{AtomicU64, Ordering};

/// Unix ms of 2025-01-01T00:00:00Z, the zero of the time part.
const EPOCH_MS: i64 = 1_735_689_600_000;
const SEQUENCE_BITS: u32 = 12;
const WORKER_BITS: u32 = 10;
/// Number of worker ids.
pub const WORKER_IDS: i64 = 1 << WORKER_BITS;
/// How far the time part may run ahead of the wall clock, ms. Heartbeats store the high-water mark
/// plus this, and the next holder of the worker id starts above it.
pub const MAX_AHEAD_MS: i64 = 2_000;

/// Shared by all threads of one incarnation.
#[derive(Debug)]
pub struct Minter {
    worker: u64,
    /// Last minted (ms << SEQUENCE_BITS | sequence).
    last: AtomicU64,
}

impl Minter {
    /// A minter of `worker`, above everything an earlier holder can have minted (`minted_until_ms`,
    /// unix).
    pub fn new(worker: WorkerId, minted_until_ms: i64) -> Self {
        assert!(
            (0..WORKER_IDS).contains(&worker.0),
            "worker id {worker} out of range"
        );
        let floor = u64::try_from(minted_until_ms - EPOCH_MS + 1).unwrap_or(0);
        Self {
            worker: worker.0.cast_unsigned(),
            last: AtomicU64::new(floor << SEQUENCE_BITS),
        }
    }

    /// The next id, or `None` when the time part would run more than [`MAX_AHEAD_MS`] ahead of
    /// `now_ms`.
    pub fn mint(&self, now_ms: i64) -> Option<OrderId> {
        let now = u64::try_from(now_ms - EPOCH_MS).ok()?;
        let limit = now + MAX_AHEAD_MS.unsigned_abs();
        let next = |last: u64| {
            let candidate = (last + 1).max(now << SEQUENCE_BITS);
            (candidate >> SEQUENCE_BITS <= limit).then_some(candidate)
        };
        let previous = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .ok()?;
        let minted = next(previous)?;
        let (ms, sequence) = (minted >> SEQUENCE_BITS, minted & ((1 << SEQUENCE_BITS) - 1));
        let id = ms << (WORKER_BITS + SEQUENCE_BITS) | self.worker << SEQUENCE_BITS | sequence;
        i64::try_from(id).ok().map(OrderId)
    }

    /// Unix ms that no id of this minter has passed or will pass before `now_ms`.
    pub fn high_water_ms(&self, now_ms: i64) -> i64 {
        let minted_ms = i64::try_from(self.last.load(Ordering::Relaxed) >> SEQUENCE_BITS)
            .unwrap_or(i64::MAX - EPOCH_MS);
        (minted_ms + EPOCH_MS).max(now_ms) + MAX_AHEAD_MS
    }
}

/// Unix ms at which `order` was minted.
pub fn minted_at_ms(order: OrderId) -> i64 {
    (order.0 >> (WORKER_BITS + SEQUENCE_BITS)) + EPOCH_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const NOW: i64 = 1_800_000_000_000;

    #[test]
    fn ids_grow_and_never_repeat_even_when_the_clock_steps_back() {
        let minter = Minter::new(WorkerId(7), 0);
        // Back by up to 1,500 ms, and forward again: within the bound.
        let clock = (0..20_000).map(|i| if i % 3 == 0 { NOW - 500 } else { NOW + i / 20 });
        let ids: Vec<_> = clock
            .map(|now| minter.mint(now).expect("within bounds").0)
            .collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    }

    #[test]
    fn a_clock_far_behind_is_refused_instead_of_repeated() {
        let minter = Minter::new(WorkerId(7), 0);
        minter.mint(NOW).expect("first");
        assert_eq!(minter.mint(NOW - MAX_AHEAD_MS - 1), None);
    }

    #[test]
    fn a_new_holder_of_a_worker_id_starts_above_everything_the_old_one_minted() {
        let old = Minter::new(WorkerId(3), 0);
        let last = (0..5_000)
            .filter_map(|_| old.mint(NOW))
            .last()
            .expect("ids");
        let new = Minter::new(WorkerId(3), old.high_water_ms(NOW));
        let first = new
            .mint(NOW + 10)
            .expect("the old holder's margin lies within the bound");
        assert!(first > last);
    }

    #[test]
    fn different_workers_never_collide_and_the_mint_time_can_be_read_back() {
        let (a, b) = (
            Minter::new(WorkerId(0), 0),
            Minter::new(WorkerId(WORKER_IDS - 1), 0),
        );
        let (a, b) = (a.mint(NOW).expect("a"), b.mint(NOW).expect("b"));
        assert_ne!(a, b);
        assert_eq!((minted_at_ms(a), minted_at_ms(b)), (NOW, NOW));
    }
}
