//! Random histories of a tiny sale: an honest one always passes, and one that ends with a lie never.

use super::super::super::{
    ExpectedSale,
    database::{Allocation, Order},
};
use super::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use reports::outcome_log::Operation;

const PRODUCT: i64 = 1;
const START_MS: i64 = 1_700_000_000_000;
const HISTORIES: u64 = 500;
const STEPS: usize = 60;

/// An engine that is right about what is free, with everything that can happen around it.
struct Simulation {
    random: SmallRng,
    now_ms: i64,
    free: i64,
    epoch: i64,
    log: Vec<Record>,
    rows: Vec<Order>,
    released_at_ms: HashMap<i64, i64>,
    /// Granted, and without a row: order, user, units.
    holds: Vec<(i64, i64, i64)>,
    total: i64,
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
            released_at_ms: HashMap::new(),
            holds: Vec::new(),
            total,
        }
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            self.now_ms += self.random.random_range(0..2_000);
            match self.random.random_range(0..10) {
                0 => self.void(),
                1 => self.reopen(),
                2 => self.cancel(),
                _ => self.buy(),
            }
        }
    }

    fn buy(&mut self) {
        let user_id = self.log.len() as i64 + 1;
        let units = self.random.random_range(1..4);
        if units > self.free {
            return self.told(user_id, units, Outcome::Refused);
        }
        match self.random.random_range(0..4) {
            // Turned away or without an answer, with a hold or without.
            0 => {
                let outcome = [Outcome::Unknown, Outcome::Error][self.random.random_range(0..2)];
                self.told(user_id, units, outcome);
                if self.random.random() {
                    self.free -= units;
                    self.holds.push((user_id, user_id, units));
                }
            }
            _ => {
                self.free -= units;
                self.told(user_id, units, Outcome::Accepted);
                self.row(user_id, user_id, units, 0);
            }
        }
    }

    fn void(&mut self) {
        if let Some((order_id, user_id, units)) = self.holds.pop() {
            self.row(order_id, user_id, units, 4);
            self.free += units;
        }
    }

    fn reopen(&mut self) {
        self.epoch += 1;
        self.free += self.holds.drain(..).map(|(_, _, units)| units).sum::<i64>();
    }

    fn cancel(&mut self) {
        let live: Vec<usize> = (0..self.rows.len())
            .filter(|at| self.rows[*at].status == 0)
            .collect();
        if live.is_empty() {
            return;
        }
        let row = &mut self.rows[live[self.random.random_range(0..live.len())]];
        (row.status, row.live, row.updated_at_ms) = (2, None, self.now_ms);
        self.free += row.quantity;
        self.released_at_ms.insert(row.order_id, self.now_ms);
    }

    fn told(&mut self, user_id: i64, units: i64, outcome: Outcome) {
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
            order_id: if outcome == Outcome::Accepted {
                user_id
            } else {
                0
            },
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
            created_at_ms: self.now_ms,
            updated_at_ms: self.now_ms,
        });
    }

    fn judge(self) -> AuditCheck {
        let expected = ExpectedSale {
            product_id: PRODUCT,
            total: self.total,
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
            allocations: (1..=self.epoch).map(allocation).collect(),
        };
        let sales = BTreeMap::from([(PRODUCT, sale)]);
        let outcomes = OutcomeIndex::index(self.log).expect("few");
        let mut tally = Tally::new(&outcomes, &sales, self.released_at_ms);
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
        // Nothing is left open when an audit is made.
        while !sale.holds.is_empty() {
            sale.void();
        }
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
        while !sale.holds.is_empty() {
            sale.void();
        }
        if sale.free == 0 {
            continue;
        }
        sale.now_ms += RELEASE_GRACE_MS + 1_000;
        // An order of the newest epoch says that it was open.
        let user_id = sale.log.len() as i64 + 1;
        sale.free -= 1;
        sale.told(user_id, 1, Outcome::Accepted);
        sale.row(user_id, user_id, 1, 0);
        if sale.free == 0 {
            continue;
        }
        sale.now_ms += 1_000;
        sale.told(user_id + 1, sale.free, Outcome::Refused);
        lies += 1;
        let check = sale.judge();
        assert!(!check.passed, "seed {seed}: {}", check.actual);
    }
    assert!(lies > HISTORIES / 10, "{lies} lies in all");
}
