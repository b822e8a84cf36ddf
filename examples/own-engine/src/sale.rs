//! What one call reads of a sale, what it decides, and what it wants written.

use engines::{
    EngineError, Epoch, Finish, FinishKind, Finished, Hold, HoldKey, IncarnationId, OpenHold,
    Opened, Opening, OrderId, Reserve, Result, Term, UserId, Verdict,
};
use redis::Pipeline;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;

/// Incarnations remembered per hold; a buyer of one more is told "busy", so that none is ever
/// forgotten (R8).
const INCARNATIONS_MAX: usize = 64;

/// In the hash `<sale>:gate`, by user: order and quantity of who may not buy again.
pub(crate) type Gate = (OrderId, u32);

/// In the hash `<sale>:holds`, by order: granted and not settled. A settled order has a gate and
/// none of these.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    user: UserId,
    quantity: u32,
    touched_at_ms: i64,
    touched_by: Vec<IncarnationId>,
    marked: bool,
}

pub(crate) fn listed(order: i64, held: Held, now_ms: i64) -> OpenHold {
    let Held {
        user,
        quantity,
        touched_at_ms,
        touched_by,
        marked,
    } = held;
    let age_ms = u64::try_from(now_ms - touched_at_ms).unwrap_or(0);
    OpenHold {
        order: OrderId(order),
        user,
        quantity,
        touched_at_ms,
        age_ms,
        touched_by,
        marked,
    }
}

pub(crate) fn is_old(hold: &OpenHold, age: Duration) -> bool {
    u128::from(hold.age_ms) >= age.as_millis()
}

/// The fields of the hash `<sale>:meta`.
pub(crate) const META_FIELDS: &[&str] = &["epoch", "nonce", "life", "remaining", "open_units"];
/// [`META_FIELDS`] of the hash `<sale>:meta`; all absent before the first opening.
pub(crate) type Meta = (
    Option<u32>,
    Option<u64>,
    Option<String>,
    Option<u64>,
    Option<u64>,
);

/// What one call has read of a sale, and what it wants written. Nothing here waits: these are the
/// decisions.
pub(crate) struct Sale {
    base: String,
    /// The open term, and the life of the server in which it was opened.
    pub(crate) opened: Option<(Epoch, u64, String)>,
    pub(crate) remaining: u64,
    pub(crate) open_units: u64,
    pub(crate) gates: HashMap<i64, Gate>,
    pub(crate) holds: HashMap<i64, Held>,
    pub(crate) now_ms: i64,
    /// The present life of the server, `run_id:master_replid`: another one after a restart, and
    /// after the server got the data of another or was promoted.
    pub(crate) life: String,
    writes: Pipeline,
}

impl Sale {
    pub(crate) fn new(
        base: &str,
        (epoch, nonce, opened_in, remaining, open_units): Meta,
        time: (i64, i64),
        life: String,
    ) -> Self {
        Self {
            base: base.to_owned(),
            opened: epoch.map(|epoch| {
                (
                    Epoch(epoch),
                    nonce.unwrap_or(0),
                    opened_in.unwrap_or_default(),
                )
            }),
            remaining: remaining.unwrap_or(0),
            open_units: open_units.unwrap_or(0),
            gates: HashMap::new(),
            holds: HashMap::new(),
            now_ms: time.0 * 1_000 + time.1 / 1_000,
            life,
            writes: redis::pipe().atomic().clone(),
        }
    }

    /// Nothing before `open`, nothing under another term, nothing from what an earlier life of the
    /// server left.
    pub(crate) fn is_open(&self, term: &Term) -> bool {
        let is_it = |(epoch, nonce, life): &_| {
            (epoch, nonce, life) == (&term.epoch, &term.nonce.0, &self.life)
        };
        self.opened.as_ref().is_some_and(is_it)
    }

    /// Everything is loaded in the one transaction that also opens, so there is no half-finished
    /// opening.
    pub(crate) fn open(&mut self, opening: &Opening) -> Opened {
        if self.is_open(&opening.term) {
            return Opened::AlreadyOpen;
        }
        // The same term of an earlier life of the server is stale too: a new attempt takes a new
        // epoch (R13).
        if let Some((newest, ..)) = self
            .opened
            .as_ref()
            .filter(|(epoch, ..)| *epoch >= opening.term.epoch)
        {
            return Opened::Stale { newest: *newest };
        }
        self.write("UNLINK", "gate");
        self.write("UNLINK", "holds");
        self.write("HSET", "meta")
            .arg("epoch")
            .arg(opening.term.epoch.0);
        self.writes
            .arg("nonce")
            .arg(opening.term.nonce.0)
            .arg("life")
            .arg(&self.life);
        opening
            .buyers
            .iter()
            .for_each(|buyer| self.put_gate(buyer.user, (buyer.order, buyer.quantity)));
        (self.remaining, self.open_units) = (opening.granted, 0);
        Opened::Opened
    }

    /// What stays is a note in `meta` of the epoch up to which the sale is over; a later epoch is
    /// left alone.
    pub(crate) fn retire(&mut self, epoch: Epoch) {
        if self
            .opened
            .as_ref()
            .is_none_or(|(newest, ..)| *newest <= epoch)
        {
            for part in ["meta", "gate", "holds"] {
                self.write("UNLINK", part);
            }
            self.write("HSET", "meta").arg("epoch").arg(epoch.0);
            (self.remaining, self.open_units) = (0, 0);
        }
    }

    pub(crate) fn reserve(&mut self, term: &Term, item: &Reserve) -> Result<Verdict> {
        if item.quantity == 0 {
            return Err(EngineError::Config(
                "a reserve of 0 units; at least 1 is needed".to_owned(),
            ));
        }
        if !self.is_open(term) {
            return Ok(Verdict::NotOpen);
        }
        if self.now_ms > item.expires_at_ms {
            return Ok(Verdict::Expired); // R7: its caller may have given up.
        }
        if let Some(gate) = self.gates.get(&item.user.0).copied() {
            return Ok(self.reserve_again(item, gate));
        }
        if !item.may_sell {
            return Ok(Verdict::NoOrder);
        }
        let Some(rest) = self.remaining.checked_sub(u64::from(item.quantity)) else {
            return Ok(Verdict::SoldOut {
                remaining: self.remaining,
            });
        };
        self.remaining = rest;
        self.open_units += u64::from(item.quantity);
        self.put_gate(item.user, (item.order, item.quantity));
        let (user, touched_by) = (item.user, vec![item.incarnation]);
        let held = Held {
            user,
            quantity: item.quantity,
            touched_at_ms: self.now_ms,
            touched_by,
            marked: false,
        };
        self.put_hold(item.order, held);
        Ok(Verdict::GRANTED)
    }

    /// A user with a live order gets that order; while its hold is open, the call touches it (R8).
    fn reserve_again(&mut self, item: &Reserve, (order, quantity): Gate) -> Verdict {
        let settled = !self.holds.contains_key(&order.0);
        if let Some(mut held) = self.holds.get(&order.0).cloned() {
            if !held.touched_by.contains(&item.incarnation) {
                held.touched_by.push(item.incarnation);
            }
            if held.marked || held.touched_by.len() > INCARNATIONS_MAX {
                return Verdict::Busy;
            }
            held.touched_at_ms = self.now_ms;
            self.put_hold(order, held);
        }
        Verdict::Duplicate(Hold {
            order,
            quantity,
            settled,
            allocation: None,
        })
    }

    /// Quantities come from gate and hold, never from the caller, so what comes back is what was
    /// taken.
    pub(crate) fn finish(&mut self, term: &Term, item: &Finish) -> Finished {
        if !self.is_open(term) {
            return Finished::NotOpen;
        }
        let mut finished = Finished::AlreadyDone;
        let gate = self
            .gates
            .get(&item.user.0)
            .filter(|gate| gate.0 == item.order)
            .copied();
        // The gate goes with the units: whoever finds it gone, or another order's, gives nothing
        // back.
        if let (FinishKind::Release, Some((_, quantity))) = (item.kind, gate) {
            self.remaining += u64::from(quantity);
            self.gates.remove(&item.user.0);
            self.write("HDEL", "gate").arg(item.user.0);
            finished = Finished::Done;
        }
        // An order without a gate has no hold either, so a settle that comes after the release
        // finds nothing.
        if let Some(held) = self.holds.remove(&item.order.0) {
            self.open_units -= u64::from(held.quantity);
            self.write("HDEL", "holds").arg(item.order.0);
            finished = Finished::Done;
        }
        finished
    }

    /// Tests the age and sets the mark; a touch in between changes `meta`, and EXEC does nothing.
    pub(crate) fn mark(&mut self, key: &HoldKey, age: Duration) -> Option<OpenHold> {
        let held = self.holds.get(&key.order.0);
        let mut held = held.filter(|held| held.user == key.user)?.clone();
        if !held.marked && is_old(&listed(key.order.0, held.clone(), self.now_ms), age) {
            held.marked = true;
            self.put_hold(key.order, held.clone());
        }
        held.marked.then(|| listed(key.order.0, held, self.now_ms))
    }

    fn put_gate(&mut self, user: UserId, gate: Gate) {
        self.write("HSET", "gate").arg(user.0).arg(json(&gate));
        self.gates.insert(user.0, gate);
    }

    fn put_hold(&mut self, order: OrderId, held: Held) {
        self.write("HSET", "holds").arg(order.0).arg(json(&held));
        self.holds.insert(order.0, held);
    }

    /// Adds a command on one of the sale's keys to what EXEC will do.
    fn write(&mut self, command: &str, part: &str) -> &mut Pipeline {
        self.writes
            .cmd(command)
            .arg(format!("{}:{part}", self.base))
    }

    /// A refusal leaves no trace; but its EXEC, too, proves that what it was decided on was of one
    /// moment.
    pub(crate) fn into_transaction(mut self) -> Pipeline {
        if self.writes.is_empty() {
            return self.writes.cmd("PING").clone();
        }
        self.write("HSET", "meta");
        self.writes
            .arg("remaining")
            .arg(self.remaining)
            .arg("open_units")
            .arg(self.open_units);
        self.writes
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a record of numbers")
}
