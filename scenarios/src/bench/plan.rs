//! What a run will do, in which order, how long it may take and how much disk it needs: known
//! before anything is started.

use std::collections::BTreeMap;
use std::time::Duration;

use reports::view::grouped;

use super::order::round_orders;
use super::subjects::SubjectPlan;
use crate::scenario::{Arrival, End, OpenShape, PhasePlan, Scenario};
use crate::stack::{StackKind, StackOptions};

/// Cautious figures of a small machine, for the estimates only.
const REQUESTS_PER_S: f64 = 30_000.0;
const STACK_START: Duration = Duration::from_secs(20);
const LEG_OVERHEAD: Duration = Duration::from_secs(10);
/// Fresh data folders of the three servers.
const STACK_BYTES: u64 = 400 << 20;
/// Row, indexes, redo log, append-only file, broker, outcome log.
const BYTES_PER_REQUEST: u64 = 1_200;
/// Legs that a search takes for one engine, as it turned out.
const SEARCH_LEGS: usize = 16;

/// One leg: one subject, one round.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlannedLeg<'a> {
    pub subject: &'a SubjectPlan,
    pub round: u32,
    /// Position in the order of the run, from 1.
    pub index: usize,
    pub kind: LegKind,
}

/// How much of the scenario a leg runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum LegKind {
    /// Every phase.
    Whole,
    /// Only what comes up to the calibration.
    Calibration,
    /// Warm-up and the measured phase at this rate: one step of a search.
    Probe {
        search: usize,
        step: u32,
        rate_per_s: f64,
    },
}

/// The legs in the order in which they run: every subject once per round, in balanced orders, so
/// that a slow minute, a warm machine or what ran before favours none of them.
pub(super) fn legs<'a>(
    subjects: &'a [SubjectPlan],
    scenario: &Scenario,
) -> Vec<(&'a SubjectPlan, u32)> {
    let orders = round_orders(subjects.len(), scenario.rounds as usize, scenario.load.seed);
    let rounds = (1..).zip(orders);
    rounds
        .flat_map(|(round, order)| {
            order
                .into_iter()
                .map(move |index| (&subjects[index], round))
        })
        .collect()
}

/// How many legs a run has, as far as that is known before.
pub(super) fn count(scenario: &Scenario, subjects: usize) -> usize {
    if scenario.search {
        return subjects * (1 + SEARCH_LEGS);
    }
    let calibrations = if scenario.needs_slowest() {
        subjects
    } else {
        0
    };
    subjects * scenario.rounds as usize + calibrations
}

/// Time of the whole run, without building the system or installing servers.
pub(crate) fn expected_time(scenario: &Scenario, has_servers: bool) -> Duration {
    let subjects = scenario.engines.len() * scenario.all_variants().len();
    let leg = expected_leg(scenario);
    let stack = if has_servers {
        STACK_START
    } else {
        Duration::ZERO
    };
    stack + leg * u32::try_from(count(scenario, subjects)).unwrap_or(u32::MAX)
}

/// Time of one leg, its start and its end included.
pub(super) fn expected_leg(scenario: &Scenario) -> Duration {
    scenario.expected_time(REQUESTS_PER_S) + LEG_OVERHEAD
}

/// `8 min`, `40 s`.
pub(crate) fn in_words(time: Duration) -> String {
    match time.as_secs_f64().ceil() as u64 {
        seconds if seconds < 90 => format!("{seconds} s"),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}

/// The text that `--dry-run` prints. `remarks`: which engines of the scenario are skipped, and
/// which ones stand in for them.
pub(super) fn text(
    scenario: &Scenario,
    subjects: &[SubjectPlan],
    stack: &StackOptions,
    remarks: &[String],
    overrides: &BTreeMap<String, String>,
) -> String {
    let has_servers = stack.kind != StackKind::Embedded;
    let requests: u64 = (0..scenario.phases.len())
        .map(|phase| {
            let expected = scenario.expected_requests(phase, |_| None);
            let time = scenario.phases[phase].end.time().unwrap_or_default();
            expected.unwrap_or((time.as_secs_f64() * REQUESTS_PER_S) as u64)
        })
        .sum();
    // A leg's data is removed before the next one begins.
    let bytes = if has_servers { STACK_BYTES } else { 0 } + requests * BYTES_PER_REQUEST;
    let load = &scenario.load;
    let mut text = format!(
        "{}: {}\n{}\n\n",
        scenario.name, scenario.title, scenario.question
    );
    for phase in &scenario.phases {
        text.push_str(&format!("{}\n", described(scenario, phase)));
    }
    let users = match load.users {
        Some(users) => grouped(users),
        None => "as many as come".to_owned(),
    };
    text.push_str(&format!(
        "users: {users}, quantity 1 to {}, seed {}\n",
        load.max_quantity, load.seed
    ));
    let products = &scenario.products;
    let units = match products.total {
        Some(total) => format!("{} units", grouped(total.unsigned_abs())),
        None => "more units than can be sold".to_owned(),
    };
    text.push_str(&format!(
        "sale: {} of {units} at {} cents\n",
        match products.count {
            1 => "one product".to_owned(),
            count => format!("{count} products, each"),
        },
        grouped(products.price_cents.unsigned_abs())
    ));
    text.push_str(&format!(
        "ack: {}\nstack: {}\n",
        scenario.ack,
        asked_for(stack)
    ));
    for (key, value) in overrides {
        text.push_str(&format!("set: {key}={value}\n"));
    }
    for remark in remarks {
        text.push_str(&format!("{remark}\n"));
    }
    if scenario.search {
        text.push_str(&format!(
            "legs: a search for each of {} subjects, about {SEARCH_LEGS} legs each\n",
            subjects.len()
        ));
    } else {
        let legs = legs(subjects, scenario);
        text.push_str(&format!("legs: {}\n", count(scenario, subjects.len())));
        if scenario.needs_slowest() {
            text.push_str("  first a calibration of every subject, for the slowest one's rate\n");
        }
        for (index, (subject, round)) in (1..).zip(&legs) {
            text.push_str(&format!("  {index}. {}, round {round}\n", subject.id));
        }
    }
    text.push_str(&format!(
        "estimated time: {}, without building the system or installing servers\n",
        in_words(expected_time(scenario, has_servers))
    ));
    text.push_str(&format!(
        "estimated disk: {} MiB in the scratch folder\n",
        grouped(bytes.div_ceil(1 << 20))
    ));
    text
}

/// `measure: -c 500 -n 500000 --connections=200 --timeout=2s`, in ghz's words where ghz has them.
pub(crate) fn described(scenario: &Scenario, phase: &PhasePlan) -> String {
    let end = match phase.end {
        End::Requests(requests) => format!("-n {requests}"),
        End::Time(time) => format!("-z {}", humantime::format_duration(time)),
    };
    let connections = scenario.load.connections;
    let timeout = humantime::format_duration(scenario.load.timeout);
    let arrival = match &phase.arrival {
        Arrival::Closed { concurrency } => format!("-c {concurrency}"),
        Arrival::Open { shape, .. } => match shape {
            OpenShape::Constant { rate } => format!("constant {rate}"),
            OpenShape::Poisson { rate } => format!("poisson {rate}"),
            OpenShape::Line { from, to } => format!("line from {from} to {to}"),
            OpenShape::Step { rates } => {
                let rates: Vec<String> = rates.iter().map(ToString::to_string).collect();
                format!("steps {}", rates.join(", "))
            }
            OpenShape::Spike { buyers } => format!("spike of {buyers} buyers"),
        },
    };
    format!(
        "{}: {arrival} {end} --connections={connections} --timeout={timeout}",
        phase.name
    )
}

fn asked_for(stack: &StackOptions) -> &'static str {
    match stack.kind {
        StackKind::Auto | StackKind::Servers if stack.redis_cluster => {
            "servers (its own, on free ports, Redis as a cluster of three)"
        }
        StackKind::Auto => {
            "auto (its own servers, installed first if that is needed and allowed; embedded where that fails)"
        }
        StackKind::Servers => "servers (its own, on free ports)",
        StackKind::External => "external",
        StackKind::Embedded => "embedded (one process on one SQLite file)",
    }
}
