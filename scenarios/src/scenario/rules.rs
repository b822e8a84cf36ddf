//! What a scenario may contain: one set of rules for files and for the command line. The error
//! about a broken rule names the key, the value and what is allowed instead.

use std::fmt::Display;
use std::time::Duration;

use loadgen::plan::{TIMEOUT_MAX, TIMEOUT_RESOLUTION};
use reports::result::{DriverKind, Popularity, Purpose};

use super::rate::{BASE, SLOWEST};
use super::{Arrival, End, OpenShape, PhasePlan, Rate, Scenario};

pub const DRIVERS: [&str; 3] = ["grpc", "http", "ghz"];
/// Whether create-consumer works while the load runs, or is stopped until the last reply.
pub(super) const CONSUMER_MODES: [&str; 2] = ["running", "held-back"];
pub(super) const PURPOSES: [&str; 3] = ["warm-up", "calibrate", "measure"];
pub(super) const SHAPES: [&str; 6] = ["closed", "constant", "step", "line", "spike", "poisson"];

const CONCURRENCY_MAX: u32 = 10_000;
const REQUESTS_MAX: u64 = 100_000_000;
/// The driver keeps one element per user in memory.
const USERS_MAX: u64 = loadgen::data::ELEMENTS_MAX as u64;
const THREADS_MAX: u32 = loadgen::plan::THREADS_MAX;
const QUANTITY_MAX: u32 = 1_000;
const ROUNDS_MAX: u32 = 99;
const PRODUCTS_MAX: u32 = 10_000;
const PHASES_MAX: usize = 20;
const UNITS_MAX: i64 = 1_000_000_000_000;
const PRICE_CENTS_MAX: i64 = 1_000_000_000_000;
const RATE_PER_S_MAX: f64 = 10_000_000.0;
const TIME_MIN: Duration = Duration::from_millis(100);
const TIME_MAX: Duration = Duration::from_secs(24 * 3_600);

/// A rule that is broken. `key` is the key's path in a scenario file, `phases[1].requests`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenRule {
    pub key: String,
    pub message: String,
}

pub(super) fn broken<T>(key: &str, message: String) -> Result<T, BrokenRule> {
    Err(BrokenRule {
        key: key.to_owned(),
        message,
    })
}

pub(super) fn check(scenario: &Scenario) -> Result<(), BrokenRule> {
    non_empty("title", &scenario.title)?;
    non_empty("question", &scenario.question)?;
    one_of("driver", scenario.driver.as_str(), &DRIVERS)?;
    rounds(scenario)?;
    load(scenario)?;
    let products = &scenario.products;
    within("products.count", products.count, 1, PRODUCTS_MAX)?;
    if let Some(total) = products.total {
        within("products.total", total, 1, UNITS_MAX)?;
    }
    within(
        "products.price_cents",
        products.price_cents,
        0,
        PRICE_CENTS_MAX,
    )?;
    phases(scenario)?;
    engines(scenario)?;
    search(scenario)?;
    if let Some(cpus) = scenario.limits.as_ref().and_then(|limits| limits.cpus) {
        within("limits.cpus", cpus, 0.1, 1_024.0)?;
    }
    Ok(())
}

/// An even number of rounds has no median.
fn rounds(scenario: &Scenario) -> Result<(), BrokenRule> {
    within("rounds", scenario.rounds, 1, ROUNDS_MAX)?;
    if scenario.rounds.is_multiple_of(2) {
        let message = format!(
            "rounds = {} has no middle one; allowed: an odd number",
            scenario.rounds
        );
        return broken("rounds", message);
    }
    Ok(())
}

fn load(scenario: &Scenario) -> Result<(), BrokenRule> {
    let load = &scenario.load;
    within("load.connections", load.connections, 1, CONCURRENCY_MAX)?;
    if let Some(threads) = load.threads {
        within("load.threads", threads, 1, THREADS_MAX)?;
    }
    if load.timeout < TIMEOUT_RESOLUTION || load.timeout > TIMEOUT_MAX {
        let message = format!(
            "timeout = {:?} is out of range; allowed: {TIMEOUT_RESOLUTION:?} to {TIMEOUT_MAX:?}",
            load.timeout
        );
        return broken("load.timeout", message);
    }
    if let Some(users) = load.users {
        within("load.users", users, 1, USERS_MAX)?;
    }
    within("load.max_quantity", load.max_quantity, 1, QUANTITY_MAX)?;
    match (&load.popularity, load.zipf_exponent) {
        (Popularity::Zipf, None) => broken(
            "load.popularity",
            "popularity = \"zipf\" needs zipf_exponent, for example 1.0".to_owned(),
        ),
        (Popularity::Zipf, Some(exponent)) => within("load.zipf_exponent", exponent, 0.01, 5.0),
        (_, Some(_)) => broken(
            "load.zipf_exponent",
            "zipf_exponent is for popularity = \"zipf\" only".to_owned(),
        ),
        (_, None) => Ok(()),
    }
}

fn phases(scenario: &Scenario) -> Result<(), BrokenRule> {
    let all = &scenario.phases;
    if all.is_empty() || all.len() > PHASES_MAX {
        let message = format!("{} phases; allowed: 1 to {PHASES_MAX}", all.len());
        return broken("phases", message);
    }
    for (index, phase) in all.iter().enumerate() {
        let key = |field: &str| format!("phases[{index}].{field}");
        non_empty(&key("name"), &phase.name)?;
        if phase.name == SLOWEST
            || phase.name == BASE
            || all[..index]
                .iter()
                .any(|earlier| earlier.name == phase.name)
        {
            let message = format!("\"{}\" is taken; allowed: a name of its own", phase.name);
            return broken(&key("name"), message);
        }
        arrival(scenario, index, phase)?;
        match phase.end {
            End::Requests(requests) => within(&key("requests"), requests, 1, REQUESTS_MAX)?,
            End::Time(time) if time < TIME_MIN || time > TIME_MAX => {
                let message = format!(
                    "time = {time:?} is out of range; allowed: {TIME_MIN:?} to {TIME_MAX:?}"
                );
                return broken(&key("time"), message);
            }
            End::Time(_) => {}
        }
    }
    if all
        .last()
        .is_some_and(|last| last.purpose != Purpose::Measure)
    {
        let key = format!("phases[{}].purpose", all.len() - 1);
        return broken(
            &key,
            "the last phase must have the purpose \"measure\"".to_owned(),
        );
    }
    Ok(())
}

fn arrival(scenario: &Scenario, index: usize, phase: &PhasePlan) -> Result<(), BrokenRule> {
    let key = |field: &str| format!("phases[{index}].{field}");
    match &phase.arrival {
        Arrival::Closed { concurrency } => {
            within(&key("concurrency"), *concurrency, 1, CONCURRENCY_MAX)?;
            let connections = scenario.load.connections;
            if connections > *concurrency {
                let message = format!(
                    "{connections} connections for {concurrency} workers leaves connections idle; allowed: 1 to \
                     {concurrency} (the concurrency)"
                );
                return broken("load.connections", message);
            }
        }
        Arrival::Open { shape, backlog_max } => {
            within(&key("backlog"), *backlog_max, 1, REQUESTS_MAX)?;
            if let OpenShape::Spike { buyers } = shape {
                within(&key("buyers"), *buyers, 1, REQUESTS_MAX)?;
            }
            if let OpenShape::Spike { buyers } = shape
                && phase.end != End::Requests(*buyers)
            {
                let message = "a spike ends with its buyers; allowed: buyers alone".to_owned();
                return broken(&key("requests"), message);
            }
        }
    }
    let drivers = scenario
        .variants
        .iter()
        .filter_map(|variant| variant.driver.as_ref());
    let with_ghz = drivers
        .chain([&scenario.driver])
        .any(|kind| *kind == DriverKind::Ghz);
    let is_closed_by_count = !phase.arrival.is_open() && phase.end.requests().is_some();
    if with_ghz && phase.purpose == Purpose::Measure && !is_closed_by_count {
        let message = format!(
            "the phase \"{}\" is not for the driver ghz, which has closed phases by count only",
            phase.name
        );
        return broken("driver", message);
    }
    for rate in phase.arrival.rates() {
        check_rate(scenario, index, rate)?;
    }
    Ok(())
}

/// A share is one of an earlier phase of the same leg, or of the slowest subject's calibration.
fn check_rate(scenario: &Scenario, index: usize, rate: &Rate) -> Result<(), BrokenRule> {
    let key = format!("phases[{index}].rate");
    match rate {
        Rate::PerS(per_s) => within(&key, *per_s, 0.1, RATE_PER_S_MAX),
        Rate::Share { share, of } => {
            within(&key, *share, 0.01, 2.0)?;
            let earlier = &scenario.phases[..index];
            let calibrates = |phase: &PhasePlan| phase.purpose == Purpose::Calibrate;
            let known: Vec<&str> = earlier
                .iter()
                .filter(|phase| calibrates(phase))
                .map(|phase| phase.name.as_str())
                .collect();
            let is_known = known.contains(&of.as_str())
                || (of == SLOWEST && !known.is_empty())
                || (of == BASE && known.is_empty());
            if is_known {
                return Ok(());
            }
            // A base has a throughput of its own only where no phase of a leg calibrates.
            let allowed = match known.as_slice() {
                [] => format!("a number, or {BASE}, as no earlier phase calibrates"),
                known => format!("{}, {SLOWEST}", known.join(", ")),
            };
            broken(
                &key,
                format!("a share of \"{of}\" is unknown; allowed: {allowed}"),
            )
        }
    }
}

fn engines(scenario: &Scenario) -> Result<(), BrokenRule> {
    if scenario.engines.is_empty() {
        return broken(
            "engines",
            "no engine; `lab engines` lists the known ones".to_owned(),
        );
    }
    for (index, name) in scenario.engines.iter().enumerate() {
        if name.trim().is_empty() {
            let message = "an engine without a name; `lab engines` lists the known ones";
            return broken("engines", message.to_owned());
        }
        if scenario.engines[..index].contains(name) {
            let message = format!("engine \"{name}\" is listed twice; allowed: each once");
            return broken("engines", message);
        }
    }
    for (index, variant) in scenario.variants.iter().enumerate() {
        let key = format!("variants[{index}].name");
        non_empty(&key, &variant.name)?;
        let earlier = &scenario.variants[..index];
        if earlier.iter().any(|other| other.name == variant.name) {
            let message = format!(
                "variant \"{}\" is listed twice; allowed: each once",
                variant.name
            );
            return broken(&key, message);
        }
    }
    Ok(())
}

/// A search varies the constant rate of the measured phase, from a share of what a calibration
/// reaches.
fn search(scenario: &Scenario) -> Result<(), BrokenRule> {
    if let Some(objective) = &scenario.objective
        && let Some(share) = objective.failed_share_max
    {
        within("objective.failed_share", share, 0.0, 1.0)?;
    }
    if !scenario.search {
        return Ok(());
    }
    let measured = &scenario.phases[scenario.measured_phase()];
    let is_constant = matches!(
        measured.arrival,
        Arrival::Open {
            shape: OpenShape::Constant { .. } | OpenShape::Poisson { .. },
            ..
        }
    );
    if !is_constant || scenario.calibration_phases() == 0 {
        let message = "a search needs a phase that calibrates, and a last one with arrival \"constant\" or \"poisson\"";
        return broken("objective.search", message.to_owned());
    }
    Ok(())
}

pub(super) fn within<T: PartialOrd + Display>(
    key: &str,
    value: T,
    low: T,
    high: T,
) -> Result<(), BrokenRule> {
    if value >= low && value <= high {
        return Ok(());
    }
    let name = key.rsplit('.').next().unwrap_or(key);
    broken(
        key,
        format!("{name} = {value} is out of range; allowed: {low} to {high}"),
    )
}

fn non_empty(key: &str, text: &str) -> Result<(), BrokenRule> {
    match text.trim() {
        "" => {
            let name = key.rsplit('.').next().unwrap_or(key);
            broken(key, format!("{name} is empty; allowed: one sentence"))
        }
        _ => Ok(()),
    }
}

/// `unknown driver "htpp"; known: grpc`.
pub(super) fn one_of(key: &str, name: &str, known: &[&str]) -> Result<(), BrokenRule> {
    if known.contains(&name) {
        return Ok(());
    }
    let field = key.rsplit('.').next().unwrap_or(key);
    broken(
        key,
        format!("unknown {field} \"{name}\"; known: {}", known.join(", ")),
    )
}
