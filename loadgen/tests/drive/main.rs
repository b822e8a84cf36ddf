//! The closed-loop driver against a real server on loopback: what it sends on which connection, and
//! how it counts every way in which a request can end.

mod after_yes;
mod after_yes_ends;
mod after_yes_figures;
mod bad_targets;
mod classes;
mod clocks;
mod closed_loop;
mod command;
mod farewell;
mod http;
mod interruptions;
mod open_loop;
mod over_damaged_http;
mod over_hyper;
mod protocol;
mod resends;
mod server;

use loadgen::data::{Element, Encoded};
use loadgen::events::Event;
use loadgen::grpc::drive;
use loadgen::plan::LoadPlan;
use loadgen::run::{Measured, Stop};
use reports::outcome_log::Record;
use reports::result::{Latencies, LatencyClock, Phase};
use server::Server;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest that any test waits for a condition.
const PATIENCE: Duration = Duration::from_secs(20);

/// Users 1 to `count` in order, product 7, quantities 1 and 2 in turn.
fn data(count: i64) -> Arc<Encoded> {
    let element = |user_id| Element {
        user_id,
        product_id: 7,
        quantity: (user_id % 2) as i32 + 1,
    };
    Arc::new(Encoded::new((1..=count).map(element).collect()))
}

fn plan(server: &Server, requests: u64, concurrency: u32, connections: u32) -> LoadPlan {
    LoadPlan {
        connections,
        keep_outcomes: true,
        ..LoadPlan::closed(server.address.to_string(), concurrency, requests)
    }
}

fn measure(plan: &LoadPlan, data: Arc<Encoded>) -> Measured {
    drive(plan, data, &Stop::default(), &mut |_: Event| {}).expect("the run takes place")
}

fn records(measured: &Measured) -> Vec<Record> {
    let mut records = Vec::new();
    let kept: Result<(), Infallible> = measured.outcomes(|record| {
        records.push(*record);
        Ok(())
    });
    let Ok(()) = kept;
    records
}

fn status(phase: &Phase, label: &str) -> u64 {
    phase
        .statuses
        .iter()
        .filter(|(known, _)| known.starts_with(label))
        .map(|(_, count)| count)
        .sum()
}

/// Latencies of everything that ended, by one clock.
fn latencies(measured: &Measured, clock: LatencyClock) -> Latencies {
    measured.phase.latencies(&clock, None)
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
