//! The arguments of `lab bench`: the scenario, what is changed for this run, and where the result
//! goes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use loadgen::duration::parse_duration;
use reports::expect::Expected;
use reports::result::{Ack, DriverKind, Purpose};

use super::UsageError;
use super::settings::{Setting, recorded};
use crate::bench::{BenchOptions, Files};
use crate::catalog;
use crate::scenario::{Arrival, BrokenRule, DRIVERS, End, Scenario, Variant};
use crate::stack::StackOptions;

/// The setting of the roles that `--allow-volatile` changes.
const ALLOW_VOLATILE: &str = "SECKILL__ENGINE__ALLOW_VOLATILE";

#[derive(Args, Clone, Debug)]
pub(super) struct BenchArgs {
    /// Name in the catalog (`lab scenarios` lists them), or path of a .toml file; several run
    /// interleaved into one result
    #[arg(value_name = "SCENARIO", required = true)]
    pub scenarios: Vec<String>,
    /// Engine to run instead of the scenario's own, with its parameters if any; may be repeated
    #[arg(long = "engine", value_name = "NAME")]
    pub engines: Vec<String>,
    /// Requests in each phase that measures, instead of its own count or time
    #[arg(long, short = 'n', conflicts_with = "time")]
    pub requests: Option<u64>,
    /// Length of each phase that measures, instead of its own count or time, for example 10s
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    pub time: Option<Duration>,
    /// Requests in flight in every closed phase
    #[arg(long, short = 'c')]
    pub concurrency: Option<u32>,
    /// Connections; at most as many as there are requests in flight
    #[arg(long)]
    pub connections: Option<u32>,
    /// What sends the measured load; given twice, each engine runs once with either
    #[arg(long = "driver", value_parser = drivers(), value_name = "DRIVER")]
    pub drivers: Vec<DriverKind>,
    /// Threads of the driver [default: 1]
    #[arg(long)]
    pub driver_threads: Option<u32>,
    /// How long each request is waited for, for example 2s or 500ms
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    pub timeout: Option<Duration>,
    /// Rounds, each with one leg of every engine; an odd number, and engines are ranked from five on
    #[arg(long)]
    pub rounds: Option<u32>,
    /// Seed of the users and quantities
    #[arg(long)]
    pub seed: Option<u64>,
    /// When buyers are told yes: after the broker's confirm, or already after the publish
    #[arg(long, value_parser = acks(), value_name = "ACK")]
    pub ack: Option<Ack>,
    /// What every leg must keep, beside what the scenario expects; may be repeated, for example
    /// 'p99_ms<100'
    #[arg(long = "expect", value_name = "METRIC<N")]
    pub expectations: Vec<Expected>,
    /// Change a setting of the roles for an experiment, for example mq.order_batch_size=500; the
    /// result records it
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<Setting>,
    /// Accept servers that may forget or evict what they acknowledged, which engines otherwise
    /// refuse; the result records it
    #[arg(long)]
    pub allow_volatile: bool,
    /// Leave a flame graph of each of our processes beside the result; profiled legs are not ranked
    #[arg(long)]
    pub profile: bool,
    /// Print every table, not only the first screen
    #[arg(long)]
    pub details: bool,
    /// A name for the result, which then lies in NAME.json, NAME.html and NAME.md
    #[arg(long, value_name = "NAME", value_parser = plain_name)]
    pub save: Option<String>,
    /// Folder for the result, its page and its summary [default: reports/out]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Also write the result to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Also write the latencies of each leg as .hgrm, for the plotters of HdrHistogram
    #[arg(long)]
    pub hgrm: bool,
    /// Show the page of the result in a browser when the run is over
    #[arg(long)]
    pub open: bool,
    /// Print what would be done, with an estimate of time and disk, without doing it
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub stack: StackOptions,
}

/// The names of the modes, as scenario files know them.
pub(super) fn acks() -> impl TypedValueParser<Value = Ack> {
    PossibleValuesParser::new(Ack::KNOWN.iter().map(Ack::as_str)).map(|name| Ack::named(&name))
}

/// What a scenario file may name, too.
fn drivers() -> impl TypedValueParser<Value = DriverKind> {
    PossibleValuesParser::new(DRIVERS).map(|name| DriverKind::named(&name))
}

/// A name that is a file's name on every system.
pub(super) fn plain_name(text: &str) -> Result<String, String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let is_name = !text.is_empty() && text.chars().all(is_plain) && !text.starts_with('.');
    let allowed = "allowed: letters, digits, - _ and . (not at the start)";
    is_name
        .then(|| text.to_owned())
        .ok_or_else(|| allowed.to_owned())
}

impl BenchArgs {
    pub(super) fn options(&self) -> anyhow::Result<BenchOptions> {
        let mut scenarios = Vec::with_capacity(self.scenarios.len());
        for name in &self.scenarios {
            let mut scenario = catalog::load(name)?;
            self.override_scenario(&mut scenario);
            scenario
                .check()
                .map_err(|broken| UsageError(in_words_of_options(&broken)))?;
            self.refuse_what_does_nothing(&scenario)?;
            scenarios.push(scenario);
        }
        refuse_what_cannot_run_together(&scenarios)?;
        let volatile = self
            .allow_volatile
            .then(|| (ALLOW_VOLATILE.to_owned(), "true".to_owned()));
        Ok(BenchOptions {
            scenarios,
            engines_by_hand: !self.engines.is_empty(),
            program: None,
            stack: self.stack.clone(),
            overrides: self
                .settings
                .iter()
                .map(Setting::entry)
                .chain(volatile)
                .collect(),
            expectations: self.expectations.clone(),
            name: self.save.clone(),
            details: self.details,
            profile: self.profile,
            files: Files {
                folder: self.out.clone(),
                json: self.json.clone(),
                hgrm: self.hgrm,
                open: self.open,
            },
            command: recorded(std::env::args().skip(1)),
        })
    }

    /// An option without an effect would be a promise that is not kept.
    fn refuse_what_does_nothing(&self, scenario: &Scenario) -> Result<(), UsageError> {
        let refuse = |why: &str| Err(UsageError(why.to_owned()));
        if scenario.search && !self.expectations.is_empty() {
            return refuse(
                "--expect: a search has an objective of its own and holds no leg against anything else",
            );
        }
        if scenario.search && self.rounds.is_some() {
            return refuse("--rounds: a search decides by itself how many legs it needs");
        }
        if self.profile && self.drivers.contains(&DriverKind::Ghz) {
            return refuse("--profile is for the lab's own driver; leave --driver ghz out");
        }
        if self.ack.is_some()
            && scenario
                .variants
                .iter()
                .any(|variant| variant.ack.is_some())
        {
            return refuse(
                "--ack: the variants of this scenario say themselves when buyers are told yes",
            );
        }
        Ok(())
    }

    /// Options that change the load, as they were given.
    fn changes(&self) -> Vec<String> {
        let time = self.time.map(humantime::format_duration);
        let timeout = self.timeout.map(humantime::format_duration);
        let options = [
            ("-n", self.requests.map(|it| it.to_string())),
            ("--time", time.map(|it| it.to_string())),
            ("-c", self.concurrency.map(|it| it.to_string())),
            ("--connections", self.connections.map(|it| it.to_string())),
            ("--timeout", timeout.map(|it| it.to_string())),
        ];
        options
            .into_iter()
            .filter_map(|(option, value)| Some(format!("{option} {}", value?)))
            .collect()
    }

    fn override_scenario(&self, scenario: &mut Scenario) {
        let changes = self.changes();
        if !changes.is_empty() {
            // What was published was measured with another load.
            scenario.reference.clear();
            scenario.title = format!("{}; changed by {}", scenario.title, changes.join(" "));
        }
        if !self.engines.is_empty() {
            scenario.engines.clone_from(&self.engines);
        }
        let load = &mut scenario.load;
        load.connections = self.connections.unwrap_or(load.connections);
        load.threads = self.driver_threads.or(load.threads);
        load.timeout = self.timeout.unwrap_or(load.timeout);
        load.seed = self.seed.unwrap_or(load.seed);
        for phase in &mut scenario.phases {
            if let (Arrival::Closed { concurrency }, Some(wanted)) =
                (&mut phase.arrival, self.concurrency)
            {
                *concurrency = wanted;
            }
            if phase.purpose == Purpose::Measure {
                let requests = self.requests.map(End::Requests);
                phase.end = requests.or(self.time.map(End::Time)).unwrap_or(phase.end);
            }
        }
        scenario.rounds = self.rounds.unwrap_or(scenario.rounds);
        scenario.ack = self.ack.clone().unwrap_or(scenario.ack.clone());
        if let [driver] = self.drivers.as_slice() {
            scenario.driver = driver.clone();
        } else if !self.drivers.is_empty() {
            scenario.variants = by_driver(&self.drivers, &scenario.variants);
        }
    }
}

/// A run has one stack with one set of limits, and one promise of what "accepted" means.
fn refuse_what_cannot_run_together(scenarios: &[Scenario]) -> Result<(), UsageError> {
    let [first, others @ ..] = scenarios else {
        return Ok(());
    };
    for other in others {
        let unlike = |what: &str| {
            let (one, other) = (&first.name, &other.name);
            Err(UsageError(format!(
                "{one} and {other} cannot run together: {what}; run one after the other"
            )))
        };
        if first.name == other.name {
            return unlike("they have the same name");
        }
        if first.search || other.search {
            return unlike("a search decides by itself which legs it runs");
        }
        if first.limits != other.limits {
            return unlike("they want different resources of the machine");
        }
        if first.ack != other.ack {
            return unlike("they tell buyers yes at different moments (--ack makes them alike)");
        }
    }
    Ok(())
}

/// Every variant once with each driver.
fn by_driver(drivers: &[DriverKind], variants: &[Variant]) -> Vec<Variant> {
    let plain = [Variant::default()];
    let variants = if variants.is_empty() {
        &plain
    } else {
        variants
    };
    let with = |driver: &DriverKind, variant: &Variant| Variant {
        name: match variant.name.as_str() {
            "" => driver.to_string(),
            name => format!("{name}, {driver}"),
        },
        driver: Some(driver.clone()),
        ..variant.clone()
    };
    drivers
        .iter()
        .flat_map(|driver| variants.iter().map(move |variant| with(driver, variant)))
        .collect()
}

/// The scenario itself was valid, so what is wrong now came from an option: `--requests: requests =
/// 0 …`.
fn in_words_of_options(broken: &BrokenRule) -> String {
    let field = broken.key.rsplit('.').next().unwrap_or(&broken.key);
    let option = match field {
        "engines" => "--engine".to_owned(),
        "threads" => "--driver-threads".to_owned(),
        field => format!("--{field}"),
    };
    format!("{option}: {}", broken.message)
}
