//! What the script of `lua-single-key` answers, read into values.

use crate::helpers::records;
use crate::{EngineError, HoldPage, Result, Verdict};
use redis::Value;

/// The engine's name, in its listing and in its errors.
pub(super) const NAME: &str = "lua-single-key";

pub(super) fn protocol(operation: &str) -> EngineError {
    EngineError::Protocol(format!(
        "{NAME}: the script's answer to {operation} makes no sense"
    ))
}

pub(super) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

/// The letters of the answer, and behind them what some of the letters need.
pub(super) fn read_verdicts(answer: &Value, count: usize) -> Option<Vec<Result<Verdict>>> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let (letters, details) = parts.split_first()?;
    let letters = bytes(letters).filter(|letters| letters.len() == count)?;
    let mut details = details.iter();
    let mut verdicts = Vec::with_capacity(count);
    for letter in letters {
        verdicts.push(match letter {
            b'S' => match details.next()? {
                Value::Int(remaining) => Ok(Verdict::SoldOut {
                    remaining: u64::try_from(*remaining).ok()?,
                }),
                _ => return None,
            },
            letter => records::read_verdict(*letter, || bytes(details.next()?))?,
        });
    }
    Some(verdicts)
}

/// Cursor and clock, then order and hold in turn.
pub(super) fn read_page(answer: &Value) -> Option<HoldPage> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let [cursor, Value::Int(now_ms), entries @ ..] = parts.as_slice() else {
        return None;
    };
    let cursor: u64 = std::str::from_utf8(bytes(cursor)?).ok()?.parse().ok()?;
    let mut holds = Vec::with_capacity(entries.len() / 2);
    for pair in entries.chunks_exact(2) {
        holds.push(records::read_hold(
            bytes(&pair[0])?,
            bytes(&pair[1])?,
            *now_ms,
        )?);
    }
    Some(HoldPage {
        holds,
        next: (cursor != 0).then_some(cursor),
    })
}
