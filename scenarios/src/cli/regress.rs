//! The arguments of `lab regress`.

use std::path::PathBuf;

use clap::Args;
use reports::gate::{Look, Rules, VoidLimits};
use reports::result::Ack;

use super::UsageError;
use super::settings::{Setting, recorded};
use crate::bench::{BenchOptions, Files};
use crate::catalog;
use crate::regress::instructions::STRICT_RATIO_MAX;
use crate::regress::{Counting, RegressOptions, What};
use crate::scenario::Scenario;
use crate::stack::StackOptions;

const EXIT_CODES: &str = "Exit codes: 0 every head passed, or nothing could be said of it (inconclusive, which \
    --strict counts as a failure); 1 a head failed; 2 not measured, or wrong usage.";

/// Hold builds of the system against a base, in interleaved blocks, and let CI fail what is slower,
/// later, dearer or wrong
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_CODES)]
pub(super) struct RegressArgs {
    /// What heads are held against: a branch, a tag, a commit, or a binary as file:PATH
    #[arg(long, value_name = "REF", required_unless_present_any = ["results", "self_check"])]
    pub base: Option<String>,
    /// What is held against the base, likewise; may be repeated [default: the working tree]
    #[arg(long = "head", value_name = "REF", conflicts_with_all = ["results", "self_check"])]
    pub heads: Vec<String>,
    /// Judge results that were made elsewhere: a folder per block in DIR, with base.json and head.json
    #[arg(long, value_name = "DIR", conflicts_with_all = ["base", "self_check"])]
    pub results: Option<PathBuf>,
    /// Measure 20 blocks of the base, or the working tree, against itself, and print how often the gate
    /// would raise a false alarm on this machine and the smallest change that it would see
    #[arg(long)]
    pub self_check: bool,
    /// Name in the catalog or path of a .toml file
    #[arg(long, value_name = "SCENARIO", default_value = "gate")]
    pub scenario: String,
    /// Engine to run instead of the scenario's own, with its parameters if any
    #[arg(long, value_name = "NAME")]
    pub engine: Option<String>,
    /// Blocks until the first look; the second is at twice as many. With fewer than 4 no metric can
    /// fail, so that only a broken leg or audit does
    #[arg(long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=50))]
    pub blocks: u32,
    /// Percent of all cores above which steal, or CPU of other processes, makes a block void; at 100
    /// nothing does, missed samples and a busy driver included
    #[arg(long, value_name = "PERCENT", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    pub void_above: u32,
    /// Let an inconclusive head fail too
    #[arg(long)]
    pub strict: bool,
    /// Let a head fail whose instruction count of a benchmark rises by more than 5 %
    #[arg(long, conflicts_with_all = ["results", "self_check"])]
    pub strict_instructions: bool,
    /// Do not count instructions, which takes a build of the benchmarks per side
    #[arg(long, conflicts_with = "strict_instructions")]
    pub no_instructions: bool,
    /// When buyers are told yes: after the broker's confirm, or already after the publish
    #[arg(long, value_parser = super::bench_args::acks(), value_name = "ACK")]
    pub ack: Option<Ack>,
    /// Change a setting of the roles on every side, for example mq.order_batch_size=500
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<Setting>,
    /// Write the verdict as Markdown, for a pull request
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Write the verdict as JUnit XML, for a CI's own page
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Print every table, not only the first screen
    #[arg(long)]
    pub details: bool,
    /// Open the result's page in a browser
    #[arg(long)]
    pub open: bool,
    /// A name for the result
    #[arg(long, value_name = "NAME", value_parser = super::bench_args::plain_name)]
    pub save: Option<String>,
    /// Folder for the result and its summary [default: reports/out]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Also write the result to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    #[command(flatten)]
    pub stack: StackOptions,
}

impl RegressArgs {
    pub(super) fn options(&self) -> anyhow::Result<RegressOptions> {
        let mut scenario = catalog::load(&self.scenario)?;
        if let Some(engine) = &self.engine {
            scenario.engines = vec![engine.clone()];
        }
        scenario.ack = self.ack.clone().unwrap_or(scenario.ack);
        scenario
            .check()
            .map_err(|broken| UsageError(broken.message))?;
        Ok(RegressOptions {
            what: self.what(),
            rules: self.rules(),
            strict: self.strict,
            counting: match (self.strict_instructions, self.no_instructions) {
                (true, _) => Counting::Judges,
                (false, true) => Counting::No,
                (false, false) => Counting::Informs,
            },
            markdown: self.markdown.clone(),
            junit: self.junit.clone(),
            bench: self.bench(scenario),
        })
    }

    fn bench(&self, scenario: Scenario) -> BenchOptions {
        BenchOptions {
            scenarios: vec![scenario],
            // None may be replaced by another: each side must run the same.
            engines_by_hand: true,
            program: None,
            stack: self.stack.clone(),
            overrides: self.settings.iter().map(Setting::entry).collect(),
            expectations: Vec::new(),
            name: self.save.clone(),
            details: self.details,
            profile: false,
            files: Files {
                folder: self.out.clone(),
                json: self.json.clone(),
                hgrm: false,
                open: self.open,
            },
            command: recorded(std::env::args().skip(1)),
        }
    }

    fn what(&self) -> What {
        match (&self.results, &self.base) {
            (Some(folder), _) => What::Results(folder.clone()),
            (None, base) if self.self_check => What::SelfCheck { base: base.clone() },
            (None, base) => What::Builds {
                base: base.clone().unwrap_or_default(),
                heads: self.heads.clone(),
            },
        }
    }

    fn rules(&self) -> Rules {
        let mut rules = Rules::default();
        for (times, look) in (1..).zip(&mut rules.looks) {
            *look = Look {
                blocks: self.blocks * times,
                ..*look
            };
        }
        let share = f64::from(self.void_above) / 100.0;
        rules.void.steal_share_max = share;
        rules.void.foreign_share_max = share;
        if self.void_above == 100 {
            rules.void = VoidLimits::NONE;
        }
        if self.strict_instructions {
            rules.strict_instructions = Some(STRICT_RATIO_MAX.ln());
        }
        rules
    }
}
