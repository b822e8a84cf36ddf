//! What all lanes of a run share: the source, the data, the clock, and the orders that buyers were
//! already told about.

use super::clock::Clock;
use super::source::Source;
use super::stop::Stop;
use crate::data::Element;
use crate::duration::ns;
use crate::plan::{Arrival, End, LoadPlan};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug)]
pub struct Shared {
    pub clock: Clock,
    pub stop: Stop,
    pub source: Source,
    pub timeout_ns: u64,
    pub think_ns: u64,
    pub sample_every: u64,
    pub keep_outcomes: bool,
    pub report: bool,
    elements: Arc<[Element]>,
    /// `(user_id, order_id)` of accepted requests; kept only if a user may have more than one
    /// request.
    told: Option<Mutex<HashSet<(i64, i64)>>>,
}

impl Shared {
    pub fn new(plan: &LoadPlan, elements: Arc<[Element]>, users_repeat: bool, stop: Stop) -> Self {
        let may_repeat = match plan.end {
            End::Count(count) => count > elements.len() as u64,
            End::Time(_) => true,
        };
        let think = match plan.arrival {
            Arrival::Closed { think, .. } => ns(think),
            Arrival::Open { .. } => 0,
        };
        Self {
            clock: Clock::start(),
            source: Source::new(plan, elements.len() as u64, stop.clone()),
            stop,
            timeout_ns: ns(plan.timeout),
            think_ns: think,
            sample_every: plan.sample_every,
            keep_outcomes: plan.keep_outcomes,
            report: plan.report,
            elements,
            told: (users_repeat || may_repeat).then(Mutex::default),
        }
    }

    pub fn element(&self, index: u32) -> &Element {
        &self.elements[index as usize]
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
