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
mod progress;
mod record;
mod redis_cleanup;
mod result_files;
mod roles;
mod run_legs;
mod stock_inspector;
mod subjects;
pub mod system_binary;
mod timestamp;

pub use expectations::failure;
pub use interrupt::{Interrupt, Interrupted};
pub(crate) use plan::{described, expected_time, in_words};
pub use result_files::Files;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use reports::expect::Expected;
use reports::result::{DriverKind, Run};
use reports::view;

use self::leg::Profiling;
use self::lineup::Lineup;
use self::progress::say;
use self::run_legs::RunContext;
use self::subjects::SubjectPlan;
use self::system_binary::EngineEntry;
use crate::ghz::Ghz;
use crate::profile::Profiler;
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

/// Runs the scenario, and prints and writes the result. An error means that no leg was begun.
/// Whatever happens later is part of the result, and [`failure`] says whether the run is a success.
pub async fn run(options: &BenchOptions, interrupt: &Interrupt) -> anyhow::Result<Run> {
    let asked_for = options.clone();
    let built = tokio::task::spawn_blocking(move || built(&asked_for));
    let (program, known) = built.await??;
    let profiler = options.profile.then(Profiler::find).transpose()?;
    if uses_ghz(&options.scenario) {
        Ghz::find()?;
    }
    let choice = interrupt.cut_short(Choice::of(&options.stack)).await?;
    let place = choice.place();
    let lineup = line_up(options, &known, place, choice.is_fallback())?;
    let scenario = lineup.scenario(&options.scenario);
    let stack = interrupt
        .cut_short(Stack::start_chosen(&limited(options), &choice))
        .await?;
    if let Some(note) = stack.limits().note() {
        say(&format!("limits: {note}"));
    }
    say(&format!("stack: {}", stack.why()));
    lineup.remarks().iter().for_each(|remark| say(remark));
    let build = record::system_build(&program)?;
    let subjects = subjects::subjects(&scenario, &known, &options.overrides, &build);
    let mut run = record::begin(options, &scenario, &stack, &subjects, &lineup, &build)?;
    let context = RunContext {
        stack: &stack,
        program: &program,
        scenario: &scenario,
        subjects: &subjects,
        interrupt,
        keep: options.stack.keep,
        profiling: profiler.map(|profiler| Profiling {
            profiler,
            stem: options.files.stem(&run),
        }),
    };
    Box::pin(run_legs::run_legs(&context, &mut run)).await;
    if let Err(error) = stack.stop().await {
        run.error = Some(format!("the stack did not stop in order: {error:#}"));
    }
    // The bounds on speed were set for the stack with servers; what is correct is the same on every
    // stack.
    let wanted = expectations::wanted(
        &scenario.expectations,
        &options.expectations,
        place == Place::Embedded,
    );
    run.expectations = expectations::expectations(&wanted, &run);
    run.finished_unix_us = timestamp::now_unix_us();
    finish(&run, options)?;
    Ok(run)
}

/// Builds the system's binary, and returns its path with the engines that it knows. An error if it
/// refuses an engine of the scenario or a setting.
fn built(options: &BenchOptions) -> anyhow::Result<(PathBuf, Vec<EngineEntry>)> {
    let scenario = &options.scenario;
    let program = system_binary::build()?;
    if let Some(refusal) = system_binary::settings_refusal(&program, &options.overrides)? {
        return Err(CannotRun(format!("--set: {refusal}")).into());
    }
    for variant in &scenario.variants {
        let settings = variant.settings_of_roles();
        if let Some(refusal) = system_binary::settings_refusal(&program, &settings)? {
            return Err(CannotRun(format!("variant {}: {refusal}", variant.name)).into());
        }
    }
    let smallest = scenario
        .sales()
        .iter()
        .map(|sale| sale.total)
        .min()
        .unwrap_or(i64::MAX);
    if let Some(refusal) = system_binary::refusal(&program, scenario, smallest, &options.overrides)?
    {
        return Err(CannotRun(refusal).into());
    }
    let known = system_binary::engines(&program)?;
    Ok((program, known))
}

fn uses_ghz(scenario: &Scenario) -> bool {
    let variants = scenario.all_variants();
    let drivers = variants
        .iter()
        .filter_map(|variant| variant.driver.as_ref());
    drivers
        .chain([&scenario.driver])
        .any(|kind| *kind == DriverKind::Ghz)
}

/// The stack with the resources that the scenario wants it to have.
fn limited(options: &BenchOptions) -> StackOptions {
    StackOptions {
        limits: options.scenario.limits.clone().unwrap_or_default(),
        ..options.stack.clone()
    }
}

fn line_up(
    options: &BenchOptions,
    known: &[EngineEntry],
    place: Place,
    is_fallback: bool,
) -> Result<Lineup, CannotRun> {
    let by_hand = options.engines_by_hand;
    lineup::line_up(&options.scenario, by_hand, known, place, is_fallback)
}

/// What [`run`] would do on the stack that was asked for. Builds the system's binary, but starts
/// nothing and writes nothing.
pub fn plan(options: &BenchOptions) -> anyhow::Result<String> {
    let (program, known) = built(options)?;
    let place = Place::asked_for(&options.stack);
    let lineup = line_up(options, &known, place, false)?;
    let scenario = lineup.scenario(&options.scenario);
    let build = record::system_build(&program)?;
    let subjects: Vec<SubjectPlan> =
        subjects::subjects(&scenario, &known, &options.overrides, &build);
    Ok(plan::text(
        &scenario,
        &subjects,
        &options.stack,
        &lineup.remarks(),
        &record::shown(&options.overrides),
    ))
}

/// The first screen is printed after the files are written, so that it can say where they are; a
/// full disk does not hide the result.
fn finish(run: &Run, options: &BenchOptions) -> anyhow::Result<()> {
    let written = result_files::write(run, &options.files);
    let paths: Vec<String> = written
        .iter()
        .flatten()
        .map(|path| shown_path(path))
        .collect();
    let screen = screen();
    show(&view::first_screen(run, screen, &paths));
    if options.details {
        show(&view::details(run, screen));
    }
    written.map(|_| ())
}

/// Relative to the current folder where it lies below it.
fn shown_path(path: &std::path::Path) -> String {
    let here = std::env::current_dir().ok();
    let below = here
        .as_deref()
        .and_then(|here| path.strip_prefix(here).ok());
    below.unwrap_or(path).display().to_string()
}

/// Width and colour of standard output; 80 columns where it is no terminal.
fn screen() -> view::Screen {
    let terminal = console::Term::stdout();
    let is_terminal = std::io::stdout().is_terminal();
    let columns = if is_terminal { terminal.size().1 } else { 0 };
    view::Screen {
        columns: usize::from(columns.max(80)),
        colour: is_terminal && console::colors_enabled(),
    }
}

/// If standard output is closed, the files must be written all the same.
fn show(text: &str) {
    let _ = write!(std::io::stdout(), "{text}");
}
