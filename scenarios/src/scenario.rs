//! A scenario: a question and the load that answers it. `file` reads the TOML and knows its lines,
//! `rules` says what is allowed, `sizing` says how many users and units a phase needs. Options of
//! the command line that change a scenario are held to the same rules.

mod after;
mod file;
mod rate;
mod record;
mod rules;
mod sizing;

pub use after::After;
pub use file::ScenarioError;
pub use rate::{BASE, Rate, SLOWEST};
pub use rules::{BrokenRule, DRIVERS};

use std::collections::BTreeMap;
use std::time::Duration;

use reports::expect::Expected;
use reports::result::{
    Ack, DriverKind, LimitsWanted, Objective, Popularity, Purpose, ReferenceRow,
};

#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The file's name without its ending.
    pub name: String,
    pub title: String,
    /// The one question that its result answers.
    pub question: String,
    pub products: Products,
    /// Names of engines that `seckill engines` lists, with parameters if any.
    pub engines: Vec<String>,
    /// The same engines under several settings; a leg of each engine for each of them. Empty: as
    /// they are.
    pub variants: Vec<Variant>,
    pub driver: DriverKind,
    pub ack: Ack,
    pub rounds: u32,
    pub load: Load,
    /// In the order in which a leg runs them. The last one is a phase that measures.
    pub phases: Vec<PhasePlan>,
    /// The consumer is stopped while the measured phase runs, so that the drain measures it alone.
    pub consumer_held_back: bool,
    /// Stock that runs out belongs to the question.
    pub may_sell_out: bool,
    /// Engines that break the contract on purpose may run, and an audit that catches them is what
    /// is expected of their legs.
    pub unsafe_engines: bool,
    /// What a rate must meet to count as served; there exactly when `search` is.
    pub objective: Option<Objective>,
    /// The highest rate that meets the objective is searched for; the rate of the measured phase is
    /// then that of each probe.
    pub search: bool,
    pub limits: Option<LimitsWanted>,
    pub reference: Vec<ReferenceRow>,
    /// What must hold for every complete leg of a ranked engine; the audit must pass in any case.
    pub expectations: Vec<Expected>,
}

/// What is on sale in the measured phase. Every other phase has as many products of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Products {
    /// Numbered from 1, the most popular first.
    pub count: u32,
    /// Units of each; none: twice what can be asked for.
    pub total: Option<i64>,
    pub price_cents: i64,
    /// After which an order that is not paid is cancelled, in whole seconds; none: never.
    pub time_to_pay: Option<Duration>,
}

/// The same engines under other settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variant {
    pub name: String,
    pub ack: Option<Ack>,
    pub driver: Option<DriverKind>,
    /// Settings of the roles, `mq.order_batch_size` = `500`.
    pub settings: BTreeMap<String, String>,
}

/// What all phases of a leg share.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    pub connections: u32,
    /// Threads of the driver; none: as the driver chooses.
    pub threads: Option<u32>,
    pub timeout: Duration,
    /// Buyers, each with one request; none: twice as many as are expected to come.
    pub users: Option<u64>,
    /// Each request asks for 1 to this many units.
    pub max_quantity: u32,
    pub seed: u64,
    pub popularity: Popularity,
    /// Of the Zipf distribution.
    pub zipf_exponent: Option<f64>,
    /// The same users come again and again, because the scenario asks for it.
    pub may_wrap: bool,
    /// What buyers do after the yes; none: nothing.
    pub after: Option<After>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PhasePlan {
    pub name: String,
    pub purpose: Purpose,
    pub arrival: Arrival,
    pub end: End,
}

/// When buyers arrive.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrival {
    /// So many workers, each with one request at a time.
    Closed { concurrency: u32 },
    /// On a schedule, whatever comes back.
    Open {
        shape: OpenShape,
        /// Most requests that wait for a connection; more are dropped.
        backlog_max: u64,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum OpenShape {
    /// Evenly spaced.
    Constant { rate: Rate },
    /// One constant rate after the other, each for the same time.
    Step { rates: Vec<Rate> },
    /// From one rate to the other in a straight line.
    Line { from: Rate, to: Rate },
    /// Everybody at once.
    Spike { buyers: u64 },
    /// Independent buyers at a mean rate.
    Poisson { rate: Rate },
}

/// When a phase ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Requests(u64),
    Time(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sale {
    pub product_id: i64,
    /// Units on offer.
    pub total: i64,
    pub price_cents: i64,
}

impl Variant {
    /// The settings as the roles' environment has them: `SECKILL__MQ__ORDER_BATCH_SIZE`.
    pub fn settings_of_roles(&self) -> BTreeMap<String, String> {
        let variable = |key: &str| match key.strip_prefix("SECKILL__") {
            Some(_) => key.to_owned(),
            None => format!("SECKILL__{}", key.to_ascii_uppercase().replace('.', "__")),
        };
        let settings = self.settings.iter();
        settings
            .map(|(key, value)| (variable(key), value.clone()))
            .collect()
    }
}

impl Scenario {
    /// Reads and checks a scenario. `name` is its short name; `file` is how errors refer to it.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Self, ScenarioError> {
        file::parse(name, file, text)
    }

    /// The first rule that is broken, if any.
    pub fn check(&self) -> Result<(), BrokenRule> {
        rules::check(self).and_then(|()| after::check(self))
    }

    /// Index of the phase whose figures stand for a leg: the last one.
    pub fn measured_phase(&self) -> usize {
        self.phases.len().saturating_sub(1)
    }

    /// Whether some leg is driven by this.
    pub fn uses_driver(&self, driver: &DriverKind) -> bool {
        let of_variants = self.variants.iter().filter_map(|it| it.driver.as_ref());
        of_variants.chain([&self.driver]).any(|kind| kind == driver)
    }

    /// Variants to run each engine under; one without a name where the scenario has none.
    pub fn all_variants(&self) -> Vec<Variant> {
        if self.variants.is_empty() {
            return vec![Variant::default()];
        }
        self.variants.clone()
    }

    /// Whether some rate is a share of the slowest subject's throughput, which must then be measured
    /// before.
    pub fn needs_slowest(&self) -> bool {
        let rates = self.phases.iter().flat_map(|phase| phase.arrival.rates());
        rates.into_iter().any(|rate| rate.is_of(rate::SLOWEST))
    }

    /// Whether some rate is a share of the base's throughput, so that it is for a comparison of builds
    /// only.
    pub fn needs_base(&self) -> bool {
        let rates = self.phases.iter().flat_map(|phase| phase.arrival.rates());
        rates.into_iter().any(|rate| rate.is_of(rate::BASE))
    }

    /// The phases of a leg that only calibrates: warm-up and calibration.
    pub fn calibration_phases(&self) -> usize {
        let calibrates = |phase: &PhasePlan| phase.purpose == Purpose::Calibrate;
        self.phases
            .iter()
            .rposition(calibrates)
            .map_or(0, |last| last + 1)
    }
}

impl Load {
    /// Threads of the driver where the scenario leaves them to it.
    pub fn driver_threads(&self) -> u32 {
        self.threads.unwrap_or(1)
    }
}

impl Arrival {
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// The rates that it names, in their order.
    pub fn rates(&self) -> Vec<&Rate> {
        match self {
            Self::Open { shape, .. } => shape.rates(),
            Self::Closed { .. } => Vec::new(),
        }
    }
}

impl Arrival {
    /// The mean of its rates, per second; none where it names none. `measured` gives the throughput of
    /// a name.
    ///
    /// # Errors
    /// The name whose throughput was not measured.
    pub fn mean_rate(&self, measured: impl Fn(&str) -> Option<f64>) -> Result<Option<f64>, String> {
        let rates = self.rates();
        let resolved = rates.iter().map(|rate| rate.resolve(&measured));
        let resolved: Vec<f64> = resolved.collect::<Result<_, _>>()?;
        let sum: f64 = resolved.iter().sum();
        Ok((!resolved.is_empty()).then(|| sum / resolved.len() as f64))
    }
}

impl OpenShape {
    fn rates(&self) -> Vec<&Rate> {
        match self {
            Self::Constant { rate } | Self::Poisson { rate } => vec![rate],
            Self::Step { rates } => rates.iter().collect(),
            Self::Line { from, to } => vec![from, to],
            Self::Spike { .. } => Vec::new(),
        }
    }
}
