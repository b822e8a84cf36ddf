//! Load from the lab's own driver, in a thread beside the test, and single purchases with the same
//! driver.

use crate::wait::until_at_least;
use loadgen::data::{DataSpec, Element, Encoded, generate};
use loadgen::events::Event;
use loadgen::grpc::drive;
use loadgen::plan::{Arrival, LoadPlan, Orders};
use loadgen::run::{Measured, Stop};
use reports::outcome_log::{Outcome, Record};
use reports::result::Phase;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the buyers of one world were told, by all drivers.
pub type Told = Arc<Mutex<Vec<Record>>>;

/// Buyers wait this long for a reply; a role is restarted well within that.
const REPLY_LIMIT: Duration = Duration::from_secs(4);
/// Requests of a load that is stopped by its test.
const ENDLESS: u64 = 10_000_000;

/// A load under way.
#[derive(Debug)]
pub struct Load {
    stop: Stop,
    accepted: Arc<AtomicU64>,
    thread: JoinHandle<Measured>,
    told: Told,
}

/// The buyers of a load: users 1 to `users` in turn, again and again, each of whom asks for 1 or 2
/// units.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    pub seed: u64,
    pub users: u64,
    pub concurrency: u32,
}

impl Load {
    /// Runs until it is told to stop.
    pub fn start(address: SocketAddr, product_id: i64, crowd: Crowd, told: Told) -> Self {
        let closed = LoadPlan::closed(address.to_string(), crowd.concurrency, ENDLESS);
        Self::drive(closed, product_id, crowd, told)
    }

    /// The same with buyers who wait for `think` between two requests, and do with their orders what
    /// `orders` says.
    pub fn churning(
        address: SocketAddr,
        product_id: i64,
        (crowd, think): (Crowd, Duration),
        orders: Orders,
        told: Told,
    ) -> Self {
        let workers = crowd.concurrency;
        let plan = LoadPlan {
            arrival: Arrival::Closed { workers, think },
            orders: Some(orders),
            seed: crowd.seed,
            ..LoadPlan::closed(address.to_string(), workers, ENDLESS)
        };
        Self::drive(plan, product_id, crowd, told)
    }

    fn drive(plan: LoadPlan, product_id: i64, crowd: Crowd, told: Told) -> Self {
        let elements = generate(&DataSpec::one_product(
            crowd.seed,
            crowd.users,
            product_id,
            2,
        ));
        let data = Arc::new(Encoded::new(elements.expect("a valid wish")));
        let plan = LoadPlan {
            connections: 4.min(crowd.concurrency),
            timeout: REPLY_LIMIT,
            keep_outcomes: true,
            report: true,
            ..plan
        };
        let (stop, accepted) = (Stop::default(), Arc::<AtomicU64>::default());
        let (stopped, counted) = (stop.clone(), accepted.clone());
        let thread = std::thread::spawn(move || {
            let mut observe = |event| {
                if let Event::Progress(progress) = event {
                    counted.store(progress.counts.accepted, Ordering::Relaxed);
                }
            };
            drive(&plan, data, &stopped, &mut observe).expect("the service takes connections")
        });
        Self {
            stop,
            accepted,
            thread,
            told,
        }
    }

    /// Orders accepted so far, as of a moment ago.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Waits until this many more orders are accepted.
    pub async fn sells(&self, more: u64) {
        let number = |count: u64| i64::try_from(count).expect("few orders");
        let wanted = number(self.accepted() + more);
        let accepted = async || number(self.accepted());
        until_at_least("orders are accepted", wanted, accepted).await;
    }

    /// Stops sending, waits for the open replies and keeps what was told for the audit.
    pub async fn finish(self) -> Phase {
        self.stop.stop();
        let joining =
            tokio::task::spawn_blocking(move || self.thread.join().expect("the driver ends"));
        keep(&joining.await.expect("joined"), &self.told)
    }
}

/// What one buyer was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Told yes, with this order.
    Yes(i64),
    /// Told that there will be no order, with the reason.
    No(String),
    /// Turned away for now, with the reason.
    Unavailable(String),
    /// The buyer does not know, with the reason.
    Unknown(String),
    /// No service could be reached, with the reason.
    Unreachable(String),
}

impl Answer {
    /// The order, where there has to be one.
    #[track_caller]
    pub fn order(&self) -> i64 {
        match self {
            Self::Yes(order) => *order,
            other => panic!("an order was expected, the answer is {other:?}"),
        }
    }
}

/// One purchase.
pub async fn buy(address: SocketAddr, element: Element, limit: Duration, told: Told) -> Answer {
    let plan = LoadPlan {
        timeout: limit,
        keep_outcomes: true,
        ..LoadPlan::closed(address.to_string(), 1, 1)
    };
    let driving = move || {
        drive(
            &plan,
            Arc::new(Encoded::new(vec![element])),
            &Stop::default(),
            &mut |_| {},
        )
    };
    let measured = match tokio::task::spawn_blocking(driving)
        .await
        .expect("the driver ends")
    {
        Ok(measured) => measured,
        Err(error) => return Answer::Unreachable(error.to_string()),
    };
    let (mut outcome, mut order) = (Outcome::Unknown, 0);
    let _ = measured.outcomes(|record| {
        (outcome, order) = (record.outcome, record.order_id);
        Ok::<_, ()>(())
    });
    let words = keep(&measured, &told)
        .statuses
        .into_iter()
        .next()
        .map(|(words, _)| words)
        .unwrap_or_default();
    match outcome {
        Outcome::Accepted | Outcome::Duplicate => Answer::Yes(order),
        Outcome::Refused => Answer::No(words),
        Outcome::Error => Answer::Unavailable(words),
        Outcome::Unknown => Answer::Unknown(words),
    }
}

fn keep(measured: &Measured, told: &Told) -> Phase {
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = measured.outcomes(|record| {
        told.push(*record);
        Ok::<_, ()>(())
    });
    measured.phase.clone()
}
