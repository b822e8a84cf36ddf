//! `lab bench`: builds the system, starts the stack, runs the legs of all subjects interleaved over
//! rounds, holds the result against the scenario's expectations, and writes it. The stack goes down
//! whatever happens.

mod committed_units;
mod driver;
mod durable_latency;
mod expectations;
mod interrupt;
mod leg;
mod lineup;
mod namespace;
pub mod order;
mod plan;
mod program;
mod progress;
mod record;
mod redis_cleanup;
mod releases;
mod result_files;
mod roles;
mod run_legs;
mod session;
mod stock_inspector;
mod subjects;
pub mod system_binary;
mod timestamp;

pub use expectations::failure;
pub use interrupt::{Interrupt, Interrupted};
pub(crate) use plan::{described, expected_time, in_words};
pub use program::{Program, ProgramSide};
pub use result_files::{Files, replace};
pub(crate) use session::{finish, screen, show};

use std::collections::BTreeMap;
use std::path::PathBuf;

use reports::expect::Expected;
use reports::gate::{Rules, judge};
use reports::result::{Ack, Run, RunKind, Subject};

use self::leg::Profiling;
use self::record::Ground;
use self::run_legs::{BlockPlan, RunContext};
use self::session::Session;
use crate::profile::Profiler;
use crate::scenario::Scenario;
use crate::stack::{Place, StackOptions};

#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// The scenarios, with the options of the command line applied and checked; several are a matrix.
    pub scenarios: Vec<Scenario>,
    /// The engines come from the command line, so none may be replaced by another if it cannot run.
    pub engines_by_hand: bool,
    /// The system's binary; without it, the one that [`system_binary::build`] finds or builds.
    pub program: Option<PathBuf>,
    pub stack: StackOptions,
    /// Settings of the roles that the user changed: `SECKILL__SECTION__KEY` and value.
    pub overrides: BTreeMap<String, String>,
    /// What every leg must keep, beside what the scenario expects.
    pub expectations: Vec<Expected>,
    /// A name for the result.
    pub name: Option<String>,
    /// Print every table, not only the first screen.
    pub details: bool,
    /// Leave flame graphs beside the result.
    pub profile: bool,
    /// Where the result goes.
    pub files: Files,
    /// The command line, without passwords, for the record.
    pub command: Vec<String>,
}

/// The run that was asked for is impossible: the system's binary refuses an engine or a setting, or
/// an engine cannot run on this stack. This is wrong usage, but it is found only after the build.
#[derive(Debug)]
pub struct CannotRun(pub String);

impl std::error::Error for CannotRun {}

impl std::fmt::Display for CannotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs the scenarios, and prints and writes the result. An error means that no leg was begun.
/// Whatever happens later is part of the result, and [`failure`] says whether the run is a success.
pub async fn run(options: &BenchOptions, interrupt: &Interrupt) -> anyhow::Result<Run> {
    let asked_for = options.clone();
    if let Some(scenario) = options.scenarios.iter().find(|it| it.needs_base()) {
        return Err(CannotRun(format!(
            "the scenario {0} runs at a rate of its base, which only a comparison of builds has: lab regress --base REF \
             --scenario {0}",
            scenario.name
        ))
        .into());
    }
    let program = tokio::task::spawn_blocking(move || built(&asked_for)).await??;
    let profiler = options.profile.then(Profiler::find).transpose()?;
    let kind = match options.scenarios.as_slice() {
        [only] if only.search => RunKind::Search,
        [_] => RunKind::Bench,
        _ => RunKind::Matrix,
    };
    let mut session = Session::begin(options, &[program], kind, interrupt).await?;
    let context = RunContext {
        stack: &session.stack,
        scenarios: &session.scenarios,
        interrupt,
        keep: options.stack.keep,
        profiling: profiler.map(|profiler| Profiling {
            profiler,
            stem: options.files.stem(&session.run),
        }),
    };
    Box::pin(run_legs::run_legs(&context, &mut session.run)).await;
    session.end(options).await
}

/// Builds that are compared, and how strictly.
#[derive(Debug)]
pub struct Comparison {
    /// The base first, then every head whose bytes differ from the base's. Each has a side.
    pub programs: Vec<Program>,
    /// Heads that are the base's bytes, of which no leg is run.
    pub identical: Vec<Program>,
    pub rules: Rules,
    /// Ratios of instruction counts by the name of the head's side and of the benchmark.
    pub instructions: BTreeMap<String, BTreeMap<String, f64>>,
}

/// Compares builds in interleaved blocks of legs: one engine in one scenario. An error means that no
/// leg was begun. What was found is the gate of the result.
pub async fn compare(
    options: &BenchOptions,
    comparison: &Comparison,
    interrupt: &Interrupt,
) -> anyhow::Result<Run> {
    let programs = &comparison.programs;
    if programs.len() < 2 {
        return nothing_to_compare(options, comparison);
    }
    let mut session = Session::begin(options, programs, RunKind::Gate, interrupt).await?;
    let identical = session.add_identical(options, &comparison.identical)?;
    let context = RunContext {
        stack: &session.stack,
        scenarios: &session.scenarios,
        interrupt,
        keep: options.stack.keep,
        profiling: None,
    };
    let plan = BlockPlan {
        rules: &comparison.rules,
        instructions: &by_subject(&session.run.subjects, &comparison.instructions),
        identical: &identical,
        seed: session.run.seed,
    };
    Box::pin(run_legs::run_blocks(&context, &plan, &mut session.run)).await;
    session.end(options).await
}

/// Ratios of each head by the id of its subject instead of the name of its side.
fn by_subject(
    subjects: &[Subject],
    by_side: &BTreeMap<String, BTreeMap<String, f64>>,
) -> BTreeMap<String, BTreeMap<String, f64>> {
    let mut by_id = BTreeMap::new();
    for (side, ratios) in by_side {
        let is_its = |subject: &&Subject| subject.id.starts_with(&format!("{side}: "));
        if let Some(subject) = subjects.iter().find(is_its) {
            by_id.insert(subject.id.clone(), ratios.clone());
        }
    }
    by_id
}

/// Every head is the base's bytes, so that there is nothing to measure.
fn nothing_to_compare(options: &BenchOptions, comparison: &Comparison) -> anyhow::Result<Run> {
    let all = [&comparison.programs[..], &comparison.identical].concat();
    let place = Place::asked_for(&options.stack);
    let scenarios = session::line_up(options, &all, place, false)?.scenarios;
    let ack = options.scenarios.first().map(|it| it.ack.clone());
    let ground = Ground::none(options, &ack.unwrap_or(Ack::Confirmed));
    let mut run = record::begin(options, &scenarios, ground, RunKind::Gate)?;
    run.complete = true;
    let ids: Vec<String> = run.subjects.iter().map(|it| it.id.clone()).collect();
    let Some((base, heads)) = ids.split_first() else {
        anyhow::bail!("a comparison of builds has a base");
    };
    let instructions = BTreeMap::new();
    let judged = judge(
        &run,
        &comparison.rules,
        base,
        heads,
        0.0,
        heads,
        &instructions,
    );
    run.gate = Some(judged.cut_short("nothing was measured"));
    session::finish(&run, options)?;
    Ok(run)
}

/// Builds the system's binary, and asks it whether it takes what it will be given.
fn built(options: &BenchOptions) -> anyhow::Result<Program> {
    let path = options.program.clone();
    let program = Program::at(&path.map_or_else(system_binary::build, Ok)?)?;
    program.check(options)?;
    Ok(program)
}

/// What [`run`] would do on the stack that was asked for. Builds the system's binary, but starts
/// nothing and writes nothing.
pub fn plan(options: &BenchOptions) -> anyhow::Result<String> {
    let program = built(options)?;
    let place = Place::asked_for(&options.stack);
    let planned = session::line_up(options, &[program], place, false)?;
    Ok(plan::text(
        &planned.scenarios,
        &options.stack,
        &planned.remarks,
        &record::shown(&options.overrides),
    ))
}
