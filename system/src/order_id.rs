//! Mints order ids: 41 bits of ms since 2025-01-01, 10 bits of worker id, 12 bits of sequence.
//!
//! Ids of one minter only grow, also across a clock step-back: the minter stays on the last ms it
//! used and borrows from the future. It never passes the time that its incarnation's row names,
//! whatever the clock shows; beyond that it refuses instead of minting something that the next
//! holder of the worker id could repeat.

use crate::ids::WorkerId;
use engines::OrderId;
use std::sync::atomic::{AtomicU64, Ordering};

/// Unix ms of 2025-01-01T00:00:00Z, the zero of the time part.
const EPOCH_MS: i64 = 1_735_689_600_000;
const SEQUENCE_BITS: u32 = 12;
const WORKER_BITS: u32 = 10;
/// Number of worker ids.
pub const WORKER_IDS: i64 = 1 << WORKER_BITS;
/// How far the time part may at least run ahead of the wall clock, ms, when ids are minted faster
/// than it goes or the clock has stepped back. Heartbeats store the high-water mark plus this and
/// the lease, and the next holder of the worker id starts above it.
pub const MAX_AHEAD_MS: i64 = 2_000;

/// Shared by all threads of one incarnation.
#[derive(Debug)]
pub struct Minter {
    worker: u64,
    /// Last minted (ms << SEQUENCE_BITS | sequence).
    last: AtomicU64,
    /// worker-id-outlives-lease (R17): what the incarnation's row names; ms.
    until: AtomicU64,
}

fn since_epoch(unix_ms: i64) -> u64 {
    u64::try_from(unix_ms - EPOCH_MS).unwrap_or(0)
}

impl Minter {
    /// A minter of `worker`, above everything an earlier holder can have minted (`minted_until_ms`)
    /// and up to what the row names now (`until_ms`), both unix.
    pub fn new(worker: WorkerId, minted_until_ms: i64, until_ms: i64) -> Self {
        assert!(
            (0..WORKER_IDS).contains(&worker.0),
            "worker id {worker} out of range"
        );
        Self {
            worker: worker.0.cast_unsigned(),
            last: AtomicU64::new(since_epoch(minted_until_ms + 1) << SEQUENCE_BITS),
            until: AtomicU64::new(since_epoch(until_ms)),
        }
    }

    /// The row names `until_ms` now, unix; never an earlier time than before.
    pub fn may_mint_until(&self, until_ms: i64) {
        self.until
            .fetch_max(since_epoch(until_ms), Ordering::Relaxed);
    }

    /// The next id, or `None` when everything up to the time in the row is minted.
    pub fn mint(&self, now_ms: i64) -> Option<OrderId> {
        let until = self.until.load(Ordering::Relaxed);
        // A clock that leapt forward waits here for the next heartbeat.
        let now = since_epoch(now_ms).min(until.saturating_sub(MAX_AHEAD_MS.unsigned_abs()));
        let next = |last: u64| {
            let candidate = (last + 1).max(now << SEQUENCE_BITS);
            (candidate >> SEQUENCE_BITS <= until).then_some(candidate)
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

    /// What the row is to name so that ids can be minted for `lease_ms` from `now_ms` (unix), never
    /// an earlier time than it names.
    pub fn next_until_ms(&self, now_ms: i64, lease_ms: u64) -> i64 {
        let until_ms = i64::try_from(self.until.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        let next_ms = minted_until_ms(self.high_water_ms(now_ms), lease_ms);
        next_ms.max(until_ms.saturating_add(EPOCH_MS))
    }
}

/// What a process may mint while its lease runs, without another heartbeat, lies below this (unix
/// ms).
pub fn minted_until_ms(high_water_ms: i64, lease_ms: u64) -> i64 {
    high_water_ms.saturating_add_unsigned(lease_ms)
}

/// Unix ms at which `order` was minted.
pub fn minted_at_ms(order: OrderId) -> i64 {
    (order.0 >> (WORKER_BITS + SEQUENCE_BITS)) + EPOCH_MS
}

/// Under which worker id `order` was minted, if it ever was.
pub fn worker_of(order: OrderId) -> WorkerId {
    WorkerId(order.0 >> SEQUENCE_BITS & (WORKER_IDS - 1))
}

/// The largest id that can have been minted at `unix_ms`: every id up to it was minted by then, and
/// none above it.
pub fn last_minted_by(unix_ms: i64) -> OrderId {
    let next_ms = i64::try_from(since_epoch(unix_ms.saturating_add(1))).unwrap_or(i64::MAX);
    let shift = WORKER_BITS + SEQUENCE_BITS;
    OrderId((next_ms.min(i64::MAX >> shift) << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const NOW: i64 = 1_800_000_000_000;
    const HOUR: i64 = 3_600_000;
    /// What the row names after a heartbeat at `NOW`.
    const UNTIL: i64 = NOW + MAX_AHEAD_MS + 3_000;

    #[test]
    fn ids_grow_and_never_repeat_even_when_the_clock_steps_back() {
        let minter = Minter::new(WorkerId(7), 0, UNTIL);
        // Back by an hour, and forward again.
        let clock = (0..20_000).map(|i| if i % 3 == 0 { NOW - HOUR } else { NOW + i / 20 });
        let ids: Vec<_> = clock
            .map(|now| minter.mint(now).expect("within bounds").0)
            .collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    }

    #[test]
    fn a_clock_that_leaps_forward_mints_nothing_beyond_the_time_in_the_row() {
        let minter = Minter::new(WorkerId(7), 0, UNTIL);
        let last = minter.mint(NOW + HOUR).expect("an id");
        assert!(minted_at_ms(last) <= UNTIL, "{}", minted_at_ms(last));
        let next = Minter::new(WorkerId(7), UNTIL, UNTIL + 5_000);
        assert!(next.mint(NOW).expect("an id") > last);
        // The next heartbeat lets it go on at its clock.
        let until = minter.next_until_ms(NOW + HOUR, 3_000);
        minter.may_mint_until(until);
        let last = minter.mint(NOW + HOUR).expect("an id");
        assert_eq!(minted_at_ms(last), NOW + HOUR);
        // And back again: what the row names never falls.
        assert_eq!(minter.next_until_ms(NOW, 3_000), until);
        assert!(minter.mint(NOW).expect("an id") > last);
    }

    #[test]
    fn what_the_next_holder_could_repeat_is_refused() {
        let minter = Minter::new(WorkerId(7), UNTIL - 2, UNTIL);
        let minted: Vec<_> = std::iter::from_fn(|| minter.mint(NOW)).collect();
        assert!(!minted.is_empty());
        assert!(minted.iter().all(|order| minted_at_ms(*order) <= UNTIL));
    }

    #[test]
    fn a_new_holder_of_a_worker_id_starts_above_everything_the_old_one_minted() {
        let old = Minter::new(WorkerId(3), 0, UNTIL);
        let last = (0..5_000)
            .filter_map(|_| old.mint(NOW))
            .last()
            .expect("ids");
        let new = Minter::new(WorkerId(3), old.high_water_ms(NOW), UNTIL + HOUR);
        let first = new
            .mint(NOW + 10)
            .expect("the old holder's margin lies within the bound");
        assert!(first > last);
    }

    #[test]
    fn different_workers_never_collide_and_the_mint_time_can_be_read_back() {
        let (a, b) = (
            Minter::new(WorkerId(0), 0, UNTIL),
            Minter::new(WorkerId(WORKER_IDS - 1), 0, UNTIL),
        );
        let (a, b) = (a.mint(NOW).expect("a"), b.mint(NOW).expect("b"));
        assert_ne!(a, b);
        assert_eq!((minted_at_ms(a), minted_at_ms(b)), (NOW, NOW));
        let (before, last) = (last_minted_by(NOW - 1), last_minted_by(NOW));
        assert!([a, b].iter().all(|id| before < *id && *id <= last));
        assert_eq!((minted_at_ms(before), minted_at_ms(last)), (NOW - 1, NOW));
    }
}
