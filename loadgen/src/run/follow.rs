//! What follows the yes: which orders are cancelled, paid, or bought again, when each of these is
//! due, and when all of them have ended. They are due at their time whatever the server does, and
//! leave on lanes of their own, so that the purchases' lanes know nothing of them.

mod again;
mod queue;

pub use again::AgainRecorder;
pub use queue::Queue;

use super::request::{Operation, Request, RequestEnd, Serves};
use super::stop::Stop;
use crate::data::Element;
use crate::duration::ns;
use crate::plan::Orders;
use reports::outcome_log::{Outcome, Refusal};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Who comes too early with their next purchase tries again after so long, until so long after their
/// first try.
const RETRY_AFTER: Duration = Duration::from_millis(5);
const RETRY_FOR: Duration = Duration::from_secs(1);
/// Orders for which there is room from the beginning: a list that grows would copy itself in the
/// middle of what is measured. Memory that is not written to takes none.
const ORDERS_AT_FIRST: usize = 1 << 20;

#[derive(Debug)]
pub struct Follow {
    plan: Orders,
    seed: u64,
    stop: Stop,
    elements: Arc<[Element]>,
    /// Grows by one with every accepted order that something follows.
    orders: Mutex<Vec<Order>>,
    /// By [`Serves::index`]; each has a lane. None of a kind that is never sent.
    queues: [Vec<Arc<Queue>>; Serves::ALL.len()],
    /// The queue that is next, of each kind.
    next: [AtomicUsize; Serves::ALL.len()],
    /// Requests that are due some time, wait or are under way.
    pending: AtomicU64,
    /// Lanes on which purchases may still be accepted.
    buying: AtomicUsize,
}

/// An order that something follows.
#[derive(Clone, Copy, Debug)]
struct Order {
    id: i64,
    element: u32,
    buys_again: bool,
    /// When the cancel was due that was accepted, and when the first purchase after it was.
    cancel_due_ns: u64,
    again_since_ns: u64,
}

/// A purchase's lane; when it goes, no more orders come from there.
#[derive(Debug)]
pub struct Buying(Arc<Follow>);

impl Drop for Buying {
    fn drop(&mut self) {
        self.0.buying.fetch_sub(1, Ordering::AcqRel);
        self.0.wake_if_over();
    }
}

impl Follow {
    pub fn new(plan: &Orders, seed: u64, stop: Stop, elements: Arc<[Element]>) -> Self {
        let queues = Serves::ALL.map(|serves| {
            let is_sent = match serves {
                Serves::BuyAgain => plan.buys_again(),
                Serves::Cancel => plan.cancels(),
                Serves::Pay => plan.pays(),
            };
            let lanes = if is_sent { plan.connections } else { 0 };
            let queue = |_| Arc::new(Queue::new(serves));
            (0..lanes).map(queue).collect()
        });
        Self {
            plan: plan.clone(),
            seed,
            stop,
            orders: Mutex::new(Vec::with_capacity(elements.len().min(ORDERS_AT_FIRST))),
            elements,
            queues,
            next: std::array::from_fn(|_| AtomicUsize::new(0)),
            pending: AtomicU64::new(0),
            buying: AtomicUsize::new(0),
        }
    }

    /// One for each lane that follow-ups need.
    pub fn queues(&self) -> impl Iterator<Item = &Arc<Queue>> {
        self.queues.iter().flatten()
    }

    /// To be held by a purchase's lane until it ends.
    pub fn buying(follow: &Arc<Self>) -> Buying {
        follow.buying.fetch_add(1, Ordering::AcqRel);
        Buying(Arc::clone(follow))
    }

    /// Whether nothing follows any more.
    pub fn is_over(&self) -> bool {
        // Whoever is about to schedule something still counts as buying or as pending.
        self.buying.load(Ordering::Acquire) == 0 && self.pending.load(Ordering::Acquire) == 0
    }

    /// The order that a request is about, and the element that it was bought with.
    pub fn asked(&self, order: u32) -> (i64, u32) {
        let order = &self.orders()[order as usize];
        (order.id, order.element)
    }

    /// A request has ended: schedules what follows it.
    pub fn after(
        &self,
        request: &Request,
        end: &RequestEnd,
        now_ns: u64,
        again: &mut AgainRecorder,
    ) {
        let accepted = end.outcome == Outcome::Accepted;
        match request.operation {
            Operation::Buy { element } if accepted => self.begin(element, end.order_id, now_ns),
            Operation::Buy { .. } => {}
            Operation::Cancel { order } if accepted => {
                self.cancelled(order, request.due_ns, now_ns);
            }
            Operation::Cancel { .. } | Operation::Pay { .. } => {}
            Operation::BuyAgain { order } => self.asked_again(order, end, now_ns, again),
        }
        if request.operation.follows() {
            self.forget(1);
        }
    }

    /// So many requests have ended, or are never sent.
    pub fn forget(&self, count: u64) {
        self.pending.fetch_sub(count, Ordering::AcqRel);
        self.wake_if_over();
    }

    fn begin(&self, element: u32, order_id: i64, now_ns: u64) {
        let user_id = self.elements[element as usize].user_id;
        let course = self.plan.course(self.seed, user_id);
        if (course.cancels == 0 && !course.pays) || order_id == 0 {
            return;
        }
        let order = {
            let mut orders = self.orders();
            orders.push(Order {
                id: order_id,
                element,
                buys_again: course.buys_again,
                cancel_due_ns: 0,
                again_since_ns: 0,
            });
            (orders.len() - 1) as u32
        };
        let due_ns = now_ns + course.delay_ns;
        for _ in 0..course.cancels {
            self.schedule(Operation::Cancel { order }, due_ns, now_ns);
        }
        if course.pays {
            self.schedule(Operation::Pay { order }, due_ns, now_ns);
        }
    }

    fn cancelled(&self, order: u32, cancel_due_ns: u64, now_ns: u64) {
        {
            let mut orders = self.orders();
            let order = &mut orders[order as usize];
            // The other one of two cancels may have been accepted, too.
            if !std::mem::take(&mut order.buys_again) {
                return;
            }
            order.cancel_due_ns = cancel_due_ns;
            order.again_since_ns = now_ns;
        }
        self.schedule(Operation::BuyAgain { order }, now_ns, now_ns);
    }

    fn asked_again(&self, order: u32, end: &RequestEnd, now_ns: u64, again: &mut AgainRecorder) {
        let Order {
            id,
            cancel_due_ns,
            again_since_ns,
            ..
        } = self.orders()[order as usize];
        let is_yes = matches!(end.outcome, Outcome::Accepted | Outcome::Duplicate);
        if is_yes && end.order_id != id {
            again.bought(now_ns.saturating_sub(cancel_due_ns));
            return;
        }
        let is_too_early = is_yes || end.refusal == Some(Refusal::SoldOut);
        let due_ns = now_ns + ns(RETRY_AFTER);
        if !is_too_early || due_ns >= again_since_ns + ns(RETRY_FOR) {
            again.gave_up += 1;
        } else if self.schedule(Operation::BuyAgain { order }, due_ns, now_ns) {
            again.retries += 1;
        }
    }

    /// `false` if the run is stopping, and nothing is begun any more.
    fn schedule(&self, operation: Operation, due_ns: u64, now_ns: u64) -> bool {
        if self.stop.is_stopping() {
            return false;
        }
        let Some(kind) = operation.served_by().map(Serves::index) else {
            return false;
        };
        let queues = &self.queues[kind];
        let at = self.next[kind].fetch_add(1, Ordering::Relaxed) % queues.len().max(1);
        let Some(queue) = queues.get(at) else {
            return false;
        };
        self.pending.fetch_add(1, Ordering::AcqRel);
        queue.push(operation, due_ns, now_ns);
        true
    }

    fn wake_if_over(&self) {
        if self.is_over() {
            for queue in self.queues() {
                queue.slot.wake();
            }
        }
    }

    fn orders(&self) -> MutexGuard<'_, Vec<Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
