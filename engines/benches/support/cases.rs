//! What is measured of every engine, and one sample of it: open an epoch, let every thread ask at
//! once, check what was answered. Only the asking is on the clock.

use super::stand::{PUBLISHER, Stand};
use engines::{Finish, FinishKind, Finished, OrderId, Reserve, StockEngine, Term, UserId, Verdict};
use std::fmt;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Barrier;

/// Calls that one thread makes per iteration; under way together where a server answers them.
pub const CALLS: usize = 16;
/// Orders of one epoch, so that neither the requests nor the engine's state grow with the number of
/// iterations. Their units are fewer than a block.
const ORDERS_PER_EPOCH_MAX: usize = 400_000;
const FAR_FUTURE_MS: i64 = 4_102_444_800_000;
/// Of the units asked for when nearly sold out, one in so many is left.
const LEFT_ONE_IN: u64 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Everybody gets one or two units.
    Reserve,
    /// Everybody asks again and is told what they have.
    Again,
    /// What everybody got is settled.
    Settle,
    /// Quantities from 1 to 3 until nothing is left, and on.
    NearlySoldOut,
    /// Everybody is refused.
    SoldOut,
}

#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub kind: Kind,
    pub batch: usize,
    pub threads: usize,
}

pub const CASES: [Case; 10] = [
    Case {
        kind: Kind::Reserve,
        batch: 1,
        threads: 1,
    },
    Case {
        kind: Kind::Reserve,
        batch: 1,
        threads: 2,
    },
    Case {
        kind: Kind::Reserve,
        batch: 16,
        threads: 1,
    },
    Case {
        kind: Kind::Reserve,
        batch: 16,
        threads: 2,
    },
    Case {
        kind: Kind::Reserve,
        batch: 256,
        threads: 1,
    },
    Case {
        kind: Kind::Reserve,
        batch: 256,
        threads: 2,
    },
    Case {
        kind: Kind::Again,
        batch: 256,
        threads: 1,
    },
    Case {
        kind: Kind::Settle,
        batch: 256,
        threads: 1,
    },
    Case {
        kind: Kind::NearlySoldOut,
        batch: 16,
        threads: 2,
    },
    Case {
        kind: Kind::SoldOut,
        batch: 16,
        threads: 2,
    },
];

impl Case {
    /// Requests per iteration.
    pub fn elements(&self) -> usize {
        self.batch * self.threads * CALLS
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Reserve => "reserve",
            Kind::Again => "again",
            Kind::Settle => "settle",
            Kind::NearlySoldOut => "nearly sold out",
            Kind::SoldOut => "sold out",
        };
        write!(f, "{kind}, batch {}, threads {}", self.batch, self.threads)
    }
}

/// What a thread was answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub granted: u64,
    pub granted_units: u64,
    pub duplicates: u64,
    pub refused: u64,
    pub settled: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.granted += other.granted;
        self.granted_units += other.granted_units;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
        self.settled += other.settled;
    }
}

/// The time that `iterations` of `case` take.
pub fn run(stand: &mut Stand, case: Case, iterations: u64) -> Duration {
    let iterations_per_epoch = (ORDERS_PER_EPOCH_MAX / case.elements()) as u64;
    let (mut elapsed, mut left) = (Duration::ZERO, iterations);
    while left > 0 {
        let now = left.min(iterations_per_epoch);
        elapsed += sample(stand, case, now as usize);
        left -= now;
    }
    elapsed
}

/// One epoch.
fn sample(stand: &mut Stand, case: Case, iterations: usize) -> Duration {
    let requests = (iterations * case.elements()) as i64;
    let orders: Vec<Reserve> = (0..requests).map(|id| reserve(id, case.kind)).collect();
    let asked_units: u64 = orders.iter().map(|order| u64::from(order.quantity)).sum();
    let granted = match case.kind {
        Kind::Reserve | Kind::Again | Kind::Settle => asked_units,
        Kind::NearlySoldOut => asked_units / LEFT_ONE_IN,
        Kind::SoldOut => 1,
    };
    let term = stand.open(granted, Vec::new());
    let mut shares: Vec<Arc<[Reserve]>> = orders
        .chunks(iterations * case.batch * CALLS)
        .map(Arc::from)
        .collect();
    match case.kind {
        Kind::Reserve | Kind::NearlySoldOut => {}
        Kind::Again | Kind::Settle => {
            ask(stand, &shares, (term, Kind::Reserve, case.batch));
        }
        Kind::SoldOut => {
            let last = [Reserve {
                user: UserId(i64::MAX - 1),
                order: OrderId(i64::MAX - 1),
                quantity: 1,
                ..orders[0]
            }];
            ask(stand, &[Arc::from(last)], (term, Kind::Reserve, 1));
        }
    }
    drop(orders);
    let (elapsed, tally) = ask(stand, &shares, (term, case.kind, case.batch));
    shares.clear();
    check(stand, case, term, requests as u64, &tally);
    elapsed
}

fn reserve(id: i64, kind: Kind) -> Reserve {
    let quantity = match kind {
        Kind::NearlySoldOut | Kind::SoldOut => 1 + (id % 3) as u32,
        Kind::Reserve | Kind::Again | Kind::Settle => 1 + (id % 2) as u32,
    };
    let (user, order) = (UserId(id + 1), OrderId((id + 1) << 20));
    Reserve {
        user,
        order,
        quantity,
        expires_at_ms: FAR_FUTURE_MS,
        incarnation: PUBLISHER,
        may_sell: true,
    }
}

/// Every thread asks for its share; from the first call to the last answer.
fn ask(
    stand: &Stand,
    shares: &[Arc<[Reserve]>],
    (term, kind, batch): (Term, Kind, usize),
) -> (Duration, Tally) {
    let calls_at_once = if stand.waits_for_a_server() { CALLS } else { 1 };
    let start = Arc::new(Barrier::new(shares.len()));
    let mut running = Vec::new();
    for (client, share) in stand.clients.iter().zip(shares) {
        let (start, share) = (start.clone(), share.clone());
        running.push(client.begin(move |engine| async move {
            start.wait().await;
            let began = Instant::now();
            let chain = async |first| {
                let mut tally = Tally::default();
                for items in share.chunks(batch).skip(first).step_by(calls_at_once) {
                    tally += one_call(&*engine, &term, kind, items).await;
                }
                tally
            };
            let mut tally = Tally::default();
            if calls_at_once == 1 {
                tally += chain(0).await;
            } else {
                let chains = futures_util::future::join_all((0..calls_at_once).map(chain)).await;
                chains.into_iter().for_each(|of_chain| tally += of_chain);
            }
            (began, Instant::now(), tally)
        }));
    }
    let mut tally = Tally::default();
    let answers: Vec<_> = running
        .into_iter()
        .map(super::client::Running::join)
        .collect();
    answers
        .iter()
        .for_each(|(_, _, of_thread)| tally += *of_thread);
    let began = answers
        .iter()
        .map(|(began, ..)| *began)
        .min()
        .expect("a thread");
    let ended = answers
        .iter()
        .map(|(_, ended, _)| *ended)
        .max()
        .expect("a thread");
    (ended - began, tally)
}

async fn one_call(engine: &dyn StockEngine, term: &Term, kind: Kind, items: &[Reserve]) -> Tally {
    let mut tally = Tally::default();
    if kind == Kind::Settle {
        let items: Vec<_> = items.iter().map(settle).collect();
        for finished in engine.finish(term, &items).await {
            let finished = finished.unwrap_or_else(|error| panic!("a settle: {error}"));
            tally.settled += u64::from(finished == Finished::Done);
        }
        return tally;
    }
    for (item, verdict) in items.iter().zip(engine.reserve(term, items).await) {
        match verdict.unwrap_or_else(|error| panic!("a reserve: {error}")) {
            Verdict::Granted { .. } => {
                tally.granted += 1;
                tally.granted_units += u64::from(item.quantity);
            }
            Verdict::Duplicate(_) => tally.duplicates += 1,
            // Units on their way to another slot or lease: for the measurement a refusal like the
            // other.
            Verdict::SoldOut { .. } | Verdict::Busy => tally.refused += 1,
            other => panic!("{other:?} is no answer to {item:?}"),
        }
    }
    tally
}

pub fn settle(order: &Reserve) -> Finish {
    Finish {
        user: order.user,
        order: order.order,
        kind: FinishKind::Settle,
    }
}

/// A bench that measures wrong answers measures nothing.
fn check(stand: &Stand, case: Case, term: Term, requests: u64, tally: &Tally) {
    let candidate = stand.candidate;
    let view = stand.clients[0].begin(move |engine| async move {
        let keeps_stock = engine.info().guarantees.keeps_stock;
        let view = engine.stock(&term).await;
        (keeps_stock, view)
    });
    let (keeps_stock, view) = view.join();
    if !keeps_stock {
        return;
    }
    let view = view.unwrap_or_else(|error| panic!("{candidate}: {error}"));
    let what = || format!("{candidate}: {case}: {requests} requests, {tally:?}, {view:?}");
    match case.kind {
        Kind::Reserve => assert!(
            tally.granted == requests && view.remaining == 0,
            "{}",
            what()
        ),
        Kind::Again => assert!(tally.duplicates == requests, "{}", what()),
        Kind::Settle => assert!(
            tally.settled == requests && view.open_units == 0,
            "{}",
            what()
        ),
        Kind::NearlySoldOut => {
            let asked = (0..requests as i64)
                .map(|id| u64::from(reserve(id, case.kind).quantity))
                .sum::<u64>();
            let is_exact =
                view.remaining.unsigned_abs() + tally.granted_units == asked / LEFT_ONE_IN;
            assert!(
                is_exact && tally.granted > 0 && tally.refused > 0,
                "{}",
                what()
            );
        }
        Kind::SoldOut => assert!(
            tally.refused == requests && view.remaining == 0,
            "{}",
            what()
        ),
    }
}
