//! What the buyers asked for and what they were told: the drivers' outcome logs, with an index by
//! order and an index by buyer. Takes 56 bytes per request, so that half a million requests need
//! less than 30 MB.

use anyhow::{Context, bail};
use reports::outcome_log::{self, Outcome, Record};
use std::path::PathBuf;

#[derive(Debug)]
pub(super) struct OutcomeIndex {
    records: Vec<Record>,
    /// Positions of accepted records, by order id.
    accepted: Vec<u32>,
    /// Positions of all records, by product and user, then by the time they were sent.
    by_buyer: Vec<u32>,
}

impl OutcomeIndex {
    /// Blocking.
    ///
    /// # Errors
    /// When a log cannot be read, or all of them together hold no request: nothing was driven, so
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
        if records.is_empty() {
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
        let mut by_buyer: Vec<u32> = (0..count).collect();
        by_buyer.sort_unstable_by_key(|at| {
            (
                record(at).product_id,
                record(at).user_id,
                record(at).sent_at_unix_us,
            )
        });
        let mut accepted: Vec<u32> = (0..count)
            .filter(|at| record(at).outcome == Outcome::Accepted)
            .collect();
        accepted.shrink_to_fit();
        accepted.sort_unstable_by_key(|at| (record(at).order_id, *at));
        Ok(Self {
            records,
            accepted,
            by_buyer,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn records(&self) -> &[Record] {
        &self.records
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

    /// Positions of this buyer's requests to this sale, oldest first.
    pub(super) fn requests_of(&self, product_id: i64, user_id: i64) -> &[u32] {
        equal_range(&self.by_buyer, |at| {
            let record = self.record(at);
            (record.product_id, record.user_id).cmp(&(product_id, user_id))
        })
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
        let replied_at_us = told
            .sent_at_unix_us
            .saturating_add_unsigned(told.latency_us);
        self.requests_of(told.product_id, told.user_id)
            .iter()
            .map(|at| self.record(*at))
            .any(|other| {
                other.outcome != Outcome::Refused
                    && i64::from(other.quantity) == quantity
                    && other.sent_at_unix_us <= replied_at_us
            })
    }
}

fn equal_range(sorted: &[u32], compare: impl Fn(u32) -> std::cmp::Ordering) -> &[u32] {
    let start = sorted.partition_point(|at| compare(*at).is_lt());
    let length = sorted[start..].partition_point(|at| compare(*at).is_eq());
    &sorted[start..start + length]
}
