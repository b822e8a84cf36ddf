//! Who of this process's buyers may not buy again, and which of their holds are open: in memory, in
//! shards.
//!
//! A buyer costs 24 bytes and a share of the table's free places, settled or not. Calls on buyers
//! of different shards do not wait for each other, and none holds a shard for longer than it takes
//! to look up one buyer, except to list holds.

use crate::helpers::clock::millis;
use crate::{
    HoldKey, HoldPage, HoldPageQuery, IncarnationId, OpenHold, OrderId, PAGE_MAX, Reserve, UserId,
};
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Enough that threads seldom meet, few enough that an empty sale is small.
const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 7;
/// Spreads consecutive user ids over the shards (2⁶⁴ divided by the golden ratio).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
/// `when` of a gate whose order is in the database.
const SETTLED: u32 = u32::MAX;
/// Set in `when` of a hold that is marked for voiding.
const MARKED: u32 = 1 << 31;
/// The low bits of the time of the last touch, unix ms. They tell ages within 12 days of now; no
/// hold stays open long.
const WHEN_MASK: u32 = MARKED - 1;

/// One buyer's live order.
#[derive(Clone, Copy, Debug)]
struct Gate {
    order: i64,
    quantity: u32,
    when: u32,
}

impl Gate {
    fn is_open(self) -> bool {
        self.when != SETTLED
    }

    fn is_marked(self) -> bool {
        self.is_open() && self.when & MARKED != 0
    }

    /// Ms since the last touch; 0 if the clock was set back meanwhile.
    fn age_ms(self, now_ms: i64) -> u64 {
        let now = (now_ms & i64::from(WHEN_MASK)) as u32;
        let apart = now.wrapping_sub(self.when) & WHEN_MASK;
        if apart > WHEN_MASK / 2 {
            0
        } else {
            u64::from(apart)
        }
    }

    fn to_hold(self, user: i64, now_ms: i64, publisher: IncarnationId) -> OpenHold {
        let age_ms = self.age_ms(now_ms);
        OpenHold {
            order: OrderId(self.order),
            user: UserId(user),
            quantity: self.quantity,
            touched_at_ms: now_ms - age_ms.cast_signed(),
            age_ms,
            touched_by: vec![publisher],
            marked: self.is_marked(),
        }
    }
}

/// The last touch of a hold at `now_ms`. All bits set would read as settled, so that moment counts
/// as the one before.
fn when(now_ms: i64) -> u32 {
    ((now_ms & i64::from(WHEN_MASK)) as u32).min(WHEN_MASK - 1)
}

/// A shard has a cache line of its own, so that neighbours do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard(Mutex<Buyers>);

#[derive(Debug, Default)]
struct Buyers {
    gates: HashMap<i64, Gate, RandomState>,
    open_units: u64,
}

/// What the gate says to a request.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// The buyer had no order; the units were taken and this is their hold now.
    Granted,
    /// The buyer had no order, and the units could not be taken.
    Short,
    /// Their order; if it is open it was touched.
    Known {
        order: OrderId,
        quantity: u32,
        is_settled: bool,
    },
    /// Their hold is being voided.
    Marked,
}

/// An order that was released.
#[derive(Clone, Copy, Debug)]
pub struct Released {
    pub quantity: u32,
    /// Whether its hold was open until now.
    pub was_open: bool,
}

/// All shards.
#[derive(Debug)]
pub struct Gates(Box<[Shard]>);

impl Gates {
    /// The settled orders of `rows`: user, order and quantity.
    pub fn load(rows: Vec<[i64; 3]>) -> Self {
        let shards: Box<[Shard]> = (0..SHARDS).map(|_| Shard::default()).collect();
        let gate = Self(shards);
        for [user, order, quantity] in rows {
            let quantity = u32::try_from(quantity).unwrap_or(0);
            gate.shard(user).gates.insert(
                user,
                Gate {
                    order,
                    quantity,
                    when: SETTLED,
                },
            );
        }
        gate
    }

    fn shard(&self, user: i64) -> MutexGuard<'_, Buyers> {
        let index = user.cast_unsigned().wrapping_mul(SPREAD) >> (u64::BITS - SHARD_BITS);
        lock(&self.0[index as usize])
    }

    /// Asks for `item`; `take` is called under the shard's lock if its buyer has no order yet.
    pub fn ask(&self, item: &Reserve, now_ms: i64, take: impl FnOnce() -> bool) -> Answer {
        let mut shard = self.shard(item.user.0);
        let buyers = &mut *shard;
        match buyers.gates.entry(item.user.0) {
            Entry::Occupied(mut known) => {
                let gate = known.get_mut();
                if gate.is_marked() {
                    return Answer::Marked;
                }
                let is_settled = !gate.is_open();
                if !is_settled {
                    gate.when = when(now_ms);
                }
                Answer::Known {
                    order: OrderId(gate.order),
                    quantity: gate.quantity,
                    is_settled,
                }
            }
            Entry::Vacant(free) => {
                if !take() {
                    return Answer::Short;
                }
                free.insert(Gate {
                    order: item.order.0,
                    quantity: item.quantity,
                    when: when(now_ms),
                });
                buyers.open_units += u64::from(item.quantity);
                Answer::Granted
            }
        }
    }

    /// Closes the hold of `order`; whether it was open.
    pub fn settle(&self, user: UserId, order: OrderId) -> bool {
        let mut shard = self.shard(user.0);
        let Some(gate) = shard.gates.get_mut(&user.0) else {
            return false;
        };
        if gate.order != order.0 || !gate.is_open() {
            return false;
        }
        gate.when = SETTLED;
        let quantity = gate.quantity;
        shard.open_units -= u64::from(quantity);
        true
    }

    /// Clears the gate if it is that of `order`.
    pub fn release(&self, user: UserId, order: OrderId) -> Option<Released> {
        let mut shard = self.shard(user.0);
        let buyers = &mut *shard;
        let Entry::Occupied(known) = buyers.gates.entry(user.0) else {
            return None;
        };
        if known.get().order != order.0 {
            return None;
        }
        let gate = known.remove();
        if gate.is_open() {
            buyers.open_units -= u64::from(gate.quantity);
        }
        Some(Released {
            quantity: gate.quantity,
            was_open: gate.is_open(),
        })
    }

    /// Forgets everybody.
    pub fn clear(&self) {
        for shard in &self.0 {
            *lock(shard) = Buyers::default();
        }
    }

    /// Units in open holds.
    pub fn open_units(&self) -> u64 {
        self.0.iter().map(|shard| lock(shard).open_units).sum()
    }

    /// Open holds that are old enough, whole shards at a time until there are enough of them: a hold
    /// never changes its shard, so each that stays open is met once. The cursor is the next shard.
    pub fn list(&self, now_ms: i64, page: &HoldPageQuery, publisher: IncarnationId) -> HoldPage {
        let limit = page.limit.clamp(1, PAGE_MAX) as usize;
        let mut holds = Vec::new();
        let first = usize::try_from(page.cursor).unwrap_or(SHARDS).min(SHARDS);
        for (index, shard) in self.0.iter().enumerate().skip(first) {
            if holds.len() >= limit {
                return HoldPage {
                    holds,
                    next: Some(index as u64),
                };
            }
            let shard = lock(shard);
            if shard.open_units > 0 {
                let open = shard.gates.iter().filter(|(_, gate)| gate.is_open());
                let old = open.filter(|(_, gate)| gate.age_ms(now_ms) >= millis(page.age));
                holds.extend(old.map(|(user, gate)| gate.to_hold(*user, now_ms, publisher)));
            }
        }
        HoldPage { holds, next: None }
    }

    /// Marks those of `holds` that are open and old enough, age test and mark under one lock:
    /// mark-with-age (R8). Answers all that are marked now.
    pub fn mark(
        &self,
        now_ms: i64,
        age_ms: u64,
        holds: &[HoldKey],
        publisher: IncarnationId,
    ) -> Vec<OpenHold> {
        let mark = |hold: &HoldKey| {
            let mut buyers = self.shard(hold.user.0);
            let gate = buyers.gates.get_mut(&hold.user.0)?;
            if gate.order != hold.order.0 || !gate.is_open() {
                return None;
            }
            if gate.age_ms(now_ms) >= age_ms {
                gate.when |= MARKED;
            }
            let is_marked = gate.is_marked();
            is_marked.then(|| gate.to_hold(hold.user.0, now_ms, publisher))
        };
        holds.iter().filter_map(mark).collect()
    }
}

/// No code panics while it holds a shard; if one did, its buyers would still be whole.
fn lock(shard: &Shard) -> MutexGuard<'_, Buyers> {
    shard.0.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_exact_over_the_wrap_of_its_bits_and_zero_when_the_clock_is_set_back() {
        for touched_ms in [0, 1 << 31, (1 << 31) - 5, 1_795_000_000_000] {
            let gate = Gate {
                order: 1,
                quantity: 1,
                when: when(touched_ms),
            };
            assert!(gate.is_open() && !gate.is_marked());
            assert_eq!(gate.age_ms(touched_ms + 7), 7, "touched at {touched_ms}");
            assert_eq!(
                gate.age_ms(touched_ms - 3_000),
                0,
                "touched at {touched_ms}"
            );
            assert_eq!(
                gate.to_hold(1, touched_ms + 7, IncarnationId(1))
                    .touched_at_ms,
                touched_ms
            );
            assert_eq!(
                Gate {
                    when: gate.when | MARKED,
                    ..gate
                }
                .age_ms(touched_ms + 7),
                7
            );
        }
        let last = Gate {
            order: 1,
            quantity: 1,
            when: when(i64::from(WHEN_MASK)) | MARKED,
        };
        assert!(
            last.is_open() && last.is_marked(),
            "no moment reads as settled"
        );
    }

    #[test]
    fn a_gate_is_24_bytes_with_its_buyer() {
        assert_eq!(size_of::<(i64, Gate)>(), 24);
    }
}
