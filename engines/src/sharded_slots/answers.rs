//! What the script of `sharded-slots` answers, read into values; and the values that go into its
//! calls.

use crate::helpers::records;
use crate::{EngineError, HoldPage, Result, Verdict};
use fred::types::Value;

/// The engine's name, in its listing and in its errors.
pub(super) const NAME: &str = "sharded-slots";

/// What a decision over all slots needs to know of one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SlotState {
    /// Units that can be sold here.
    pub(super) remaining: u64,
    /// Times that units came back.
    pub(super) returned: u64,
    /// Steps of transfers.
    pub(super) moved: u64,
    /// Transfers out of here that are not known to have arrived.
    pub(super) transfers: Vec<Transfer>,
}

/// A transfer on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transfer {
    /// The slot it goes to.
    pub(super) target: usize,
    /// Its number among all transfers between these two slots.
    pub(super) number: i64,
    /// Its units.
    pub(super) quantity: u64,
}

/// What a slot answers to a request.
#[derive(Debug)]
pub(super) enum SlotAnswer {
    /// It is decided, or refused as a mistake.
    Decided(Result<Verdict>),
    /// It wants units that it was not given.
    Undecided,
}

pub(super) fn protocol(operation: &str) -> EngineError {
    EngineError::Protocol(format!(
        "{}: the answer to {operation} makes no sense",
        NAME
    ))
}

pub(super) fn packed(records: Vec<u8>) -> Value {
    Value::Bytes(records.into())
}

pub(super) fn number(number: u64) -> Value {
    Value::from(number.to_string())
}

pub(super) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::String(text) => Some(text.as_bytes()),
        Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

/// A number, as itself or as text.
pub(super) fn read_u64(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        text => std::str::from_utf8(bytes(text)?).ok()?.parse().ok(),
    }
}

/// Transfers as META has them.
pub(super) fn read_transfers(packed: &[u8]) -> Option<Vec<Transfer>> {
    let transfer = |record: &[u8]| {
        Some(Transfer {
            target: usize::from(u16::from_le_bytes(record.get(0..2)?.try_into().ok()?)),
            number: i64::from(records::u32_at(record, 2)?),
            quantity: records::f64_at(record, 6)? as u64,
        })
    };
    packed.chunks(14).map(transfer).collect()
}

pub(super) fn read_state(answer: &Value) -> Option<SlotState> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let [remaining, returned, moved, transfers] = parts.as_slice() else {
        return None;
    };
    Some(SlotState {
        remaining: read_u64(remaining)?,
        returned: read_u64(returned)?,
        moved: read_u64(moved)?,
        transfers: read_transfers(bytes(transfers)?)?,
    })
}

/// The state, the letters, and behind them what some of the letters need.
pub(super) fn read_answers(answer: &Value, count: usize) -> Option<(SlotState, Vec<SlotAnswer>)> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let [state, letters, details @ ..] = parts.as_slice() else {
        return None;
    };
    let letters = bytes(letters).filter(|letters| letters.len() == count)?;
    let mut details = details.iter();
    let mut answers = Vec::with_capacity(count);
    for letter in letters {
        answers.push(match letter {
            b'W' => SlotAnswer::Undecided,
            letter => {
                let verdict = records::read_verdict(*letter, || bytes(details.next()?))?;
                SlotAnswer::Decided(verdict)
            }
        });
    }
    Some((read_state(state)?, answers))
}

/// Cursor and clock, then order and hold in turn.
pub(super) fn read_page(answer: &Value) -> Option<HoldPage> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let [cursor, now_ms, entries @ ..] = parts.as_slice() else {
        return None;
    };
    let (cursor, now_ms) = (read_u64(cursor)?, i64::try_from(read_u64(now_ms)?).ok()?);
    let mut holds = Vec::with_capacity(entries.len() / 2);
    for pair in entries.chunks_exact(2) {
        holds.push(records::read_hold(
            bytes(&pair[0])?,
            bytes(&pair[1])?,
            now_ms,
        )?);
    }
    Some(HoldPage {
        holds,
        next: (cursor != 0).then_some(cursor),
    })
}
