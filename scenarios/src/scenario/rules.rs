//! What a scenario may contain: one set of rules for files and for the command line. The error
//! about a broken rule names the key, the value and what is allowed instead.

use std::fmt::Display;

use super::Scenario;

pub(super) const DRIVERS: [&str; 1] = ["grpc"];
/// Whether create-consumer works while the load runs, or is stopped until the last reply.
pub(super) const CONSUMER_MODES: [&str; 2] = ["running", "held-back"];

const CONCURRENCY_MAX: u32 = 10_000;
const REQUESTS_MAX: u64 = 100_000_000;
/// The driver keeps one element per user in memory.
const USERS_MAX: u64 = loadgen::data::ELEMENTS_MAX as u64;
const TIMEOUT_MS_MIN: u64 = loadgen::plan::TIMEOUT_RESOLUTION.as_millis() as u64;
const TIMEOUT_MS_MAX: u64 = loadgen::plan::TIMEOUT_MAX.as_millis() as u64;
const QUANTITY_MAX: u32 = 1_000;
const ROUNDS_MAX: u32 = 100;
const UNITS_MAX: i64 = 1_000_000_000_000;
const PRICE_CENTS_MAX: i64 = 1_000_000_000_000;

/// A rule that is broken. `key` is the key's path in a scenario file, `load.requests`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenRule {
    pub key: &'static str,
    pub message: String,
}

pub(super) fn check(scenario: &Scenario) -> Result<(), BrokenRule> {
    let load = &scenario.load;
    non_empty("title", &scenario.title)?;
    non_empty("question", &scenario.question)?;
    one_of("driver", &scenario.driver, &DRIVERS)?;
    within("rounds", scenario.rounds, 1, ROUNDS_MAX)?;
    within("load.concurrency", load.concurrency, 1, CONCURRENCY_MAX)?;
    within("load.connections", load.connections, 1, CONCURRENCY_MAX)?;
    within("load.requests", load.requests, 1, REQUESTS_MAX)?;
    within(
        "load.timeout_ms",
        load.timeout_ms,
        TIMEOUT_MS_MIN,
        TIMEOUT_MS_MAX,
    )?;
    within("load.users", load.users, 1, USERS_MAX)?;
    within("load.max_quantity", load.max_quantity, 1, QUANTITY_MAX)?;
    within("warmup.requests", scenario.warmup_requests, 0, REQUESTS_MAX)?;
    if load.connections > load.concurrency {
        let message = format!(
            "{} connections for {} workers leaves connections idle; allowed: 1 to {} (the concurrency)",
            load.connections, load.concurrency, load.concurrency
        );
        return Err(BrokenRule {
            key: "load.connections",
            message,
        });
    }
    sales(scenario)?;
    engines(scenario)?;
    expectations(scenario)
}

fn sales(scenario: &Scenario) -> Result<(), BrokenRule> {
    let [sale] = scenario.sales.as_slice() else {
        let message = format!(
            "{} sales; the driver grpc needs exactly one [[sales]]",
            scenario.sales.len()
        );
        return Err(BrokenRule {
            key: "sales",
            message,
        });
    };
    within("sales.product", sale.product_id, 1, UNITS_MAX)?;
    within("sales.total", sale.total, 1, UNITS_MAX)?;
    within("sales.price_cents", sale.price_cents, 0, PRICE_CENTS_MAX)
}

fn engines(scenario: &Scenario) -> Result<(), BrokenRule> {
    let broken = |message: String| {
        Err(BrokenRule {
            key: "engines",
            message,
        })
    };
    if scenario.engines.is_empty() {
        return broken("no engine; `lab engines` lists the known ones".to_owned());
    }
    for (index, name) in scenario.engines.iter().enumerate() {
        if name.trim().is_empty() {
            return broken(
                "an engine without a name; `lab engines` lists the known ones".to_owned(),
            );
        }
        if scenario.engines[..index].contains(name) {
            return broken(format!(
                "engine \"{name}\" is listed twice; allowed: each once"
            ));
        }
    }
    Ok(())
}

fn expectations(scenario: &Scenario) -> Result<(), BrokenRule> {
    let wanted = &scenario.expectations;
    for (key, value, top) in [
        ("expectations.p99_ms_max", wanted.p99_ms_max, f64::MAX),
        (
            "expectations.requests_per_s_min",
            wanted.requests_per_s_min,
            f64::MAX,
        ),
        (
            "expectations.committed_at_last_reply_min",
            wanted.committed_at_last_reply_min,
            1.0,
        ),
        (
            "expectations.system_cpu_until_reply_us_max",
            wanted.system_cpu_until_reply_us_max,
            f64::MAX,
        ),
        (
            "expectations.system_cpu_until_drained_us_max",
            wanted.system_cpu_until_drained_us_max,
            f64::MAX,
        ),
    ] {
        if value.is_some_and(|value| !(value > 0.0 && value <= top)) {
            let allowed = if top == 1.0 {
                "more than 0, at most 1"
            } else {
                "a number above 0"
            };
            let message = format!(
                "{} is out of range; allowed: {allowed}",
                value.unwrap_or(0.0)
            );
            return Err(BrokenRule { key, message });
        }
    }
    Ok(())
}

fn within<T: PartialOrd + Display>(
    key: &'static str,
    value: T,
    low: T,
    high: T,
) -> Result<(), BrokenRule> {
    if value >= low && value <= high {
        return Ok(());
    }
    let name = key.rsplit('.').next().unwrap_or(key);
    Err(BrokenRule {
        key,
        message: format!("{name} = {value} is out of range; allowed: {low} to {high}"),
    })
}

fn non_empty(key: &'static str, text: &str) -> Result<(), BrokenRule> {
    match text.trim() {
        "" => Err(BrokenRule {
            key,
            message: format!("{key} is empty; allowed: one sentence"),
        }),
        _ => Ok(()),
    }
}

/// `unknown driver "htpp"; known: grpc`.
pub(super) fn one_of(key: &'static str, name: &str, known: &[&str]) -> Result<(), BrokenRule> {
    if known.contains(&name) {
        return Ok(());
    }
    Err(BrokenRule {
        key,
        message: format!("unknown {key} \"{name}\"; known: {}", known.join(", ")),
    })
}
