//! What all lanes of a run share: the request counter, the data, the clock, and the orders that
//! buyers were already told about.

use super::clock::Clock;
use super::{LoadPlan, Stop};
use crate::data::{Element, Encoded};
use crate::wire::Target;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug)]
pub struct Shared {
    pub clock: Clock,
    pub timeout_us: u64,
    pub stop: Stop,
    pub target: Target,
    pub sample_every: u64,
    pub keep_outcomes: bool,
    data: Arc<Encoded>,
    start_index: u64,
    requests: u64,
    next: AtomicU64,
    /// `(user_id, order_id)` of accepted requests; kept only if a user may have more than one
    /// request.
    told: Option<Mutex<HashSet<(i64, i64)>>>,
}

impl Shared {
    pub fn new(
        plan: &LoadPlan,
        target: Target,
        data: Arc<Encoded>,
        stop: Stop,
        clock: Clock,
    ) -> Self {
        let may_repeat = data.users_repeat() || plan.requests > data.len() as u64;
        Self {
            clock,
            timeout_us: plan.timeout.as_micros() as u64,
            stop,
            target,
            sample_every: plan.sample_every,
            keep_outcomes: plan.keep_outcomes,
            start_index: plan.start_index % data.len() as u64,
            data,
            requests: plan.requests,
            next: AtomicU64::new(0),
            told: may_repeat.then(Mutex::default),
        }
    }

    /// Index of the next request's element; `None` when all requests are taken or the run is
    /// stopping.
    pub fn draw(&self) -> Option<usize> {
        if self.stop.is_stopping() {
            return None;
        }
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let index = |request| {
            ((self.start_index + request % self.data.len() as u64) % self.data.len() as u64)
                as usize
        };
        (request < self.requests).then(|| index(request))
    }

    pub fn message(&self, index: usize) -> &[u8] {
        self.data.message(index)
    }

    pub fn element(&self, index: usize) -> &Element {
        self.data.element(index)
    }

    /// Whether this user was told about this order before; remembers it from now on.
    pub fn was_told(&self, user_id: i64, order_id: i64) -> bool {
        let Some(told) = &self.told else { return false };
        !told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((user_id, order_id))
    }
}
