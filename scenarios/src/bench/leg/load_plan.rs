//! The driver's plan of one phase: what the scenario says, with rates resolved and data enough.

use std::time::Duration;

use anyhow::anyhow;
use loadgen::data::{DataSpec, Popularity};
use loadgen::plan::{Arrival as DriverArrival, Data, End as DriverEnd, Http, LoadPlan, Shape};
use reports::result::DriverKind;

use super::phase::PhaseRun;
use crate::bench::plan::LegKind;
use crate::bench::roles::secret_file;
use crate::scenario::{Arrival, End, OpenShape, Rate};

/// One in this many accepted orders is followed until its row is there.
const SAMPLE_EVERY: u64 = 100;
/// Issuer and audience of tokens, as the system has them by default.
const TOKENS_OF: &str = "seckill";
/// Twice the users that a probe is expected to need.
const PROBE_RESERVE: f64 = 2.0;

/// The driver's plan, with every rate resolved and data enough.
pub(super) fn load_plan(run: &PhaseRun<'_>) -> anyhow::Result<LoadPlan> {
    let scenario = run.work.context.scenario;
    let (plan, load) = (run.plan(), &scenario.load);
    let measured = |name: &str| run.throughputs.get(name).copied();
    let probed = match run.work.plan.kind {
        LegKind::Probe { rate_per_s, .. } if run.is_last => Some(rate_per_s),
        _ => None,
    };
    let rate = |rate: &Rate| match probed {
        Some(rate_per_s) => Ok(rate_per_s),
        None => rate
            .resolve(measured)
            .map_err(|name| anyhow!("the throughput of \"{name}\" was not measured")),
    };
    let arrival = match &plan.arrival {
        Arrival::Closed { concurrency } => DriverArrival::Closed {
            workers: *concurrency,
            think: Duration::ZERO,
        },
        Arrival::Open { shape, backlog_max } => DriverArrival::Open {
            shape: match shape {
                OpenShape::Constant { rate: of } => Shape::Constant {
                    rate_per_s: rate(of)?,
                },
                OpenShape::Poisson { rate: of } => Shape::Poisson {
                    rate_per_s: rate(of)?,
                },
                OpenShape::Step { rates } => Shape::Step {
                    rates_per_s: rates.iter().map(rate).collect::<anyhow::Result<_>>()?,
                },
                OpenShape::Line { from, to } => Shape::Line {
                    from_per_s: rate(from)?,
                    to_per_s: rate(to)?,
                },
                OpenShape::Spike { buyers } => Shape::Spike { buyers: *buyers },
            },
            backlog_max: *backlog_max,
            in_flight_max: None,
        },
    };
    let is_timed_open = plan.end.time().is_some() && plan.arrival.is_open();
    let users = match (probed, plan.end.time()) {
        (Some(rate_per_s), Some(time)) => {
            (rate_per_s * time.as_secs_f64() * PROBE_RESERVE).ceil() as u64
        }
        _ => scenario.users_of(run.index, measured),
    };
    Ok(LoadPlan {
        address: run.address.to_string(),
        name: plan.name.clone(),
        purpose: plan.purpose.clone(),
        arrival,
        end: match plan.end {
            End::Requests(requests) => DriverEnd::Count(requests),
            End::Time(time) => DriverEnd::Time(time),
        },
        timeout: load.timeout,
        connections: load.connections,
        threads: load.driver_threads(),
        data: Data::Generated(DataSpec {
            seed: load.seed,
            users: users.max(u64::from(is_timed_open)),
            products: scenario.products_of(run.index),
            popularity: match load.zipf_exponent {
                Some(exponent) => Popularity::Zipf(exponent),
                None => Popularity::Uniform,
            },
            quantity_max: i32::try_from(load.max_quantity)?,
        }),
        start_index: 0,
        may_wrap: load.may_wrap,
        sample_every: SAMPLE_EVERY,
        keep_outcomes: true,
        report: true,
        seed: load.seed,
        http: (run.work.plan.subject.driver == DriverKind::HttpFast).then(|| Http {
            secret_file: secret_file(run.work.context.stack),
            issuer: TOKENS_OF.to_owned(),
            audience: TOKENS_OF.to_owned(),
        }),
        orders: run.orders.and_then(|address| {
            let after = load.after.as_ref()?;
            Some(after.orders(address.to_string(), load.connections))
        }),
    })
}
