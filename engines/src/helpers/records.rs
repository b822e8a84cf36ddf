//! What goes into a call of the scripts in Redis and comes out of it, as bytes: little-endian,
//! without padding, as `key_set/shared.lua` says. Which Redis client carries it is no matter here.

use crate::{
    EngineError, Finish, FinishKind, Finished, Hold, HoldKey, IncarnationId, OpenHold,
    OpeningBuyer, OrderId, Reserve, Result, UserId, Verdict,
};

const RESERVE_BYTES: usize = 37;
const FINISH_BYTES: usize = 17;
const HOLD_KEY_BYTES: usize = 16;
const BUYER_BYTES: usize = 20;

/// For `reserve`.
pub fn pack_reserves<'a>(items: impl ExactSizeIterator<Item = &'a Reserve>) -> Vec<u8> {
    let mut records = Vec::with_capacity(items.len() * RESERVE_BYTES);
    for item in items {
        records.extend_from_slice(&item.user.0.to_le_bytes());
        records.extend_from_slice(&item.order.0.to_le_bytes());
        records.extend_from_slice(&item.quantity.to_le_bytes());
        records.extend_from_slice(&(item.expires_at_ms as f64).to_le_bytes());
        records.extend_from_slice(&item.incarnation.0.to_le_bytes());
        records.push(u8::from(item.may_sell));
    }
    records
}

/// For `finish`.
pub fn pack_finishes<'a>(items: impl ExactSizeIterator<Item = &'a Finish>) -> Vec<u8> {
    let mut records = Vec::with_capacity(items.len() * FINISH_BYTES);
    for item in items {
        records.extend_from_slice(&item.user.0.to_le_bytes());
        records.extend_from_slice(&item.order.0.to_le_bytes());
        records.push(u8::from(item.kind == FinishKind::Release));
    }
    records
}

/// For `mark`.
pub fn pack_hold_keys(holds: &[HoldKey]) -> Vec<u8> {
    let mut records = Vec::with_capacity(holds.len() * HOLD_KEY_BYTES);
    for hold in holds {
        records.extend_from_slice(&hold.user.0.to_le_bytes());
        records.extend_from_slice(&hold.order.0.to_le_bytes());
    }
    records
}

/// For `load`.
pub fn pack_buyers(buyers: &[OpeningBuyer]) -> Vec<u8> {
    let mut records = Vec::with_capacity(buyers.len() * BUYER_BYTES);
    for buyer in buyers {
        records.extend_from_slice(&buyer.user.0.to_le_bytes());
        records.extend_from_slice(&buyer.order.0.to_le_bytes());
        records.extend_from_slice(&buyer.quantity.to_le_bytes());
    }
    records
}

/// What one letter of the answer to `reserve` means, for the letters that every script has; `gate`
/// is asked for the next detail of the answer where the letter needs one. `None` if the letter is
/// none of them or its detail makes no sense.
pub fn read_verdict<'a>(
    letter: u8,
    gate: impl FnOnce() -> Option<&'a [u8]>,
) -> Option<Result<Verdict>> {
    Some(Ok(match letter {
        b'G' => Verdict::GRANTED,
        b'D' | b'd' => {
            let gate = gate()?;
            Verdict::Duplicate(Hold {
                order: OrderId(i64_at(gate, 0)?),
                quantity: u32_at(gate, 8)?,
                settled: letter == b'd',
                allocation: None,
            })
        }
        b'O' => Verdict::NoOrder,
        b'B' => Verdict::Busy,
        b'E' => Verdict::Expired,
        b'Q' => {
            return Some(Err(EngineError::Config(
                "a reserve of 0 units; at least 1 is needed".to_owned(),
            )));
        }
        _ => return None,
    }))
}

/// The answer to `finish` about `count` items.
pub fn read_finished(letters: &[u8], count: usize) -> Option<Vec<Finished>> {
    let finished = |letter: &u8| match letter {
        b'D' => Some(Finished::Done),
        b'A' => Some(Finished::AlreadyDone),
        _ => None,
    };
    let letters = Some(letters).filter(|letters| letters.len() == count)?;
    letters.iter().map(finished).collect()
}

/// One hold of the answers to `list` and `mark`.
pub fn read_hold(order: &[u8], hold: &[u8], now_ms: i64) -> Option<OpenHold> {
    let touched_at_ms = f64_at(hold, 12)? as i64;
    let touched_by = hold.get(21..)?.chunks_exact(8);
    let touched_by = touched_by.filter_map(|id| i64_at(id, 0));
    Some(OpenHold {
        order: OrderId(i64_at(order, 0)?),
        user: UserId(i64_at(hold, 0)?),
        quantity: u32_at(hold, 8)?,
        touched_at_ms,
        age_ms: u64::try_from(now_ms - touched_at_ms).unwrap_or(0),
        touched_by: touched_by.map(IncarnationId).collect(),
        marked: *hold.get(20)? == 1,
    })
}

pub fn i64_at(record: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_le_bytes(record.get(at..at + 8)?.try_into().ok()?))
}

pub fn u32_at(record: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(record.get(at..at + 4)?.try_into().ok()?))
}

pub fn f64_at(record: &[u8], at: usize) -> Option<f64> {
    Some(f64::from_le_bytes(record.get(at..at + 8)?.try_into().ok()?))
}
