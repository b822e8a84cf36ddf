//! `lab bench`: the scenario, what is changed for this run, and where the result goes.

use std::path::PathBuf;

use clap::Args;
use reports::model::AckMode;

use super::UsageError;
use super::settings::{Setting, command_line, duration_ms};
use crate::bench::BenchOptions;
use crate::catalog;
use crate::scenario::{Fault, Scenario};
use crate::stack::StackOptions;

/// The setting of the roles behind `--allow-volatile`.
const ALLOW_VOLATILE: &str = "SECKILL__ENGINE__ALLOW_VOLATILE";

#[derive(Args, Clone, Debug)]
pub(super) struct BenchArgs {
    /// Name in the catalog (`lab scenarios` lists them), or path of a .toml file
    pub scenario: String,
    /// Engine with parameters if any, instead of the scenario's; may be repeated
    #[arg(long = "engine", value_name = "NAME")]
    pub engines: Vec<String>,
    /// Requests of each leg
    #[arg(long, short = 'n')]
    pub requests: Option<u64>,
    /// Requests in flight
    #[arg(long, short = 'c')]
    pub concurrency: Option<u32>,
    /// Connections, at most as many as requests in flight
    #[arg(long)]
    pub connections: Option<u32>,
    /// How long a request is waited for, for example 2s or 500ms
    #[arg(long, value_parser = duration_ms, value_name = "TIME")]
    pub timeout: Option<u64>,
    /// Rounds, each with one leg of every engine
    #[arg(long)]
    pub rounds: Option<u32>,
    /// Seed of the users and quantities
    #[arg(long)]
    pub seed: Option<u64>,
    /// When buyers are told yes; `published` does not wait for the broker's confirm
    #[arg(long, value_enum)]
    pub ack: Option<Ack>,
    /// Setting of the roles for an experiment, for example mq.order_batch_size=500; recorded in the
    /// result
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<Setting>,
    /// Accept servers that forget or evict what they acknowledged, which engines refuse otherwise;
    /// recorded in the result
    #[arg(long)]
    pub allow_volatile: bool,
    /// Folder for the result and its summary, instead of reports/out
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Write the result to this file too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Print what would be done, with estimated time and disk, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub stack: StackOptions,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Ack {
    Confirmed,
    Published,
}

impl BenchArgs {
    pub(super) fn options(&self) -> anyhow::Result<BenchOptions> {
        let mut scenario = catalog::load(&self.scenario)?;
        self.override_scenario(&mut scenario);
        scenario
            .check()
            .map_err(|fault| UsageError(in_words_of_options(&fault)))?;
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
        match self.ack {
            Some(Ack::Confirmed) => scenario.ack = AckMode::Confirmed,
            Some(Ack::Published) => scenario.ack = AckMode::Published,
            None => {}
        }
    }
}

/// The scenario itself was right, so whatever is wrong now came from an option: `--requests:
/// requests = 0 …`.
fn in_words_of_options(fault: &Fault) -> String {
    let option = match fault.key {
        "engines" => "--engine".to_owned(),
        "load.timeout_ms" => "--timeout".to_owned(),
        key => format!("--{}", key.rsplit('.').next().unwrap_or(key)),
    };
    format!("{option}: {}", fault.message)
}
