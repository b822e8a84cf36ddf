//! What all lanes of a run share: the source, the data, the clock, and the orders that buyers were
//! already told about.

use super::clock::Clock;
use super::follow::Follow;
use super::request::Operation;
use super::source::Source;
use super::stop::Stop;
use crate::data::Element;
use crate::duration::ns;
use crate::plan::{Arrival, End, LoadPlan};
use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
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
    /// None where nothing follows the yes.
    pub follow: Option<Arc<Follow>>,
    elements: Arc<[Element]>,
    told: Told,
}

/// Orders that buyers were told about.
#[derive(Debug)]
enum Told {
    /// Nobody asks twice.
    Nothing,
    /// A user who asks twice does so with the same element, when the data begins again. By element,
    /// the first order or [`NO_ORDER`]; nothing here grows, or is locked, while latency is measured.
    ByElement(Vec<AtomicI64>),
    /// Users appear more than once in the data.
    ByUser(Mutex<HashSet<(i64, i64)>>),
}

/// Stands for "told about no order". A reply without an id counts as one about order 0.
const NO_ORDER: i64 = i64::MIN;

impl Told {
    fn new(elements: usize, users_repeat: bool, may_wrap: bool, follows: bool) -> Self {
        match (users_repeat, may_wrap) {
            (true, _) => Self::ByUser(Mutex::default()),
            // Who has cancelled may be told about another order, and both are remembered.
            (false, true) if follows => Self::ByUser(Mutex::new(HashSet::with_capacity(elements))),
            (false, true) => {
                let told = std::iter::repeat_with(|| AtomicI64::new(NO_ORDER));
                Self::ByElement(told.take(elements).collect())
            }
            (false, false) => Self::Nothing,
        }
    }
}

impl Shared {
    pub fn new(plan: &LoadPlan, elements: Arc<[Element]>, users_repeat: bool, stop: Stop) -> Self {
        let may_wrap = match plan.end {
            End::Count(count) => count > elements.len() as u64,
            End::Time(_) => true,
        };
        let think = match plan.arrival {
            Arrival::Closed { think, .. } => ns(think),
            Arrival::Open { .. } => 0,
        };
        let follow = plan.orders.as_ref().map(|orders| {
            let elements = Arc::clone(&elements);
            Arc::new(Follow::new(orders, plan.seed, stop.clone(), elements))
        });
        Self {
            clock: Clock::start(),
            source: Source::new(plan, elements.len() as u64, stop.clone()),
            stop,
            timeout_ns: ns(plan.timeout),
            think_ns: think,
            sample_every: plan.sample_every,
            keep_outcomes: plan.keep_outcomes,
            report: plan.report,
            told: Told::new(elements.len(), users_repeat, may_wrap, follow.is_some()),
            follow,
            elements,
        }
    }

    pub fn element(&self, index: u32) -> &Element {
        &self.elements[index as usize]
    }

    /// The order that a request names, 0 for an ordinary purchase, and the element that it, or the
    /// purchase before it, is made with.
    pub fn asked(&self, operation: Operation) -> (i64, u32) {
        match operation {
            Operation::Buy { element } => (0, element),
            Operation::Cancel { order }
            | Operation::Pay { order }
            | Operation::BuyAgain { order } => {
                // Whatever follows was scheduled by it.
                self.follow
                    .as_ref()
                    .map_or((0, 0), |follow| follow.asked(order))
            }
        }
    }

    /// Whether the user of an element was told about this order before; remembers it from now on.
    pub fn was_told(&self, index: u32, order_id: i64) -> bool {
        match &self.told {
            Told::Nothing => false,
            Told::ByElement(told) => {
                let (relaxed, told) = (Ordering::Relaxed, &told[index as usize]);
                let before = told.compare_exchange(NO_ORDER, order_id, relaxed, relaxed);
                before == Err(order_id)
            }
            Told::ByUser(told) => {
                let user_id = self.element(index).user_id;
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                !told.insert((user_id, order_id))
            }
        }
    }
}
