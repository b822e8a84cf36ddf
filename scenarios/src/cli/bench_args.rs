//! The arguments of `lab bench`: the scenario, what is changed for this run, and where the result
//! goes.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use reports::model::AckMode;

use super::UsageError;
use super::settings::{Setting, command_line, duration_ms};
use crate::bench::BenchOptions;
use crate::catalog;
use crate::scenario::{BrokenRule, Scenario};
use crate::stack::StackOptions;

/// The setting of the roles that `--allow-volatile` changes.
const ALLOW_VOLATILE: &str = "SECKILL__ENGINE__ALLOW_VOLATILE";

#[derive(Args, Clone, Debug)]
pub(super) struct BenchArgs {
    /// Name in the catalog (`lab scenarios` lists them), or path of a .toml file
    pub scenario: String,
    /// Engine to run instead of the scenario's own, with its parameters if any; may be repeated
    #[arg(long = "engine", value_name = "NAME")]
    pub engines: Vec<String>,
    /// Requests in each leg
    #[arg(long, short = 'n')]
    pub requests: Option<u64>,
    /// Requests in flight
    #[arg(long, short = 'c')]
    pub concurrency: Option<u32>,
    /// Connections; at most as many as there are requests in flight
    #[arg(long)]
    pub connections: Option<u32>,
    /// How long each request is waited for, for example 2s or 500ms
    #[arg(long, value_parser = duration_ms, value_name = "TIME")]
    pub timeout: Option<u64>,
    /// Rounds, each with one leg of every engine
    #[arg(long)]
    pub rounds: Option<u32>,
    /// Seed of the users and quantities
    #[arg(long)]
    pub seed: Option<u64>,
    /// When buyers are told yes: after the broker's confirm, or already after the publish
    #[arg(long, value_parser = ack_modes(), value_name = "ACK")]
    pub ack: Option<AckMode>,
    /// Change a setting of the roles for an experiment, for example mq.order_batch_size=500; the
    /// result records it
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<Setting>,
    /// Accept servers that may forget or evict what they acknowledged, which engines otherwise
    /// refuse; the result records it
    #[arg(long)]
    pub allow_volatile: bool,
    /// Folder for the result and its summary [default: reports/out]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Also write the result to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Print what would be done, with an estimate of time and disk, without doing it
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub stack: StackOptions,
}

/// The names of the modes, as scenario files know them.
fn ack_modes() -> impl TypedValueParser<Value = AckMode> {
    PossibleValuesParser::new(AckMode::ALL.map(AckMode::as_str))
        .map(|name| AckMode::named(&name).unwrap_or_default())
}

impl BenchArgs {
    pub(super) fn options(&self) -> anyhow::Result<BenchOptions> {
        let mut scenario = catalog::load(&self.scenario)?;
        self.override_scenario(&mut scenario);
        scenario
            .check()
            .map_err(|broken| UsageError(in_words_of_options(&broken)))?;
        let volatile = self
            .allow_volatile
            .then(|| (ALLOW_VOLATILE.to_owned(), "true".to_owned()));
        Ok(BenchOptions {
            scenario,
            engines_by_hand: !self.engines.is_empty(),
            stack: self.stack.clone(),
            overrides: self
                .settings
                .iter()
                .map(Setting::entry)
                .chain(volatile)
                .collect(),
            out: self.out.clone(),
            json: self.json.clone(),
            command: command_line(std::env::args().skip(1)),
        })
    }

    fn override_scenario(&self, scenario: &mut Scenario) {
        if !self.engines.is_empty() {
            scenario.engines.clone_from(&self.engines);
        }
        let load = &mut scenario.load;
        load.requests = self.requests.unwrap_or(load.requests);
        load.concurrency = self.concurrency.unwrap_or(load.concurrency);
        load.connections = self.connections.unwrap_or(load.connections);
        load.timeout_ms = self.timeout.unwrap_or(load.timeout_ms);
        load.seed = self.seed.unwrap_or(load.seed);
        scenario.rounds = self.rounds.unwrap_or(scenario.rounds);
        scenario.ack = self.ack.unwrap_or(scenario.ack);
    }
}

/// The scenario itself was valid, so what is wrong now came from an option: `--requests: requests =
/// 0 …`.
fn in_words_of_options(broken: &BrokenRule) -> String {
    let option = match broken.key {
        "engines" => "--engine".to_owned(),
        "load.timeout_ms" => "--timeout".to_owned(),
        key => format!("--{}", key.rsplit('.').next().unwrap_or(key)),
    };
    format!("{option}: {}", broken.message)
}
