//! What a plan may be. Every refusal is one sentence that says what is allowed.

use super::{Arrival, Data, End, LoadPlan, Orders, Shape};
use std::time::Duration;

/// How often open requests are checked against their time-out, which may therefore take effect this
/// much late.
pub const TIMEOUT_RESOLUTION: Duration = Duration::from_millis(10);
/// The most workers and threads that a run may have: bounds on the driver's memory, sockets and
/// threads.
pub const CONCURRENCY_MAX: u32 = 100_000;
pub const THREADS_MAX: u32 = 64;
/// Longest time-out of a request.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// Most requests of an open loop, whose schedule is held in memory (8 bytes each).
pub const REQUESTS_MAX: u64 = 100_000_000;
/// Highest rate of an open loop, per second.
pub const RATE_MAX_PER_S: f64 = 1_000_000.0;
/// Most requests that may wait for a connection (32 bytes each).
pub const BACKLOG_MAX: u64 = 10_000_000;
/// Longest phase: a day.
pub const TIME_MAX: Duration = Duration::from_secs(86_400);
const TIME_MIN: Duration = Duration::from_millis(1);
const THINK_MAX: Duration = Duration::from_secs(60);
/// Longest time from a yes to what follows it; it lengthens a phase.
pub const DELAY_MAX: Duration = Duration::from_secs(60);
/// How much more than 1 a sum of shares may be that are not exact in binary.
const SHARES_TOLERANCE: f64 = 1e-9;

type Checked = Result<(), String>;

pub(super) fn plan(plan: &LoadPlan) -> Checked {
    end(&plan.end)?;
    match &plan.arrival {
        Arrival::Closed { workers, think } => closed(plan, *workers, *think)?,
        Arrival::Open {
            shape,
            backlog_max,
            in_flight_max,
        } => open(plan, shape, *backlog_max, *in_flight_max)?,
    }
    if !(1..=THREADS_MAX).contains(&plan.threads) {
        return Err(format!(
            "threads must be 1 to {THREADS_MAX}, got {}",
            plan.threads
        ));
    }
    if plan.timeout < TIMEOUT_RESOLUTION || plan.timeout > TIMEOUT_MAX {
        let (min, max) = (TIMEOUT_RESOLUTION.as_millis(), TIMEOUT_MAX.as_secs());
        return Err(format!(
            "timeout must be {min} ms to {max} s, got {:?}",
            plan.timeout
        ));
    }
    if plan.sample_every == 0 {
        return Err("sample-every must be at least 1, got 0".to_owned());
    }
    if let Some(after) = &plan.orders {
        orders(after)?;
    }
    match &plan.data {
        Data::Generated(spec) => crate::data::check(spec),
        Data::File(_) => Ok(()),
    }
}

fn orders(orders: &Orders) -> Checked {
    for (name, share) in [
        ("cancel", orders.cancel),
        ("pay", orders.pay),
        ("cancel_and_pay", orders.cancel_and_pay),
        ("again", orders.again),
        ("twice", orders.twice),
    ] {
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("the share {name} must be 0 to 1, got {share}"));
        }
    }
    let sum = orders.cancel + orders.pay + orders.cancel_and_pay;
    if sum > 1.0 + SHARES_TOLERANCE {
        return Err(format!(
            "cancel, pay and cancel_and_pay are shares of the same orders and must be 1 together at most, got {sum}"
        ));
    }
    let (min, max) = (orders.delay.min, orders.delay.max);
    if min > max || max > DELAY_MAX {
        return Err(format!(
            "the delay must be from a shorter to a longer time, 0 to {} s, got {min:?} to {max:?}",
            DELAY_MAX.as_secs()
        ));
    }
    connections(orders.connections, CONCURRENCY_MAX, "limit of the driver")
}

fn end(end: &End) -> Checked {
    match end {
        End::Count(0) => Err("requests must be at least 1, got 0".to_owned()),
        End::Time(time) if *time < TIME_MIN || *time > TIME_MAX => {
            Err(format!("the duration must be 1 ms to 24 h, got {time:?}"))
        }
        _ => Ok(()),
    }
}

fn connections(given: u32, max: u32, max_is: &str) -> Checked {
    if given == 0 {
        return Err("connections must be at least 1, got 0".to_owned());
    }
    if given > max {
        return Err(format!(
            "connections must be at most the {max_is} ({max}), got {given}"
        ));
    }
    Ok(())
}

fn closed(plan: &LoadPlan, workers: u32, think: Duration) -> Checked {
    if !(1..=CONCURRENCY_MAX).contains(&workers) {
        return Err(format!(
            "concurrency must be 1 to {CONCURRENCY_MAX}, got {workers}"
        ));
    }
    if think > THINK_MAX {
        return Err(format!(
            "the time to think must be at most {} s, got {think:?}",
            THINK_MAX.as_secs()
        ));
    }
    connections(plan.connections, workers, "concurrency")
}

fn open(plan: &LoadPlan, shape: &Shape, backlog_max: u64, in_flight_max: Option<u64>) -> Checked {
    rates(shape)?;
    if !(1..=BACKLOG_MAX).contains(&backlog_max) {
        return Err(format!(
            "the backlog must be 1 to {BACKLOG_MAX} requests, got {backlog_max}"
        ));
    }
    if in_flight_max == Some(0) {
        return Err("requests in flight must be at least 1, got 0".to_owned());
    }
    connections(plan.connections, CONCURRENCY_MAX, "limit of the driver")?;
    match (shape, plan.end) {
        (Shape::Spike { buyers }, End::Count(count)) if count == *buyers => {}
        (Shape::Spike { buyers }, _) => {
            return Err(format!(
                "a spike ends with its buyers: its end must be a count of {buyers}"
            ));
        }
        _ => {}
    }
    let requests = requests(shape, plan.end);
    if requests > REQUESTS_MAX as f64 {
        return Err(format!(
            "a schedule has at most {REQUESTS_MAX} requests, and this one would have {requests:.0}"
        ));
    }
    let length_s = requests / mean_per_s(shape).max(f64::MIN_POSITIVE);
    if !matches!(shape, Shape::Spike { .. }) && length_s > TIME_MAX.as_secs_f64() {
        return Err(format!(
            "at this rate the requests would take {length_s:.0} s, and 24 h are the most"
        ));
    }
    Ok(())
}

fn rates(shape: &Shape) -> Checked {
    let rates: &[f64] = match shape {
        Shape::Constant { rate_per_s } | Shape::Poisson { rate_per_s } => &[*rate_per_s],
        Shape::Step { rates_per_s } if rates_per_s.is_empty() => {
            return Err("a step needs at least one rate, as in 1000,2000,4000".to_owned());
        }
        Shape::Step { rates_per_s } => rates_per_s,
        Shape::Line {
            from_per_s,
            to_per_s,
        } => &[*from_per_s, *to_per_s],
        Shape::Spike { buyers } if !(1..=REQUESTS_MAX).contains(buyers) => {
            return Err(format!(
                "the buyers of a spike must be 1 to {REQUESTS_MAX}, got {buyers}"
            ));
        }
        Shape::Spike { .. } => return Ok(()),
    };
    let wrong = |rate: &&f64| !(0.001..=RATE_MAX_PER_S).contains(*rate);
    match rates.iter().find(wrong) {
        Some(rate) => Err(format!(
            "a rate must be 0.001 to {RATE_MAX_PER_S} per second, got {rate}"
        )),
        None => Ok(()),
    }
}

/// Mean rate of a shape; of a spike, which has none, 0.
pub(crate) fn mean_per_s(shape: &Shape) -> f64 {
    match shape {
        Shape::Constant { rate_per_s } | Shape::Poisson { rate_per_s } => *rate_per_s,
        Shape::Step { rates_per_s } => rates_per_s.iter().sum::<f64>() / rates_per_s.len() as f64,
        Shape::Line {
            from_per_s,
            to_per_s,
        } => (from_per_s + to_per_s) / 2.0,
        Shape::Spike { .. } => 0.0,
    }
}

/// Requests of a schedule, as many as are expected where it is random.
fn requests(shape: &Shape, end: End) -> f64 {
    match (shape, end) {
        (Shape::Spike { buyers }, _) => *buyers as f64,
        (_, End::Count(count)) => count as f64,
        (shape, End::Time(time)) => mean_per_s(shape) * time.as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(plan: &LoadPlan) -> String {
        let fault = plan.check().expect_err("refused");
        assert!(fault.is_usage());
        fault.to_string()
    }

    fn open(shape: Shape) -> LoadPlan {
        LoadPlan::open("h:1", shape, End::Time(Duration::from_secs(10)))
    }

    #[test]
    fn every_refusal_says_what_is_allowed() {
        let closed = || LoadPlan::closed("h:1", 5, 10);
        for (plan, part) in [
            (
                LoadPlan {
                    connections: 6,
                    ..closed()
                },
                "connections must be at most the concurrency (5), got 6",
            ),
            (
                LoadPlan {
                    end: End::Time(Duration::ZERO),
                    ..closed()
                },
                "the duration must be 1 ms to 24 h, got 0ns",
            ),
            (
                open(Shape::Constant { rate_per_s: 2e6 }),
                "a rate must be 0.001 to 1000000 per second, got 2000000",
            ),
            (
                open(Shape::Poisson {
                    rate_per_s: f64::NAN,
                }),
                "a rate must be 0.001 to 1000000 per second, got NaN",
            ),
            (
                open(Shape::Step {
                    rates_per_s: vec![],
                }),
                "a step needs at least one rate",
            ),
            (
                open(Shape::Spike { buyers: 10 }),
                "a spike ends with its buyers: its end must be a count of 10",
            ),
            (
                LoadPlan {
                    end: End::Time(Duration::from_secs(3_600)),
                    ..open(Shape::Constant { rate_per_s: 1e6 })
                },
                "a schedule has at most 100000000 requests, and this one would have 3600000000",
            ),
            (
                LoadPlan {
                    end: End::Count(1_000),
                    ..open(Shape::Constant { rate_per_s: 0.001 })
                },
                "at this rate the requests would take 1000000 s",
            ),
        ] {
            let said = refused(&plan);
            assert!(said.contains(part), "{said}");
        }
    }
}
