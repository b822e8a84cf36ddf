//! Random histories of a tiny sale: an honest one always passes, and one that ends with a lie never.

use super::super::super::{
    ExpectedSale,
    database::{Allocation, Order, Release, StockChange, status},
};
use super::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use reports::outcome_log::{Operation, Outcome};

const PRODUCT: i64 = 1;
const START_MS: i64 = 1_700_000_000_000;
const HISTORIES: u64 = 2_000;
const STEPS: usize = 60;

/// An engine that is right about what is free, with everything that can happen around it.
struct Simulation {
    random: SmallRng,
    now_ms: i64,
    free: i64,
    epoch: i64,
    log: Vec<Record>,
    rows: Vec<Order>,
    /// Of cancelled orders; the units of those that are not done are still away.
    releases: Vec<Release>,
    /// Granted, and without a row: order, user, units.
    holds: Vec<(i64, i64, i64)>,
    set_up: i64,
    total: i64,
    changes: Vec<StockChange>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let total = random.random_range(1..20);
        Self {
            random,
            now_ms: START_MS,
            free: total,
            epoch: 1,
            log: Vec::new(),
            rows: Vec::new(),
            releases: Vec::new(),
            holds: Vec::new(),
            set_up: total,
            total,
            changes: Vec::new(),
        }
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            self.now_ms += self.random.random_range(0..2_000);
            match self.random.random_range(0..14) {
                0 => self.void(),
                1 => self.reopen(),
                2 | 3 => self.cancel(),
                4 | 5 => self.release(),
                6 => self.retry(),
                _ => self.buy(),
            }
        }
    }

    /// Nothing is left open when an audit is made.
    fn come_to_rest(&mut self) {
        while !self.holds.is_empty() {
            self.void();
        }
        while self.releases.iter().any(|one| one.released_at_ms.is_none()) {
            self.release();
        }
    }

    /// A new buyer, or one who has no order at the moment.
    fn somebody(&mut self) -> i64 {
        let new = self.next_id();
        let known = self.random.random_range(0..new);
        let asked = self.log.get(known as usize).map(|record| record.user_id);
        let has_none = |user_id: &i64| {
            let has_order = |row: &Order| row.user_id == *user_id && row.live.is_some();
            let has_hold = |(_, user, _): &(i64, i64, i64)| user == user_id;
            !self.rows.iter().any(has_order) && !self.holds.iter().any(has_hold)
        };
        asked.filter(has_none).unwrap_or(new)
    }

    /// Of a buyer or an order.
    fn next_id(&self) -> i64 {
        self.log.len() as i64 + 1
    }

    fn buy(&mut self) {
        let (user_id, order_id) = (self.somebody(), self.next_id());
        let units = self.random.random_range(1..4);
        if units > self.free {
            return self.told(user_id, 0, units, Outcome::Refused);
        }
        match self.random.random_range(0..4) {
            // Turned away or without an answer, with a hold or without.
            0 => {
                let outcome = [Outcome::Unknown, Outcome::Error][self.random.random_range(0..2)];
                self.told(user_id, 0, units, outcome);
                if self.random.random() {
                    self.free -= units;
                    self.holds.push((order_id, user_id, units));
                }
            }
            _ => {
                self.free -= units;
                self.told(user_id, order_id, units, Outcome::Accepted);
                self.row(order_id, user_id, units, 0);
            }
        }
    }

    /// A buyer with an open hold asks again and is told its order.
    fn retry(&mut self) {
        if let Some((order_id, user_id, units)) = self.holds.pop() {
            self.told(user_id, order_id, units, Outcome::Accepted);
            self.row(order_id, user_id, units, 0);
        }
    }

    fn void(&mut self) {
        if let Some((order_id, user_id, units)) = self.holds.pop() {
            self.row(order_id, user_id, units, 4);
            self.free += units;
        }
    }

    /// Opens the next epoch, perhaps with another total. What is on its way back is in it.
    fn reopen(&mut self) {
        self.epoch += 1;
        self.free += self.holds.drain(..).map(|(_, _, units)| units).sum::<i64>();
        while self.releases.iter().any(|one| one.released_at_ms.is_none()) {
            self.release();
        }
        let delta: i64 = self.random.random_range(-3..4);
        let applied = delta.max(-self.free);
        if delta != 0 {
            self.changes.push(StockChange {
                delta,
                wanted_total: self.total + delta,
                applied_total: Some(self.total + applied),
            });
        }
        self.free += applied;
        self.total += applied;
    }

    fn cancel(&mut self) {
        let live: Vec<usize> = (0..self.rows.len())
            .filter(|at| self.rows[*at].status == 0)
            .collect();
        if live.is_empty() {
            return;
        }
        let row = &mut self.rows[live[self.random.random_range(0..live.len())]];
        (row.status, row.live, row.updated_at_ms) = (status::CANCELLED, None, self.now_ms);
        self.releases.push(Release {
            order_id: row.order_id,
            user_id: row.user_id,
            product_id: PRODUCT,
            quantity: row.quantity,
            epoch: self.epoch,
            released_at_ms: None,
        });
    }

    fn release(&mut self) {
        let mut left = self.releases.iter_mut();
        if let Some(release) = left.find(|one| one.released_at_ms.is_none()) {
            release.released_at_ms = Some(self.now_ms);
            self.free += release.quantity;
        }
    }

    fn told(&mut self, user_id: i64, order_id: i64, units: i64, outcome: Outcome) {
        let at_us = self.now_ms * 1_000;
        let refused = outcome == Outcome::Refused;
        self.log.push(Record {
            operation: Operation::Buy,
            user_id,
            product_id: PRODUCT,
            asked_order_id: 0,
            quantity: units as u32,
            outcome,
            refusal: refused.then_some(Refusal::SoldOut),
            order_id,
            due_at_unix_us: at_us,
            sent_at_unix_us: Some(at_us),
            ended_at_unix_us: at_us,
        });
    }

    fn row(&mut self, order_id: i64, user_id: i64, quantity: i64, status: i64) {
        self.rows.push(Order {
            order_id,
            user_id,
            product_id: PRODUCT,
            quantity,
            total_price_cents: 0,
            allocation_id: self.epoch,
            status,
            live: (status == 0).then_some(1),
            expired: 0,
            created_at_ms: self.now_ms,
            updated_at_ms: self.now_ms,
        });
    }

    fn judge(self) -> AuditCheck {
        let expected = ExpectedSale {
            product_id: PRODUCT,
            total: self.set_up,
            price_cents: 0,
            time_to_pay_ms: None,
        };
        let allocation = |epoch| Allocation {
            id: epoch,
            epoch,
            granted: 0,
            sold: 0,
            open: true,
        };
        let sale = Sale {
            expected,
            total: self.total,
            wanted_total: None,
            allocations: (1..=self.epoch).map(allocation).collect(),
            changes: self.changes,
        };
        let sales = BTreeMap::from([(PRODUCT, sale)]);
        let outcomes = OutcomeIndex::index(self.log).expect("few");
        let mut tally = Tally::new(&outcomes, &sales, self.releases);
        self.rows.iter().for_each(|row| tally.order(row));
        sold_out(&outcomes, &sales, &tally)
    }
}

#[test]
fn an_honest_sale_passes_whatever_happens_around_it() {
    let mut refused = 0;
    for seed in 0..HISTORIES {
        let mut sale = Simulation::new(seed);
        sale.run();
        sale.come_to_rest();
        refused += sale.log.iter().filter(|one| one.refusal.is_some()).count();
        let check = sale.judge();
        assert!(check.passed, "seed {seed}: {}", check.actual);
    }
    assert!(refused as u64 > HISTORIES, "{refused} refusals in all");
}

#[test]
fn a_lie_after_everything_came_back_is_always_found() {
    let mut lies = 0;
    for seed in 0..HISTORIES {
        let mut sale = Simulation::new(seed);
        sale.run();
        sale.come_to_rest();
        if sale.free == 0 {
            continue;
        }
        sale.now_ms += RELEASE_GRACE_MS + 1_000;
        // An order of the newest epoch says that it was open.
        let user_id = sale.next_id();
        sale.free -= 1;
        sale.told(user_id, user_id, 1, Outcome::Accepted);
        sale.row(user_id, user_id, 1, 0);
        if sale.free == 0 {
            continue;
        }
        sale.now_ms += 1_000;
        sale.told(user_id + 1, 0, sale.free, Outcome::Refused);
        lies += 1;
        let check = sale.judge();
        assert!(!check.passed, "seed {seed}: {}", check.actual);
    }
    assert!(lies > HISTORIES / 10, "{lies} lies in all");
}
