//! `lab bench`: builds the system, starts the stack, runs the legs of all engines interleaved over
//! rounds, holds the result against the scenario's expectations, and writes it. The stack goes down
//! whatever happens.

mod committed_units;
mod driver;
mod durable_latency;
mod expectations;
mod interrupt;
mod leg;
mod lineup;
mod machine;
mod namespace;
pub mod order;
mod plan;
mod process_usage;
mod progress;
mod redis_cleanup;
mod result_files;
mod roles;
mod stock_inspector;
pub mod system_binary;
mod timestamp;

pub use expectations::failure;
pub use interrupt::{Interrupt, Interrupted};

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use reports::model::{Leg, RunResult, SCHEMA, StackRecord};
use reports::render::as_text;

use self::leg::LegContext;
use self::progress::{Progress, say};
use self::system_binary::EngineEntry;
use crate::scenario::Scenario;
use crate::stack::{Choice, Place, Stack, StackOptions};

#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// The scenario, with the options of the command line applied and checked.
    pub scenario: Scenario,
    /// The engines come from the command line, so none may be replaced by another if it cannot run.
    pub engines_by_hand: bool,
    pub stack: StackOptions,
    /// Settings of the roles that the user changed: `SECKILL__SECTION__KEY` and value.
    pub overrides: BTreeMap<String, String>,
    /// Folder of the results, instead of `reports/out`.
    pub out: Option<PathBuf>,
    /// A further file for the result.
    pub json: Option<PathBuf>,
    /// The command line, without passwords, for the record.
    pub command: String,
}

/// The run that was asked for is impossible: the system's binary refuses an engine, or an engine
/// cannot run on this stack. This is wrong usage, but it is found only after the build.
#[derive(Debug)]
pub struct CannotRun(pub String);

impl std::error::Error for CannotRun {}

impl std::fmt::Display for CannotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs the scenario, and prints and writes the result. An error means that no leg was begun.
/// Whatever happens later is part of the result, and [`failure`] says whether the run is a success.
pub async fn run(options: &BenchOptions, interrupt: &Interrupt) -> anyhow::Result<RunResult> {
    let asked_for = (options.scenario.clone(), options.overrides.clone());
    let built = tokio::task::spawn_blocking(move || built(&asked_for.0, &asked_for.1));
    let (program, known) = built.await??;
    let choice = interrupt.cut_short(Choice::of(&options.stack)).await?;
    let (place, is_fallback) = (choice.place(), choice.is_fallback());
    let lineup = lineup::line_up(
        &options.scenario,
        options.engines_by_hand,
        &known,
        place,
        is_fallback,
    )?;
    let scenario = &Scenario {
        engines: lineup.engines.clone(),
        ..options.scenario.clone()
    };
    let started_unix_us = timestamp::now_unix_us();
    let stack = interrupt
        .cut_short(Stack::start_chosen(&options.stack, &choice))
        .await?;
    say(&format!("stack: {}", stack.why()));
    lineup.remarks().iter().for_each(|remark| say(remark));
    let tag = format!("{:06x}", rand::random::<u32>() & 0x00ff_ffff);
    let mut result = RunResult {
        schema: SCHEMA,
        id: format!(
            "{}-{}-{tag}",
            timestamp::compact(started_unix_us),
            scenario.name
        ),
        started_at: timestamp::rfc3339(started_unix_us),
        finished_at: String::new(),
        complete: false,
        tool: machine::tool(system_binary::workspace().as_deref()),
        machine: machine::machine(),
        command: options.command.clone(),
        scenario: scenario.record(),
        stack: StackRecord {
            kind: stack.kind().to_owned(),
            why: stack.why().to_owned(),
            settings: stack.settings().clone(),
            overrides: shown(&options.overrides),
            skipped: lineup.skipped,
        },
        ack: scenario.ack,
        legs: Vec::new(),
        expectations: Vec::new(),
        error: None,
    };
    let context = LegContext {
        stack: &stack,
        program: &program,
        scenario,
        overrides: &options.overrides,
        interrupt,
        progress: &Progress::of_run(plan::legs(scenario).len(), None),
        run: &format!("lab{tag}"),
        keep: options.stack.keep,
    };
    result.legs = Box::pin(run_legs(&context)).await;
    if let Err(error) = stack.stop().await {
        result.error = Some(format!("the stack did not stop in order: {error:#}"));
    }
    let planned = plan::legs(scenario).len();
    result.complete = result.legs.len() == planned && result.legs.iter().all(|leg| leg.complete);
    // The bounds on speed were set for the stack with servers; what is correct is the same on every
    // stack.
    let wanted = if place == Place::Embedded {
        scenario.expectations.without_speed()
    } else {
        scenario.expectations
    };
    result.expectations = expectations::expectations(&wanted, &result.legs);
    result.finished_at = timestamp::rfc3339(timestamp::now_unix_us());
    finish(&result, options)?;
    Ok(result)
}

/// Builds the system's binary, and returns its path with the engines that it knows. An error if it
/// refuses an engine of the scenario, or a setting of the roles.
fn built(
    scenario: &Scenario,
    overrides: &BTreeMap<String, String>,
) -> anyhow::Result<(PathBuf, Vec<EngineEntry>)> {
    let program = system_binary::build()?;
    if let Some(refusal) = system_binary::settings_refusal(&program, overrides)? {
        return Err(CannotRun(format!("--set: {refusal}")).into());
    }
    let smallest = scenario
        .sales
        .iter()
        .map(|sale| sale.total)
        .min()
        .unwrap_or(i64::MAX);
    if let Some(refusal) = system_binary::refusal(&program, &scenario.engines, smallest, overrides)?
    {
        return Err(CannotRun(refusal).into());
    }
    let known = system_binary::engines(&program)?;
    Ok((program, known))
}

/// What [`run`] would do on the stack that was asked for. Builds the system's binary, but starts
/// nothing and writes nothing.
pub fn plan(options: &BenchOptions) -> anyhow::Result<String> {
    let (_, known) = built(&options.scenario, &options.overrides)?;
    let place = Place::asked_for(&options.stack);
    let lineup = lineup::line_up(
        &options.scenario,
        options.engines_by_hand,
        &known,
        place,
        false,
    )?;
    let scenario = Scenario {
        engines: lineup.engines.clone(),
        ..options.scenario.clone()
    };
    Ok(plan::text(
        &scenario,
        &options.stack,
        &lineup.remarks(),
        &shown(&options.overrides),
    ))
}

/// Runs one leg after the other, until the last one, the first that fails, or an interrupt. What
/// broke one leg would break the next one too.
async fn run_legs(context: &LegContext<'_>) -> Vec<Leg> {
    let plans = plan::legs(context.scenario);
    let mut legs = Vec::with_capacity(plans.len());
    for plan in &plans {
        if context.interrupt.is_raised() {
            break;
        }
        let title = match context.scenario.rounds {
            1 => plan.engine.to_owned(),
            _ => format!("{}, round {}", plan.engine, plan.round),
        };
        context.progress.leg(&title);
        let leg = Box::pin(leg::run(context, *plan)).await;
        let failed = leg.error.is_some();
        legs.push(leg);
        if failed {
            break;
        }
    }
    legs
}

/// Settings as results and plans show them, without passwords.
fn shown(overrides: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let shown = |(key, value): (&String, &String)| {
        let both = masking::masked(&format!("{key}={value}"));
        let value = both.strip_prefix(&format!("{key}=")).unwrap_or(&both);
        (key.clone(), value.to_owned())
    };
    overrides.iter().map(shown).collect()
}

/// The tables are printed before the files are written, so that a full disk does not hide the
/// result.
fn finish(result: &RunResult, options: &BenchOptions) -> anyhow::Result<()> {
    show(&as_text(result));
    for path in result_files::write(result, options.out.as_deref(), options.json.as_deref())? {
        show(&format!("written: {}", path.display()));
    }
    Ok(())
}

/// If standard output is closed, the files must be written all the same.
fn show(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
