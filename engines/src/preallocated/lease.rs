//! One lease: what one process may sell of one sale in one epoch, and to whom.
//!
//! Selling happens in memory. Everything that moves rights holds `rights`, so only one transfer of
//! a lease is under way, and whoever holds it sees the stock in memory only fall.

use super::failures::NAME;
use super::gates::{Answer, Gates};
use super::rights::Rights;
use super::rows::LeaseRows;
use super::stock::Stock;
use super::terms::Terms;
use crate::helpers::clock::{millis, now_ms};
use crate::{
    AllocationId, EngineError, Finish, FinishKind, Finished, Hold, HoldKey, HoldPage,
    HoldPageQuery, IncarnationId, OpenHold, Reserve, Result, Term, Verdict,
};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longest wait for the database inside a call that moves units. What was begun is concluded by the
/// next.
pub const CALL_MAX: Duration = Duration::from_secs(2);

/// `ended`: it sells.
const OPEN: u8 = 0;
/// `ended`: the process stops in order; it grants nothing more, but sees to its holds.
const HANDED_BACK: u8 = 1;
/// `ended`: the epoch is over, or the process was retired.
const CLOSED: u8 = 2;

/// A lease in memory.
#[derive(Debug)]
pub struct Lease {
    pub term: Term,
    pub incarnation: IncarnationId,
    pub(super) rows: LeaseRows,
    /// Which partitions this process owns.
    owned: Box<[bool]>,
    pub(super) stock: Stock,
    gates: Gates,
    /// Orders whose open holds were released, until the database has their units: order and
    /// quantity.
    pub(super) released: Mutex<Vec<(i64, u32)>>,
    pub(super) rights: tokio::sync::Mutex<Rights>,
    ended: AtomicU8,
}

impl Lease {
    pub fn new(
        terms: &Terms,
        rows: LeaseRows,
        moves: i64,
        owned: Box<[bool]>,
        gates: Gates,
    ) -> Self {
        Self {
            term: terms.term,
            incarnation: terms.incarnation,
            rows,
            owned,
            stock: Stock::default(),
            gates,
            released: Mutex::default(),
            rights: tokio::sync::Mutex::new(Rights::new(moves)),
            ended: AtomicU8::new(OPEN),
        }
    }

    /// Under which term it sells, and as who.
    pub fn terms(&self) -> Terms {
        Terms {
            term: self.term,
            incarnation: self.incarnation,
        }
    }

    /// Whether it grants nothing more.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire) != OPEN
    }

    /// The process stops in order: nothing is granted any more. A lease that is closed stays so.
    pub(super) fn stop_granting(&self) {
        let _ = self
            .ended
            .compare_exchange(OPEN, HANDED_BACK, Ordering::AcqRel, Ordering::Acquire);
    }

    /// It is over for good; its buyers are forgotten. Whoever found no gate looks again whether it
    /// is closed by now, because what is not there may only just have gone.
    pub(super) fn close(&self) {
        self.ended.store(CLOSED, Ordering::Release);
        self.gates.clear();
    }

    pub fn is_closed(&self) -> bool {
        self.ended.load(Ordering::Acquire) == CLOSED
    }

    /// Whether it has anything to sell at all.
    pub fn owns_partitions(&self) -> bool {
        self.owned.contains(&true)
    }

    pub fn open_units(&self) -> u64 {
        self.gates.open_units()
    }

    fn owns(&self, user: i64) -> bool {
        // Never more than the partitions, which are few.
        let part = user.rem_euclid(self.owned.len() as i64) as usize;
        self.owned[part]
    }

    /// Answers items from memory, in order, up to the first one that needs more units than there
    /// are.
    pub fn answer_here(&self, batch: &[Reserve], verdicts: &mut Vec<Result<Verdict>>) {
        let now_ms = now_ms();
        for item in &batch[verdicts.len()..] {
            if self.has_ended() {
                verdicts.push(Ok(Verdict::NotOpen));
                continue;
            }
            match self.judge(item, now_ms) {
                Some(_) if self.is_closed() => verdicts.push(Ok(Verdict::NotOpen)),
                Some(verdict) => verdicts.push(verdict),
                None => return,
            }
        }
    }

    /// `None`: there are not enough units here.
    fn judge(&self, item: &Reserve, now_ms: i64) -> Option<Result<Verdict>> {
        if item.quantity == 0 {
            return Some(Err(EngineError::Config(
                "a reserve of 0 units; at least 1 is needed".to_owned(),
            )));
        }
        // deadline-before-reserve (R7): its caller may have given up.
        if now_ms > item.expires_at_ms {
            return Some(Ok(Verdict::Expired));
        }
        if !self.owns(item.user.0) {
            return Some(Ok(Verdict::WrongInstance));
        }
        let allocation = Some(AllocationId(self.rows.lease));
        let take = || item.may_sell && self.stock.take(u64::from(item.quantity));
        let verdict = match self.gates.ask(item, now_ms, take) {
            Answer::Granted => Verdict::Granted { allocation },
            Answer::Known {
                order,
                quantity,
                is_settled,
            } => {
                let allocation = allocation.filter(|_| !is_settled);
                Verdict::Duplicate(Hold {
                    order,
                    quantity,
                    settled: is_settled,
                    allocation,
                })
            }
            Answer::Marked => Verdict::Busy,
            Answer::Short if !item.may_sell => Verdict::NoOrder,
            Answer::Short => return None,
        };
        Some(Ok(verdict))
    }

    /// Waits until nobody else moves rights of this lease, within a bound: who has them may wait
    /// for a database that hangs.
    pub(super) async fn rights(&self) -> Result<tokio::sync::MutexGuard<'_, Rights>> {
        tokio::time::timeout(CALL_MAX, self.rights.lock())
            .await
            .map_err(|_| EngineError::Unavailable {
                context: format!(
                    "{NAME}: an earlier transfer of allocation {} has no end",
                    self.rows.lease
                ),
                source: None,
            })
    }

    /// Settles or releases in memory. A released open hold's units go through the database: see
    /// [`Self::flush`].
    pub fn finish(&self, item: &Finish) -> Finished {
        if self.is_closed() {
            return Finished::NotOpen;
        }
        if !self.owns(item.user.0) {
            return Finished::WrongInstance;
        }
        let is_done = match item.kind {
            FinishKind::Settle => self.gates.settle(item.user, item.order),
            FinishKind::Release => {
                let released = self.gates.release(item.user, item.order);
                if let Some(open) = released.filter(|released| released.was_open) {
                    self.released().push((item.order.0, open.quantity));
                }
                released.is_some()
            }
        };
        if is_done {
            Finished::Done
        } else if self.is_closed() {
            Finished::NotOpen
        } else {
            Finished::AlreadyDone
        }
    }

    /// Whether the database has still to hear of released holds.
    pub fn has_released(&self) -> bool {
        !self.released().is_empty()
    }

    pub(super) fn released(&self) -> std::sync::MutexGuard<'_, Vec<(i64, u32)>> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn open_holds(&self, page: &HoldPageQuery) -> HoldPage {
        self.gates.list(now_ms(), page, self.incarnation)
    }

    pub fn mark(&self, holds: &[HoldKey], age: Duration) -> Vec<OpenHold> {
        self.gates
            .mark(now_ms(), millis(age), holds, self.incarnation)
    }
}
