//! One sale's slots under one term: their keys, the calls of the script, and what its answers mean.

use super::link::{Answer, Link};
use crate::{
    EngineError, Finish, FinishKind, Finished, Hold, HoldPage, IncarnationId, OpenHold, OpeningBuyer, OrderId, Reserve,
    Result, Term, UserId, Verdict,
};
use fred::types::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The slots of one term, and what this process knows of them.
pub(super) struct Slots {
    pub(super) term: Term,
    /// The script of the opening: the common text behind a line that no other opening has.
    sha1: String,
    pub(super) slots: Vec<Slot>,
    /// Whether every slot has been seen open: before that nothing is sold, so that a half-finished opening sells nothing.
    pub(super) was_open: AtomicBool,
    /// Whether a slot lacked units lately, so that the next batch looks at all of them at once.
    pub(super) is_low: AtomicBool,
    /// The last look at all slots.
    pub(super) last: Mutex<Option<Arc<Vec<Look>>>>,
}

/// The keys of one slot.
pub(super) struct Slot {
    pub(super) meta: Value,
    gate: Value,
    holds: Value,
    pub(super) hash_slot: u16,
}

/// What a decision over all slots needs to know of one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Units that can be sold here.
    pub(super) remaining: u64,
    /// Times that units came back.
    pub(super) returned: u64,
    /// Steps of transfers.
    pub(super) moved: u64,
    /// Transfers out of here that are not known to have arrived.
    pub(super) flights: Vec<Flight>,
}

/// A transfer on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flight {
    /// The slot it goes to.
    pub(super) target: usize,
    /// Its number among all transfers between these two slots.
    pub(super) number: i64,
    /// Its units.
    pub(super) quantity: u64,
}

/// What a slot says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It is decided.
    Decided(Verdict),
    /// It asks for no units.
    NoUnits,
    /// It wants units that it was not given.
    Wants,
}

impl Slot {
    pub(super) fn new(prefix: &str, term: &Term, index: usize) -> Self {
        let tag = format!("{{{prefix}sale:{}:slot:{index}}}", term.sale);
        let key = |name: String| Value::from(format!("{tag}:{name}"));
        Self {
            hash_slot: fred::util::redis_keyslot(format!("{tag}:meta").as_bytes()),
            meta: key("meta".to_owned()),
            gate: key(format!("{}:gate", term.epoch)),
            holds: key(format!("{}:holds", term.epoch)),
        }
    }
}

impl Slots {
    pub(super) fn new(prefix: &str, term: &Term, count: usize, script: &str) -> Self {
        let sha1 = redis::Script::new(&script_text(term, count, script)).get_hash().to_owned();
        let slots = (0..count).map(|index| Slot::new(prefix, term, index)).collect();
        let (was_open, is_low) = (AtomicBool::new(false), AtomicBool::new(true));
        Self { term: *term, sha1, slots, was_open, is_low, last: Mutex::default() }
    }

    /// The slot where a buyer's gate and holds live: splitmix64 of his id. Never to be changed: it is where data is.
    pub(super) fn home(&self, user: UserId) -> usize {
        let mut mixed = (user.0 as u64).wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % self.slots.len() as u64) as usize
    }

    /// Runs the script in one slot; `None` means that it, or its data, is not there any more: the term is not open.
    pub(super) async fn call(
        &self,
        link: &Link,
        slot: usize,
        context: &str,
        args: Vec<Value>,
    ) -> Result<Option<Value>> {
        let keys = &self.slots[slot];
        let mut all = Vec::with_capacity(args.len() + 5);
        all.extend([Value::from(self.sha1.as_str()), Value::from(3)]);
        all.extend([keys.meta.clone(), keys.gate.clone(), keys.holds.clone()]);
        all.extend(args);
        match link.call(context, "EVALSHA", keys.hash_slot, all).await? {
            Answer::NoScript => {
                self.shut_if_lost(link, slot).await;
                Ok(None)
            }
            Answer::Value(answer) if bytes(&answer) == Some(b"N") => {
                self.was_open.store(false, Ordering::Relaxed);
                Ok(None)
            }
            Answer::Value(answer) => Ok(Some(answer)),
        }
    }

    /// A node that had the script has lost it, and perhaps the newest of its data. All other slots are shut for good,
    /// so that no slot can come back to life by moving to a node that still has the script.
    async fn shut_if_lost(&self, link: &Link, lost: usize) {
        if !self.was_open.swap(false, Ordering::Relaxed) {
            return;
        }
        let others = self.slots.iter().enumerate().filter(|(slot, _)| *slot != lost).map(|(_, keys)| {
            let args = vec![
                Value::from(self.sha1.as_str()),
                Value::from(3),
                keys.meta.clone(),
                keys.gate.clone(),
                keys.holds.clone(),
                Value::from("shut"),
            ];
            link.call("shutting a lost term", "EVALSHA", keys.hash_slot, args)
        });
        // Nobody waits for it to succeed: a slot that cannot be reached now is shut by whoever meets it next.
        drop(futures_util::future::join_all(others).await);
    }

    pub(super) async fn look(&self, link: &Link, slot: usize) -> Result<Option<Look>> {
        let answer = self.call(link, slot, "looking at a slot", vec!["look".into()]).await?;
        answer.map(|answer| read_look(&answer).ok_or_else(|| protocol("look"))).transpose()
    }

    /// Looks at every slot; `None` if one of them is not open.
    pub(super) async fn look_at_all(&self, link: &Link) -> Result<Option<Vec<Look>>> {
        let looks = (0..self.slots.len()).map(|slot| self.look(link, slot));
        futures_util::future::join_all(looks).await.into_iter().collect()
    }

    /// Offers `items` to their home slot, which sells if it has at least `threshold` units.
    pub(super) async fn reserve(
        &self,
        link: &Link,
        slot: usize,
        items: &[&Reserve],
        threshold: u64,
    ) -> Result<Option<(Look, Vec<Word>)>> {
        let mut records = Vec::with_capacity(items.len() * 36);
        for item in items {
            records.extend_from_slice(&item.user.0.to_le_bytes());
            records.extend_from_slice(&item.order.0.to_le_bytes());
            records.extend_from_slice(&item.quantity.to_le_bytes());
            records.extend_from_slice(&(item.expires_at_ms as f64).to_le_bytes());
            records.extend_from_slice(&item.incarnation.0.to_le_bytes());
        }
        let args = vec!["reserve".into(), packed(records), number(threshold)];
        let answer = self.call(link, slot, "reserving", args).await?;
        answer.map(|answer| read_words(&answer, items.len()).ok_or_else(|| protocol("reserve"))).transpose()
    }

    /// Settles and releases in one slot; `None` if it is not open.
    pub(super) async fn finish(&self, link: &Link, slot: usize, items: &[&Finish]) -> Result<Option<Vec<Finished>>> {
        let mut records = Vec::with_capacity(items.len() * 17);
        for item in items {
            records.extend_from_slice(&item.user.0.to_le_bytes());
            records.extend_from_slice(&item.order.0.to_le_bytes());
            records.push(u8::from(item.kind == FinishKind::Release));
        }
        let answer = self.call(link, slot, "settling and releasing", vec!["finish".into(), packed(records)]).await?;
        let Some(answer) = answer else { return Ok(None) };
        let letters = bytes(&answer).filter(|letters| letters.len() == items.len());
        let letters = letters.ok_or_else(|| protocol("finish"))?.iter();
        Ok(Some(letters.map(|l| if *l == b'D' { Finished::Done } else { Finished::AlreadyDone }).collect()))
    }

    /// One page of a slot's open holds.
    pub(super) async fn list(
        &self,
        link: &Link,
        slot: usize,
        cursor: u64,
        limit: u32,
        untouched_for_ms: u64,
    ) -> Result<Option<HoldPage>> {
        let args = vec!["list".into(), number(cursor), number(limit.into()), number(untouched_for_ms)];
        let answer = self.call(link, slot, "listing holds", args).await?;
        answer.map(|answer| read_page(&answer).ok_or_else(|| protocol("list"))).transpose()
    }

    /// Marks those of `orders` that live in this slot and are old enough.
    pub(super) async fn mark(
        &self,
        link: &Link,
        slot: usize,
        orders: &[OrderId],
        untouched_for_ms: u64,
    ) -> Result<Option<HoldPage>> {
        let records = orders.iter().flat_map(|order| order.0.to_le_bytes()).collect();
        let args = vec!["mark".into(), packed(records), number(untouched_for_ms)];
        let answer = self.call(link, slot, "marking holds", args).await?;
        answer.map(|answer| read_page(&answer).ok_or_else(|| protocol("mark"))).transpose()
    }
}

/// The text of the script of `term`.
pub(super) fn script_text(term: &Term, slots: usize, script: &str) -> String {
    format!("local EPOCH, NONCE, SLOTS = '{}', '{:016x}', '{slots}'\n{script}", term.epoch, term.nonce.0)
}

pub(super) fn buyer_records(buyers: &[OpeningBuyer]) -> Value {
    let mut records = Vec::with_capacity(buyers.len() * 20);
    for buyer in buyers {
        records.extend_from_slice(&buyer.user.0.to_le_bytes());
        records.extend_from_slice(&buyer.order.0.to_le_bytes());
        records.extend_from_slice(&buyer.quantity.to_le_bytes());
    }
    packed(records)
}

pub(super) fn protocol(operation: &str) -> EngineError {
    EngineError::Protocol(format!("{}: the answer to {operation} makes no sense", super::NAME))
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
pub(super) fn read_flights(packed: &[u8]) -> Option<Vec<Flight>> {
    let flight = |record: &[u8]| {
        Some(Flight {
            target: usize::from(u16::from_le_bytes(record.get(0..2)?.try_into().ok()?)),
            number: i64::from(u32_at(record, 2)?),
            quantity: f64::from_le_bytes(record.get(6..14)?.try_into().ok()?) as u64,
        })
    };
    packed.chunks(14).map(flight).collect()
}

fn i64_at(record: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_le_bytes(record.get(at..at + 8)?.try_into().ok()?))
}

fn u32_at(record: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(record.get(at..at + 4)?.try_into().ok()?))
}

fn read_look(answer: &Value) -> Option<Look> {
    let Value::Array(parts) = answer else { return None };
    let [remaining, returned, moved, flights] = parts.as_slice() else { return None };
    Some(Look {
        remaining: read_u64(remaining)?,
        returned: read_u64(returned)?,
        moved: read_u64(moved)?,
        flights: read_flights(bytes(flights)?)?,
    })
}

/// The look, the letters, and behind them what some of the letters need.
fn read_words(answer: &Value, count: usize) -> Option<(Look, Vec<Word>)> {
    let Value::Array(parts) = answer else { return None };
    let [look, letters, details @ ..] = parts.as_slice() else { return None };
    let letters = bytes(letters).filter(|letters| letters.len() == count)?;
    let mut details = details.iter();
    let mut words = Vec::with_capacity(count);
    for letter in letters {
        words.push(match letter {
            b'G' => Word::Decided(Verdict::GRANTED),
            b'D' | b'd' => {
                let gate = bytes(details.next()?)?;
                let (order, quantity) = (OrderId(i64_at(gate, 0)?), u32_at(gate, 8)?);
                Word::Decided(Verdict::Duplicate(Hold { order, quantity, settled: *letter == b'd', allocation: None }))
            }
            b'B' => Word::Decided(Verdict::Busy),
            b'E' => Word::Decided(Verdict::Expired),
            b'Q' => Word::NoUnits,
            b'W' => Word::Wants,
            _ => return None,
        });
    }
    Some((read_look(look)?, words))
}

/// Cursor and clock, then order and hold in turn.
fn read_page(answer: &Value) -> Option<HoldPage> {
    let Value::Array(parts) = answer else { return None };
    let [cursor, now_ms, entries @ ..] = parts.as_slice() else { return None };
    let (cursor, now_ms) = (read_u64(cursor)?, i64::try_from(read_u64(now_ms)?).ok()?);
    let mut holds = Vec::with_capacity(entries.len() / 2);
    for pair in entries.chunks_exact(2) {
        let (order, hold) = (bytes(&pair[0])?, bytes(&pair[1])?);
        let touched_at_ms = f64::from_le_bytes(hold.get(12..20)?.try_into().ok()?) as i64;
        let touched_by = hold.get(21..)?.chunks_exact(8).filter_map(|id| i64_at(id, 0)).map(IncarnationId).collect();
        holds.push(OpenHold {
            order: OrderId(i64_at(order, 0)?),
            user: UserId(i64_at(hold, 0)?),
            quantity: u32_at(hold, 8)?,
            touched_at_ms,
            age_ms: u64::try_from(now_ms - touched_at_ms).unwrap_or(0),
            touched_by,
            marked: *hold.get(20)? == 1,
        });
    }
    Some(HoldPage { holds, next: (cursor != 0).then_some(cursor) })
}
