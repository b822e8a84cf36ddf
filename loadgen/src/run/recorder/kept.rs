//! What the outcome log needs of a request, in 32 bytes.

use crate::run::request::{self, Request, RequestEnd};
use crate::run::shared::Shared;
use reports::outcome_log::{Operation, Outcome, Record, Refusal};

/// Stands for "never sent" where a time counts from when the request was due.
const NEVER_US: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
pub struct Kept {
    order_id: i64,
    due_ns: u64,
    /// Counted from when it was due; [`NEVER_US`] if it was never sent.
    sent_after_us: u32,
    /// Counted from when it was due.
    ended_after_us: u32,
    /// Of the element or the order.
    index: u32,
    code: Code,
    outcome: Outcome,
    refusal: Option<Refusal>,
}

/// The variants of [`request::Operation`], in a byte.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Code {
    Buy,
    Cancel,
    Pay,
    BuyAgain,
}

fn code(operation: request::Operation) -> (Code, u32) {
    match operation {
        request::Operation::Buy { element } => (Code::Buy, element),
        request::Operation::Cancel { order } => (Code::Cancel, order),
        request::Operation::Pay { order } => (Code::Pay, order),
        request::Operation::BuyAgain { order } => (Code::BuyAgain, order),
    }
}

/// Records by the block (2 MiB), because a list that grows would copy itself in the middle of what is
/// measured.
#[derive(Debug, Default)]
pub struct KeptRecords(Vec<Vec<Kept>>);

const BLOCK: usize = 1 << 16;

impl KeptRecords {
    pub fn push(&mut self, kept: Kept) {
        match self.0.last_mut() {
            Some(block) if block.len() < BLOCK => block.push(kept),
            _ => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push(kept);
                self.0.push(block);
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.0.iter().flatten()
    }
}

const _: () = assert!(size_of::<Kept>() == 32);

impl Kept {
    pub fn new(request: &Request, end: &RequestEnd, now_ns: u64) -> Self {
        let after_due = |at_ns: u64| {
            let us = at_ns.saturating_sub(request.due_ns) / 1_000;
            u32::try_from(us).unwrap_or(NEVER_US).min(NEVER_US - 1)
        };
        let (code, index) = code(request.operation);
        Self {
            order_id: end.order_id,
            due_ns: request.due_ns,
            sent_after_us: request.sent_ns.map_or(NEVER_US, after_due),
            ended_after_us: after_due(now_ns),
            index,
            code,
            outcome: end.outcome,
            refusal: end.refusal,
        }
    }

    pub fn record(&self, shared: &Shared) -> Record {
        let index = self.index;
        let (operation, asked) = match self.code {
            Code::Buy => (Operation::Buy, request::Operation::Buy { element: index }),
            Code::Cancel => (
                Operation::Cancel,
                request::Operation::Cancel { order: index },
            ),
            Code::Pay => (Operation::Pay, request::Operation::Pay { order: index }),
            Code::BuyAgain => (
                Operation::Buy,
                request::Operation::BuyAgain { order: index },
            ),
        };
        let (asked_order_id, index) = shared.asked(asked);
        let element = shared.element(index);
        let buys = operation == Operation::Buy;
        let due_at_unix_us = shared.clock.unix_us(self.due_ns);
        let at_unix_us = |after_us: u32| due_at_unix_us + i64::from(after_us);
        Record {
            operation,
            user_id: element.user_id,
            product_id: if buys { element.product_id } else { 0 },
            asked_order_id: if buys { 0 } else { asked_order_id },
            quantity: if buys { element.quantity as u32 } else { 0 },
            outcome: self.outcome,
            refusal: self.refusal,
            order_id: self.order_id,
            due_at_unix_us,
            sent_at_unix_us: (self.sent_after_us != NEVER_US)
                .then(|| at_unix_us(self.sent_after_us)),
            ended_at_unix_us: at_unix_us(self.ended_after_us),
        }
    }
}
