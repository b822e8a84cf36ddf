//! What a run will do, in which order, how long it may take and how much disk it needs: known
//! before anything is started.

use std::collections::BTreeMap;
use std::time::Duration;

use reports::view::grouped;

use super::order::round_orders;
use super::session::ScenarioPlan;
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
    /// The run goes on when it fails.
    pub may_fail: bool,
    /// A phase that takes longer breaks the leg.
    pub phase_limit: Option<Duration>,
}

/// How much of the scenario a leg runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum LegKind {
    /// Every phase.
    Whole,
    /// Only what comes up to the calibration.
    Calibration,
    /// Only the phases that are no open loop: what a rate of another leg is a share of.
    Saturating,
    /// Warm-up and the measured phase at this rate: one step of a search.
    Probe {
        search: usize,
        step: u32,
        rate_per_s: f64,
    },
}

/// The legs in the order in which they run: in each round every scenario, and in it every subject
/// once, in balanced orders, so that a slow minute, a warm machine or what ran before favours none of
/// them. A scenario of fewer rounds than another one is done earlier.
pub(super) fn legs(scenarios: &[ScenarioPlan]) -> Vec<(&ScenarioPlan, &SubjectPlan, u32)> {
    let rounds = scenarios.iter().map(|plan| plan.scenario.rounds).max();
    let rounds = rounds.unwrap_or(0);
    let seed = scenarios.first().map_or(0, |plan| plan.scenario.load.seed);
    let turns = round_orders(scenarios.len(), rounds as usize, seed);
    let orders: Vec<Vec<Vec<usize>>> = scenarios
        .iter()
        .map(|ScenarioPlan { scenario, subjects }| {
            round_orders(subjects.len(), scenario.rounds as usize, scenario.load.seed)
        })
        .collect();
    let mut legs = Vec::new();
    for (round, turn) in (1..=rounds).zip(turns) {
        for at in turn {
            let order = orders[at].get(round as usize - 1).into_iter().flatten();
            let plan = &scenarios[at];
            legs.extend(order.map(|index| (plan, &plan.subjects[*index], round)));
        }
    }
    legs
}

/// How many legs a run has, as far as that is known before.
pub(super) fn count(scenarios: &[ScenarioPlan]) -> usize {
    let counts = scenarios.iter();
    let counts = counts.map(|plan| count_of(&plan.scenario, plan.subjects.len()));
    counts.sum()
}

fn count_of(scenario: &Scenario, subjects: usize) -> usize {
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
    stack + leg * u32::try_from(count_of(scenario, subjects)).unwrap_or(u32::MAX)
}

/// Mean time of a run's legs.
pub(super) fn expected_mean_leg(scenarios: &[ScenarioPlan]) -> Duration {
    let of_one = |plan: &ScenarioPlan| {
        let legs = u32::try_from(count_of(&plan.scenario, plan.subjects.len()));
        expected_leg(&plan.scenario) * legs.unwrap_or(u32::MAX)
    };
    let all: Duration = scenarios.iter().map(of_one).sum();
    all / u32::try_from(count(scenarios).max(1)).unwrap_or(u32::MAX)
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

/// The text that `--dry-run` prints. `remarks`: which engines of the scenarios are skipped, and
/// which ones stand in for them.
pub(super) fn text(
    scenarios: &[ScenarioPlan],
    stack: &StackOptions,
    remarks: &[String],
    overrides: &BTreeMap<String, String>,
) -> String {
    let has_servers = stack.kind != StackKind::Embedded;
    let mut text = String::new();
    for plan in scenarios {
        text.push_str(&load_text(&plan.scenario));
        text.push('\n');
    }
    text.push_str(&format!("stack: {}\n", asked_for(stack)));
    for (key, value) in overrides {
        text.push_str(&format!("set: {key}={value}\n"));
    }
    for remark in remarks {
        text.push_str(&format!("{remark}\n"));
    }
    text.push_str(&legs_text(scenarios));
    let time = scenarios
        .iter()
        .map(|plan| expected_time(&plan.scenario, false))
        .sum::<Duration>();
    let start = if has_servers {
        STACK_START
    } else {
        Duration::ZERO
    };
    text.push_str(&format!(
        "estimated time: {}, without building the system or installing servers\n",
        in_words(start + time)
    ));
    // A leg's data is removed before the next one begins.
    let requests = scenarios
        .iter()
        .map(|plan| expected_requests(&plan.scenario));
    let bytes =
        if has_servers { STACK_BYTES } else { 0 } + requests.max().unwrap_or(0) * BYTES_PER_REQUEST;
    text.push_str(&format!(
        "estimated disk: {} MiB in the scratch folder\n",
        grouped(bytes.div_ceil(1 << 20))
    ));
    text
}

/// Requests of one leg.
fn expected_requests(scenario: &Scenario) -> u64 {
    let of_phase = |phase: usize| {
        let expected = scenario.expected_requests(phase, |_| None);
        let time = scenario.phases[phase].end.time().unwrap_or_default();
        expected.unwrap_or((time.as_secs_f64() * REQUESTS_PER_S) as u64)
    };
    (0..scenario.phases.len()).map(of_phase).sum()
}

fn load_text(scenario: &Scenario) -> String {
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
        "sale: {} of {units} at {} cents\nack: {}\n",
        match products.count {
            1 => "one product".to_owned(),
            count => format!("{count} products, each"),
        },
        grouped(products.price_cents.unsigned_abs()),
        scenario.ack,
    ));
    text
}

fn legs_text(scenarios: &[ScenarioPlan]) -> String {
    if let [plan] = scenarios
        && plan.scenario.search
    {
        return format!(
            "legs: a search for each of {} subjects, about {SEARCH_LEGS} legs each\n",
            plan.subjects.len()
        );
    }
    let mut text = format!("legs: {}\n", count(scenarios));
    if scenarios.iter().any(|plan| plan.scenario.needs_slowest()) {
        text.push_str("  first a calibration of every subject, for the slowest one's rate\n");
    }
    for (index, (plan, subject, round)) in (1..).zip(legs(scenarios)) {
        let of_scenario = match scenarios {
            [_] => String::new(),
            _ => format!("{}: ", plan.scenario.name),
        };
        text.push_str(&format!(
            "  {index}. {of_scenario}{}, round {round}\n",
            subject.id
        ));
    }
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
