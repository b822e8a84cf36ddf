//! What one lane has to send after the yes, by the time at which it is due. Any thread may add to it.

use crate::run::request::{Operation, Request, Serves};
use crate::run::slot::Slot;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// It has no bound of its own: an accepted order adds at most three requests, and one of those at
/// most one more.
#[derive(Debug)]
pub struct Queue {
    pub serves: Serves,
    pub slot: Arc<Slot>,
    later: Mutex<Later>,
}

#[derive(Debug, Default)]
struct Later {
    /// When it is due, and its place among those that came; what comes first is the greatest.
    heap: BinaryHeap<Reverse<(u64, u64, Operation)>>,
    pushed: u64,
}

impl Queue {
    pub fn new(serves: Serves) -> Self {
        Self {
            serves,
            slot: Arc::default(),
            later: Mutex::default(),
        }
    }

    /// Adds a request, and sees to it that the lane looks when it is due.
    pub fn push(&self, operation: Operation, due_ns: u64, now_ns: u64) {
        let mut later = self.later();
        later.pushed += 1;
        let place = later.pushed;
        later.heap.push(Reverse((due_ns, place, operation)));
        self.slot.look_at_latest(due_ns);
        drop(later);
        if due_ns <= now_ns {
            self.slot.wake();
        }
    }

    /// Appends what is due by now, in order. Returns how many.
    pub fn take_due(&self, now_ns: u64, into: &mut VecDeque<Request>) -> u64 {
        let before = into.len();
        let mut later = self.later();
        while let Some(Reverse((due_ns, _, operation))) = later.heap.peek().copied()
            && due_ns <= now_ns
        {
            later.heap.pop();
            into.push_back(Request {
                operation,
                due_ns,
                sent_ns: None,
            });
        }
        (into.len() - before) as u64
    }

    /// Forgets everything that is not due yet. Returns how many that were.
    pub fn clear(&self) -> u64 {
        let mut later = self.later();
        let count = later.heap.len() as u64;
        later.heap.clear();
        count
    }

    /// The lane wants to be woken at that moment, or when something is due before.
    pub fn look_at(&self, at_ns: u64) {
        let later = self.later();
        let due_ns = later.heap.peek().map_or(u64::MAX, |first| first.0.0);
        self.slot.look_at(at_ns.min(due_ns));
    }

    fn later(&self) -> MutexGuard<'_, Later> {
        self.later.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
