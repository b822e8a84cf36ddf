//! Every interleaving of the stock's lock-free part with refill and hand-back, searched by loom.

use super::{Elsewhere, Look, Number, Stock};
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::time::Instant;

impl Number for AtomicU64 {
    fn load(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    fn add(&self, units: u64) {
        self.fetch_add(units, Ordering::AcqRel);
    }

    fn replace(&self, from: u64, to: u64) -> Result<(), u64> {
        self.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
    }
}

/// Most times that a thread is interrupted where it could go on; more find nothing new here and
/// take minutes.
const PREEMPTIONS_MAX: usize = 3;

fn search(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(model);
}

/// What the database has: units in the pool, and of the lease those granted and those it may have
/// idle.
#[derive(Debug)]
struct Rows {
    pool: u64,
    granted: u64,
    idle: u64,
}

#[derive(Debug)]
struct Lease {
    stock: Stock<AtomicU64>,
    /// The lock stands for "one transfer at a time", and for the transaction within it.
    rows: Mutex<Rows>,
}

impl Lease {
    fn new(pool: u64, here: u64) -> Arc<Self> {
        let stock = Stock(AtomicU64::new(here));
        Arc::new(Self {
            stock,
            rows: Mutex::new(Rows {
                pool,
                granted: here,
                idle: here,
            }),
        })
    }

    fn refill(&self, units: u64) {
        let mut rows = self.rows.lock().unwrap();
        let taken = units.min(rows.pool);
        rows.pool -= taken;
        rows.granted += taken;
        rows.idle = self.stock.units() + taken;
        self.stock.put(taken);
    }

    fn give(&self, units: u64) {
        let mut rows = self.rows.lock().unwrap();
        let given = self.stock.take_up_to(units);
        rows.granted -= given;
        rows.idle = self.stock.units();
        rows.pool += given;
    }

    /// What another process may see at any moment: never less than memory has.
    fn look(&self) {
        let rows = self.rows.lock().unwrap();
        let here = self.stock.units();
        assert!(
            here <= rows.idle,
            "{here} units in memory, but only {} counted as idle",
            rows.idle
        );
        assert!(
            here <= rows.granted,
            "{here} units in memory, but only {} granted",
            rows.granted
        );
    }
}

fn total(lease: &Lease) -> u64 {
    let rows = lease.rows.lock().unwrap();
    assert!(lease.stock.units() <= rows.granted);
    rows.pool + lease.stock.units()
}

#[test]
fn buyers_refill_and_hand_back_at_once_lose_and_double_nothing() {
    search(|| {
        let lease = Lease::new(2, 2);
        let buyer = {
            let lease = lease.clone();
            thread::spawn(move || {
                [2, 1].map(|units| if lease.stock.take(units) { units } else { 0 })
            })
        };
        let giver = {
            let lease = lease.clone();
            thread::spawn(move || {
                lease.give(1);
                lease.look();
            })
        };
        lease.refill(2);
        lease.look();
        giver.join().unwrap();
        let sold: u64 = buyer.join().unwrap().iter().sum();
        assert_eq!(sold + total(&lease), 4);
        assert_eq!(
            lease.rows.lock().unwrap().granted - sold,
            lease.stock.units(),
            "granted − sold is what is left"
        );
    });
}

#[test]
fn the_last_units_are_taken_once() {
    search(|| {
        let lease = Lease::new(0, 3);
        let buyers = [2, 2].map(|units| {
            let lease = lease.clone();
            thread::spawn(move || if lease.stock.take(units) { units } else { 0 })
        });
        let here = lease.stock.take_up_to(2);
        let sold: u64 = buyers.map(|buyer| buyer.join().unwrap()).iter().sum();
        assert_eq!(sold + here + lease.stock.units(), 3);
    });
}

/// Two units are here and none in the pool. Another process gives one back, and after that a buyer
/// takes one here, so there are never fewer than two: a third request, which asks for two, must not
/// hear that they are gone. `here_at_most` says when memory is read for the look.
fn two_of_two_or_three_are_never_too_much(here_at_most: fn(&Lease, u64) -> u64) {
    search(move || {
        let lease = Lease::new(0, 2);
        let others = {
            let lease = lease.clone();
            thread::spawn(move || {
                lease.rows.lock().unwrap().pool += 1;
                // Loom overlooks an order of the loads if the thread that writes has loaded just
                // before, as `take` does.
                lease.stock.0.fetch_sub(1, Ordering::AcqRel);
            })
        };
        let before = lease.stock.units();
        let elsewhere = Elsewhere {
            pooled: lease.rows.lock().unwrap().pool,
            ..Elsewhere::default()
        };
        let look = Look {
            begun: Instant::now(),
            here_at_most: here_at_most(&lease, before),
            elsewhere,
        };
        assert!(!look.is_too_much(2), "sold out with two left: {look:?}");
        others.join().unwrap();
    });
}

#[test]
fn sold_out_is_said_only_of_a_moment_at_which_it_was_so() {
    two_of_two_or_three_are_never_too_much(|_, before| before);
}

#[test]
fn a_look_at_memory_after_the_look_at_the_pool_is_found() {
    let is_found = std::panic::catch_unwind(|| {
        two_of_two_or_three_are_never_too_much(|lease, _| lease.stock.units());
    });
    assert!(
        is_found.is_err(),
        "a unit that came back while another was sold was not noticed"
    );
}

#[test]
fn a_refill_of_memory_first_is_found() {
    let is_found = std::panic::catch_unwind(|| {
        search(|| {
            let lease = Lease::new(2, 0);
            let refill = {
                let lease = lease.clone();
                thread::spawn(move || {
                    lease.stock.put(2);
                    lease.refill(0);
                    let mut rows = lease.rows.lock().unwrap();
                    rows.pool -= 2;
                    rows.granted += 2;
                    rows.idle += 2;
                })
            };
            lease.look();
            refill.join().unwrap();
        });
    });
    assert!(
        is_found.is_err(),
        "units in memory that nobody granted were not noticed"
    );
}

#[test]
fn a_decrement_without_a_check_in_one_step_is_found() {
    let is_found = std::panic::catch_unwind(|| {
        search(|| {
            let lease = Lease::new(0, 1);
            let buyers = [(), ()].map(|()| {
                let lease = lease.clone();
                thread::spawn(move || {
                    let is_enough = lease.stock.units() >= 1;
                    if is_enough {
                        lease.stock.0.fetch_sub(1, Ordering::AcqRel);
                    }
                    is_enough
                })
            });
            let sold = buyers
                .map(|buyer| buyer.join().unwrap())
                .iter()
                .filter(|is_sold| **is_sold)
                .count();
            assert!(sold <= 1);
        });
    });
    assert!(
        is_found.is_err(),
        "two buyers of the last unit were not noticed"
    );
}
