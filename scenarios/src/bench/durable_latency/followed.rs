//! Which of the accepted orders are followed until their row is there, and what each counts for.
//!
//! All that are followed are asked for in every query, so the time between two looks at an order
//! does not depend on how many are waiting. Their number is therefore bounded: when there are too
//! many, half of them, drawn by lot, are let go, and from then on only every second order is taken
//! (then every fourth, and so on, and more again when few are waiting).
//!
//! An order that waits long is more likely to be let go before its row comes than one that waits
//! briefly, and while the consumer lags fewer are taken: counted alike, the orders that were found
//! would make a lagging consumer look quick. So each counts for as many as the largest interval in
//! its lifetime stands for, which is one by the likelihood that its lot was drawn (the estimator of
//! Horvitz and Thompson). Taking only what fits, or asking only for the oldest, has no such remedy.

use std::collections::HashSet;
use std::fmt::Write;

use reports::result::{Durable, HistRecorder, LATENCY_MAX_NS};

/// Most orders that are followed at once, and so in one query; more would make the reader a load of
/// its own.
pub(super) const FOLLOWED_MAX: usize = 256;
/// When fewer are followed, more are taken again.
const FEW: usize = FOLLOWED_MAX / 8;

#[derive(Debug)]
pub(super) struct Followed {
    orders: Vec<Order>,
    /// One in this many is taken; a power of two.
    interval: u64,
    /// How many have been offered, taken or not.
    offered: u64,
    found: u64,
    left_out: u64,
    overflow: u64,
    latencies: HistRecorder,
    /// For each latency, by how much it may be too large.
    gaps: HistRecorder,
}

#[derive(Debug)]
struct Order {
    order_id: i64,
    accepted_unix_us: i64,
    /// The last moment at which its row is known not to have been there; the reply at first.
    absent_unix_us: i64,
    /// Evenly distributed, and independent of the order.
    lot: u64,
    /// The largest interval since it was taken: how many orders it stands for.
    weight: u64,
}

impl Followed {
    pub(super) fn new() -> Self {
        Self {
            orders: Vec::with_capacity(FOLLOWED_MAX + 1),
            interval: 1,
            offered: 0,
            found: 0,
            left_out: 0,
            overflow: 0,
            latencies: HistRecorder::new(),
            gaps: HistRecorder::new(),
        }
    }

    pub(super) fn add(&mut self, order_id: i64, accepted_unix_us: i64) {
        self.offered += 1;
        let lot = lot_of(self.offered);
        if !lot.is_multiple_of(self.interval) {
            self.left_out += 1;
            return;
        }
        self.orders.push(Order {
            order_id,
            accepted_unix_us,
            absent_unix_us: accepted_unix_us,
            lot,
            weight: self.interval,
        });
        while self.orders.len() > FOLLOWED_MAX {
            self.thin_out();
        }
    }

    fn thin_out(&mut self) {
        let before = self.orders.len();
        self.interval *= 2;
        self.orders.retain_mut(|order| {
            order.weight = order.weight.max(self.interval);
            order.lot.is_multiple_of(self.interval)
        });
        self.left_out += (before - self.orders.len()) as u64;
    }

    /// Asks for the rows of all that are followed; none when there are none.
    pub(super) fn query(&self) -> Option<String> {
        let (first, others) = self.orders.split_first()?;
        let mut query = format!(
            "SELECT order_id FROM orders WHERE order_id IN ({}",
            first.order_id
        );
        for order in others {
            write!(query, ",{}", order.order_id).expect("a string takes it");
        }
        query.push(')');
        Some(query)
    }

    /// Takes the answer to the query: the ids of the rows that are there, when they were asked for,
    /// and when the answer had come.
    pub(super) fn answer(&mut self, rows: &[i64], asked_unix_us: i64, seen_unix_us: i64) {
        let rows: HashSet<i64> = rows.iter().copied().collect();
        let orders = std::mem::take(&mut self.orders);
        for mut order in orders {
            if rows.contains(&order.order_id) {
                self.record(&order, seen_unix_us);
            } else {
                order.absent_unix_us = order.absent_unix_us.max(asked_unix_us);
                self.orders.push(order);
            }
        }
        if self.orders.len() < FEW && self.interval > 1 {
            self.interval /= 2;
        }
    }

    fn record(&mut self, order: &Order, seen_unix_us: i64) {
        let since = |unix_us: i64| {
            let us = u64::try_from(seen_unix_us - unix_us).unwrap_or(0);
            us.saturating_mul(1_000)
        };
        let latency_ns = since(order.accepted_unix_us);
        let gap_ns = since(order.absent_unix_us);
        for _ in 0..order.weight {
            self.latencies.record_ns(latency_ns);
            self.gaps.record_ns(gap_ns);
        }
        self.found += 1;
        self.overflow += u64::from(latency_ns > LATENCY_MAX_NS);
    }

    pub(super) fn sum_up(&self) -> Durable {
        let gap_ns = |quantile| self.gaps.quantile_ns(quantile).unwrap_or(0);
        Durable {
            hist: self.latencies.to_hist(),
            samples: self.found,
            missing: self.orders.len() as u64,
            left_out: self.left_out,
            overflow: self.overflow,
            poll_gap_p50_ns: gap_ns(0.5),
            poll_gap_p99_ns: gap_ns(0.99),
        }
    }
}

/// SplitMix64 of Steele, Lea and Flood: consecutive numbers become independent lots.
fn lot_of(index: u64) -> u64 {
    let mut z = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::result::Latencies;

    const POLL_US: i64 = 10_000;

    /// One order per `every_us` for `length_us`, whose row comes `delay_us(accepted)` later, read by
    /// a reader that is never late.
    fn simulate(
        length_us: i64,
        every_us: usize,
        delay_us: impl Fn(i64) -> i64,
    ) -> (Durable, Latencies, usize) {
        let accepted: Vec<i64> = (0..length_us).step_by(every_us).collect();
        let mut truth = Latencies::new();
        let mut followed = Followed::new();
        let (mut next, mut now_us, mut most) = (0, 0, 0);
        while next < accepted.len() || !followed.orders.is_empty() {
            now_us += POLL_US;
            while let Some(at) = accepted.get(next).filter(|at| **at <= now_us) {
                truth.record_ns(delay_us(*at) as u64 * 1_000);
                followed.add(next as i64, *at);
                next += 1;
            }
            most = most.max(followed.orders.len());
            let rows = followed.orders.iter().map(|order| order.order_id);
            let is_there = |id: &i64| {
                let at = accepted[*id as usize];
                at + delay_us(at) <= now_us
            };
            let rows: Vec<i64> = rows.filter(is_there).collect();
            followed.answer(&rows, now_us, now_us);
        }
        (followed.sum_up(), truth, most)
    }

    fn assert_close(durable: &Durable, truth: &Latencies, quantiles: &[f64], tolerance: f64) {
        let read = durable.hist.read().expect("readable");
        for quantile in quantiles {
            let [found, true_ns] = [&read, truth].map(|it| it.quantile_ns(*quantile));
            let ratio = found.expect("values") as f64 / true_ns.expect("values") as f64;
            assert!((ratio - 1.0).abs() < tolerance, "{quantile}: {ratio}");
        }
    }

    #[test]
    fn when_few_wait_every_order_is_followed() {
        let (durable, truth, most) = simulate(5_000_000, 1_000, |at| 100_000 + at / 100);
        assert_eq!(
            (durable.samples, durable.left_out, durable.missing),
            (5_000, 0, 0)
        );
        assert!(most <= FOLLOWED_MAX);
        assert_close(&durable, &truth, &[0.1, 0.5, 0.9], 0.1);
        assert_eq!(durable.poll_gap_p99_ns, POLL_US as u64 * 1_000);
    }

    /// From 20 ms to 8 s: most of the orders that could be followed at first are quick.
    #[test]
    fn a_consumer_that_lags_ever_more_does_not_look_quick() {
        let (durable, truth, most) = simulate(20_000_000, 500, |at| 20_000 + at * 2 / 5);
        assert!(durable.left_out > 30_000 && most <= FOLLOWED_MAX);
        assert_eq!(durable.samples + durable.left_out, 40_000);
        assert_close(&durable, &truth, &[0.1, 0.25, 0.5, 0.75, 0.9, 0.99], 0.15);
        let stood_for = durable.hist.count as f64 / 40_000.0;
        assert!((stood_for - 1.0).abs() < 0.15, "{stood_for}");
        // However many wait, each is looked at in every poll.
        assert_eq!(durable.poll_gap_p99_ns, POLL_US as u64 * 1_000);
    }

    #[test]
    fn a_lag_that_comes_and_goes_keeps_its_share() {
        // Three seconds of every ten are slow.
        let delay_us = |at: i64| match at % 10_000_000 {
            0..3_000_000 => 2_000_000,
            _ => 30_000,
        };
        let (durable, truth, _) = simulate(60_000_000, 500, delay_us);
        let slow_share = |it: &Latencies| {
            let quick = it.count_up_to_ns(1_000_000_000);
            1.0 - quick as f64 / it.count() as f64
        };
        let found = slow_share(&durable.hist.read().expect("readable"));
        assert!((found - slow_share(&truth)).abs() < 0.03, "{found}");
    }

    #[test]
    fn ten_thousand_at_once_are_thinned_out_to_what_one_query_holds() {
        let (durable, _, most) = simulate(10_000, 1, |_| 500_000);
        assert!((FOLLOWED_MAX / 4..=FOLLOWED_MAX).contains(&most), "{most}");
        assert_eq!(durable.samples + durable.left_out, 10_000);
        assert_eq!(durable.poll_gap_p99_ns, POLL_US as u64 * 1_000);
    }

    #[test]
    fn what_takes_longer_than_can_be_told_apart_is_counted() {
        let mut followed = Followed::new();
        for (id, accepted_s) in [(1, 0), (2, 50), (3, 600)] {
            followed.add(id, accepted_s * 1_000_000);
        }
        followed.answer(&[1, 2], 600_000_000, 601_000_000);
        let durable = followed.sum_up();
        assert_eq!(
            (durable.samples, durable.missing, durable.overflow),
            (2, 1, 1)
        );
        assert_eq!(durable.hist.saturated, 1);
        // Nobody had looked before: the whole latency may be the wait for the first look.
        assert!(durable.poll_gap_p99_ns >= 600_000_000_000, "{durable:?}");
    }

    #[test]
    fn a_look_that_comes_late_is_a_large_gap() {
        let mut followed = Followed::new();
        followed.add(1, 0);
        followed.answer(&[], 10_000, 12_000);
        followed.answer(&[1], 400_000, 450_000);
        let durable = followed.sum_up();
        assert_eq!(durable.poll_gap_p50_ns, 440_000_000);
        assert_eq!(durable.hist.max_ns, 450_000_000);
        assert_eq!(followed.query(), None);
    }
}
