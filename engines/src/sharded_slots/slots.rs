//! One sale's slots under one term: their keys, the calls of the script, and what its answers mean.

use super::answers::{
    SlotAnswer, SlotState, bytes, number, packed, protocol, read_answers, read_page, read_state,
};
use super::link::{Answer, Link};
use crate::helpers::key_set::{self, KeyNames, Script};
use crate::helpers::records;
use crate::{Finish, Finished, HoldKey, HoldPage, Reserve, Result, Term, UserId};
use fred::types::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shuts a slot of a term for good.
const SHUT: &str = include_str!("shut.lua");

/// The slots of one term, and what this process knows of them.
pub(super) struct Slots {
    pub(super) term: Term,
    /// Of the script.
    sha1: Value,
    /// As the script is told it.
    nonce: Value,
    pub(super) slots: Vec<Slot>,
    /// Whether every slot has been seen open: before that nothing is sold, so that a half-finished
    /// opening sells nothing.
    pub(super) was_open: AtomicBool,
    /// Whether a slot lacked units lately, so that the next batch asks all of them in its first
    /// round.
    pub(super) is_low: AtomicBool,
    /// What all slots held when they were last asked.
    last_states: Mutex<Option<Arc<Vec<SlotState>>>>,
}

/// The keys of one slot.
pub(super) struct Slot {
    pub(super) meta: Value,
    gate: Value,
    holds: Value,
    pub(super) hash_slot: u16,
}

impl Slot {
    pub(super) fn new(prefix: &str, term: &Term, index: usize) -> Self {
        let tag = format!("{{{prefix}sale:{}:slot:{index}}}", term.sale);
        let KeyNames { meta, gate, holds } = KeyNames::new(&tag, term.epoch);
        Self {
            hash_slot: fred::util::redis_keyslot(meta.as_bytes()),
            meta: meta.into(),
            gate: gate.into(),
            holds: holds.into(),
        }
    }
}

impl Slots {
    pub(super) fn new(prefix: &str, term: &Term, count: usize, script: &Script) -> Self {
        let slots = (0..count)
            .map(|index| Slot::new(prefix, term, index))
            .collect();
        let (was_open, is_low) = (AtomicBool::new(false), AtomicBool::new(true));
        Self {
            term: *term,
            sha1: script.sha1.as_str().into(),
            nonce: key_set::nonce(term).into(),
            slots,
            was_open,
            is_low,
            last_states: Mutex::default(),
        }
    }

    /// What all slots held when they were last asked.
    pub(super) fn last_states(&self) -> Option<Arc<Vec<SlotState>>> {
        self.locked_states().clone()
    }

    /// Keeps what all slots held just now.
    pub(super) fn remember_states(&self, states: Arc<Vec<SlotState>>) {
        *self.locked_states() = Some(states);
    }

    fn locked_states(&self) -> MutexGuard<'_, Option<Arc<Vec<SlotState>>>> {
        let locked = self.last_states.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }

    /// The slot where a buyer's gate and holds live: splitmix64 of the buyer's id. Never to be
    /// changed: it is where data is.
    pub(super) fn home(&self, user: UserId) -> usize {
        let mut mixed = (user.0 as u64).wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % self.slots.len() as u64) as usize
    }

    /// Runs the script in one slot; `None` means that it, or its data, is not there any more: the
    /// term is not open.
    pub(super) async fn call(
        &self,
        link: &Link,
        slot: usize,
        context: &str,
        args: Vec<Value>,
    ) -> Result<Option<Value>> {
        let keys = &self.slots[slot];
        match link
            .call(
                context,
                "EVALSHA",
                keys.hash_slot,
                self.with_keys(keys, args),
            )
            .await?
        {
            Answer::Value(answer) if bytes(&answer) != Some(b"N") => Ok(Some(answer)),
            _ => {
                self.shut_if_it_was_open(link).await;
                Ok(None)
            }
        }
    }

    /// The arguments of a call of the script in one slot.
    pub(super) fn with_keys(&self, slot: &Slot, args: Vec<Value>) -> Vec<Value> {
        let Slot {
            meta, gate, holds, ..
        } = slot;
        let mut all = Vec::with_capacity(args.len() + 7);
        all.extend([
            self.sha1.clone(),
            Value::from(3),
            meta.clone(),
            gate.clone(),
            holds.clone(),
            Value::from(self.term.epoch.to_string()),
            self.nonce.clone(),
        ]);
        all.extend(args);
        all
    }

    /// One slot is not open any more, most likely because its node has lost it, and perhaps the
    /// newest of its data. So that no slot, and least of all that one, can come back to life by
    /// moving to a node that has the script, all are shut for good.
    async fn shut_if_it_was_open(&self, link: &Link) {
        if !self.was_open.swap(false, Ordering::Relaxed) {
            return;
        }
        let shut = self.slots.iter().map(|slot| {
            let epoch = Value::from(self.term.epoch.to_string());
            let args = vec![
                SHUT.into(),
                1.into(),
                slot.meta.clone(),
                epoch,
                self.nonce.clone(),
            ];
            link.call("shutting a lost term", "EVAL", slot.hash_slot, args)
        });
        // Nobody waits for it to succeed: a slot that cannot be reached now is shut by whoever
        // meets it next.
        drop(futures_util::future::join_all(shut).await);
    }

    pub(super) async fn state(&self, link: &Link, slot: usize) -> Result<Option<SlotState>> {
        let answer = self
            .call(
                link,
                slot,
                "reading the state of a slot",
                vec!["state".into()],
            )
            .await?;
        answer
            .map(|answer| read_state(&answer).ok_or_else(|| protocol("state")))
            .transpose()
    }

    /// The state of every slot; `None` if one of them is not open.
    pub(super) async fn states_of_all(&self, link: &Link) -> Result<Option<Vec<SlotState>>> {
        let states = (0..self.slots.len()).map(|slot| self.state(link, slot));
        futures_util::future::join_all(states)
            .await
            .into_iter()
            .collect()
    }

    /// Offers `items` to their home slot, which sells, to those that may be sold to, if it has at
    /// least `threshold` units.
    pub(super) async fn reserve(
        &self,
        link: &Link,
        slot: usize,
        items: &[&Reserve],
        threshold: u64,
    ) -> Result<Option<(SlotState, Vec<SlotAnswer>)>> {
        let records = records::pack_reserves(items.iter().copied());
        let args = vec!["reserve".into(), packed(records), number(threshold)];
        let answer = self.call(link, slot, "reserving", args).await?;
        answer
            .map(|answer| read_answers(&answer, items.len()).ok_or_else(|| protocol("reserve")))
            .transpose()
    }

    /// Settles and releases in one slot; `None` if it is not open.
    pub(super) async fn finish(
        &self,
        link: &Link,
        slot: usize,
        items: &[&Finish],
    ) -> Result<Option<Vec<Finished>>> {
        let records = records::pack_finishes(items.iter().copied());
        let answer = self
            .call(
                link,
                slot,
                "settling and releasing",
                vec!["finish".into(), packed(records)],
            )
            .await?;
        let Some(answer) = answer else {
            return Ok(None);
        };
        let finished = bytes(&answer).and_then(|all| records::read_finished(all, items.len()));
        finished.map(Some).ok_or_else(|| protocol("finish"))
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
        let args = vec![
            "list".into(),
            number(cursor),
            number(limit.into()),
            number(untouched_for_ms),
        ];
        let answer = self.call(link, slot, "listing holds", args).await?;
        answer
            .map(|answer| read_page(&answer).ok_or_else(|| protocol("list")))
            .transpose()
    }

    /// Marks those of `holds`, whose buyers live in this slot, that are old enough.
    pub(super) async fn mark(
        &self,
        link: &Link,
        slot: usize,
        holds: &[HoldKey],
        untouched_for_ms: u64,
    ) -> Result<Option<HoldPage>> {
        let records = records::pack_hold_keys(holds);
        let args = vec!["mark".into(), packed(records), number(untouched_for_ms)];
        let answer = self.call(link, slot, "marking holds", args).await?;
        answer
            .map(|answer| read_page(&answer).ok_or_else(|| protocol("mark")))
            .transpose()
    }
}

/// The script for so many slots, behind a line that no process has that counts them differently.
pub(super) fn script(slots: usize, body: &str) -> Script {
    Script::new(&format!("local SLOTS = '{slots}'\n{body}"))
}
