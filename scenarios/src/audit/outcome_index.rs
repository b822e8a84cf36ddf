//! What the buyers asked for and what they were told: the drivers' outcome logs, with indexes by
//! order and by buyer. Takes about 100 bytes per request, so that half a million requests need
//! some 50 MB, and as many cancels of their orders some 40 MB more.

use anyhow::{Context, bail};
use reports::outcome_log::{self, Operation, Outcome, Record};
use std::path::PathBuf;

#[derive(Debug)]
pub(super) struct OutcomeIndex {
    records: Vec<Record>,
    /// Positions of accepted buys, by order id.
    accepted: Vec<u32>,
    /// Positions of all buys, by product and user, then by the time they were sent.
    by_buyer: Vec<u32>,
    /// Positions of buys that were answered with an order told before, by order id.
    duplicates: Vec<u32>,
    /// Positions of buys that were sent and not answered, or failed, in the order of `by_buyer`.
    unanswered: Vec<u32>,
    /// Positions of all cancels and pays, by the order that they ask about.
    by_asked_order: Vec<u32>,
}

impl OutcomeIndex {
    /// Blocking.
    ///
    /// # Errors
    /// When a log cannot be read, or all of them together hold no purchase: nothing was driven, so
    /// nothing is proven.
    pub(super) fn read(logs: &[PathBuf]) -> anyhow::Result<Self> {
        let mut records = Vec::new();
        for path in logs {
            let read = outcome_log::read(path)?;
            if records.is_empty() {
                records = read;
            } else {
                records.extend(read);
            }
        }
        if !records.iter().any(is_buy) {
            let names: Vec<String> = logs.iter().map(|path| path.display().to_string()).collect();
            bail!(
                "{} holds no requests: nothing was driven, so there is nothing to audit",
                names.join(", ")
            );
        }
        Self::index(records)
    }

    pub(super) fn index(records: Vec<Record>) -> anyhow::Result<Self> {
        let count = u32::try_from(records.len())
            .context("more than 4,294,967,295 requests in the outcome logs")?;
        let record = |at: &u32| &records[*at as usize];
        let (mut by_buyer, mut by_asked_order): (Vec<u32>, Vec<u32>) =
            (0..count).partition(|at| is_buy(record(at)));
        by_buyer.sort_unstable_by_key(|at| {
            let record = record(at);
            (record.product_id, record.user_id, record.began_at_unix_us())
        });
        by_asked_order.sort_unstable_by_key(|at| (record(at).asked_order_id, *at));
        let by_order_of = |outcome| {
            let of_outcome = by_buyer.iter().filter(|at| record(at).outcome == outcome);
            let mut by_order: Vec<u32> = of_outcome.copied().collect();
            by_order.shrink_to_fit();
            by_order.sort_unstable_by_key(|at| (record(at).order_id, *at));
            by_order
        };
        let accepted = by_order_of(Outcome::Accepted);
        let duplicates = by_order_of(Outcome::Duplicate);
        let mut unanswered: Vec<u32> = by_buyer.clone();
        unanswered.retain(|at| may_hold(record(at)));
        unanswered.shrink_to_fit();
        Ok(Self {
            records,
            accepted,
            by_buyer,
            duplicates,
            unanswered,
            by_asked_order,
        })
    }

    /// Positions of the cancels and pays of this order, whoever asked for them.
    pub(super) fn asked_about(&self, order_id: i64) -> &[u32] {
        equal_range(&self.by_asked_order, |at| {
            self.record(at).asked_order_id.cmp(&order_id)
        })
    }

    /// Positions of all cancels and pays, order by order.
    pub(super) fn asked_by_order(&self) -> impl Iterator<Item = &[u32]> {
        self.by_asked_order
            .chunk_by(|a, b| self.record(*a).asked_order_id == self.record(*b).asked_order_id)
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Positions of all buys.
    pub(super) fn buys(&self) -> impl Iterator<Item = u32> {
        self.by_buyer.iter().copied()
    }

    pub(super) fn buy_records(&self) -> impl Iterator<Item = &Record> {
        self.buys().map(|at| self.record(at))
    }

    pub(super) fn record(&self, at: u32) -> &Record {
        &self.records[at as usize]
    }

    pub(super) fn accepted(&self) -> &[u32] {
        &self.accepted
    }

    pub(super) fn accepted_records(&self) -> impl Iterator<Item = &Record> {
        self.accepted.iter().map(|at| self.record(*at))
    }

    /// Positions of the accepted requests that were told this order id. Normally there is one; but
    /// several drivers may each have been told about the same order of the same buyer.
    pub(super) fn told(&self, order_id: i64) -> &[u32] {
        equal_range(&self.accepted, |at| self.record(at).order_id.cmp(&order_id))
    }

    /// Positions of the buys that were answered with this order although it had been told before.
    pub(super) fn duplicates(&self, order_id: i64) -> &[u32] {
        equal_range(&self.duplicates, |at| {
            self.record(at).order_id.cmp(&order_id)
        })
    }

    /// Unix µs before which this order was not asked for: the first request that was answered with
    /// it, or one of its buyer that was not answered. `i64::MIN` if there is neither.
    pub(super) fn asked_since_us(&self, order_id: i64, product_id: i64, user_id: i64) -> i64 {
        let (named_us, unanswered_us) = self.first_asked_us(order_id, product_id, user_id);
        let first_us = named_us.into_iter().chain(unanswered_us).min();
        first_us.unwrap_or(i64::MIN)
    }

    /// Unix µs before which this order held no units: as [`Self::asked_since_us`], but a request
    /// that was not answered led to it only after its buyer had asked for the order before it.
    pub(super) fn held_since_us(&self, order_id: i64, product_id: i64, user_id: i64) -> i64 {
        match self.first_asked_us(order_id, product_id, user_id) {
            (Some(named_us), Some(unanswered_us)) if unanswered_us < named_us => {
                let requests = self.requests_of(product_id, user_id);
                let earlier =
                    requests.partition_point(|at| self.record(*at).began_at_unix_us() < named_us);
                let another = |record: &&Record| {
                    record.outcome == Outcome::Accepted
                        && record.order_id != order_id
                        && record.ended_at_unix_us <= named_us
                };
                let mut before = requests[..earlier].iter().rev().map(|at| self.record(*at));
                let previous_us = before.find(another).map(Record::began_at_unix_us);
                unanswered_us.max(previous_us.unwrap_or(i64::MIN))
            }
            (named_us, unanswered_us) => named_us.or(unanswered_us).unwrap_or(i64::MIN),
        }
    }

    /// When this buyer sent the first request that was answered with this order, and the first that
    /// was not answered at all.
    fn first_asked_us(
        &self,
        order_id: i64,
        product_id: i64,
        user_id: i64,
    ) -> (Option<i64>, Option<i64>) {
        let told = self.told(order_id).iter().chain(self.duplicates(order_id));
        let named_us = told
            .map(|at| self.record(*at))
            .filter(|told| (told.product_id, told.user_id) == (product_id, user_id))
            .map(Record::began_at_unix_us)
            .min();
        let unanswered = equal_range(&self.unanswered, |at| {
            let record = self.record(at);
            (record.product_id, record.user_id).cmp(&(product_id, user_id))
        });
        let unanswered_us = unanswered.first().map(|at| self.record(*at));
        (named_us, unanswered_us.map(Record::began_at_unix_us))
    }

    /// Positions of this buyer's requests to this sale, oldest first.
    pub(super) fn requests_of(&self, product_id: i64, user_id: i64) -> &[u32] {
        equal_range(&self.by_buyer, |at| {
            let record = self.record(at);
            (record.product_id, record.user_id).cmp(&(product_id, user_id))
        })
    }

    /// Of each buyer of this sale, the positions of their requests, oldest first.
    pub(super) fn buyers_of(&self, product_id: i64) -> impl Iterator<Item = &[u32]> {
        equal_range(&self.by_buyer, |at| {
            self.record(at).product_id.cmp(&product_id)
        })
        .chunk_by(|a, b| self.record(*a).user_id == self.record(*b).user_id)
    }

    /// Whether this buyer was ever told anything that allows an order to exist.
    pub(super) fn may_have_an_order(&self, product_id: i64, user_id: i64) -> bool {
        self.requests_of(product_id, user_id).iter().any(|at| {
            matches!(
                self.record(*at).outcome,
                Outcome::Accepted | Outcome::Duplicate | Outcome::Unknown
            )
        })
    }

    /// Whether an order of `quantity` units is what this request may have led to. A retry is
    /// answered with the order of an earlier request, so the quantity may also be that of another
    /// request of the same buyer which was sent before this reply arrived, and was not refused.
    pub(super) fn quantity_was_asked(&self, told: &Record, quantity: i64) -> bool {
        if i64::from(told.quantity) == quantity {
            return true;
        }
        self.requests_of(told.product_id, told.user_id)
            .iter()
            .map(|at| self.record(*at))
            .any(|other| {
                other.outcome != Outcome::Refused
                    && i64::from(other.quantity) == quantity
                    && other.began_at_unix_us() <= told.ended_at_unix_us
            })
    }
}

fn is_buy(record: &Record) -> bool {
    record.operation == Operation::Buy
}

/// Whether a buy may have been granted units without its buyer being told.
pub(super) fn may_hold(record: &Record) -> bool {
    matches!(record.outcome, Outcome::Unknown | Outcome::Error) && record.sent_at_unix_us.is_some()
}

fn equal_range(sorted: &[u32], compare: impl Fn(u32) -> std::cmp::Ordering) -> &[u32] {
    let start = sorted.partition_point(|at| compare(*at).is_lt());
    let length = sorted[start..].partition_point(|at| compare(*at).is_eq());
    &sorted[start..start + length]
}
