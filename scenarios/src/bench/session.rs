//! What every kind of run shares: before its first leg the stack is started and the result begun, and
//! after its last one the stack is stopped, the legs are held against what was expected of them, and
//! the result is written and shown.

use std::io::{IsTerminal, Write};

use reports::result::{Ack, DriverKind, Run, RunKind};
use reports::view;

use super::lineup::{self, Lineup};
use super::program::Program;
use super::progress::say;
use super::record::Ground;
use super::subjects::{self, SubjectPlan};
use super::{BenchOptions, CannotRun, Interrupt, expectations, record, result_files, timestamp};
use crate::ghz::Ghz;
use crate::scenario::Scenario;
use crate::stack::{Choice, Place, Stack, StackOptions};

/// A scenario with the subjects that run it.
#[derive(Debug)]
pub(super) struct ScenarioPlan {
    pub scenario: Scenario,
    pub subjects: Vec<SubjectPlan>,
}

/// A run whose stack is up.
pub(super) struct Session {
    pub stack: Stack,
    pub scenarios: Vec<ScenarioPlan>,
    pub run: Run,
    place: Place,
}

impl Session {
    /// Starts the stack and begins the result.
    ///
    /// # Errors
    /// When something is missing that the run needs, or an engine cannot run on this stack.
    pub(super) async fn begin(
        options: &BenchOptions,
        programs: &[Program],
        kind: RunKind,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        if options
            .scenarios
            .iter()
            .any(|scenario| scenario.uses_driver(&DriverKind::Ghz))
        {
            Ghz::find()?;
        }
        let choice = interrupt.cut_short(Choice::of(&options.stack)).await?;
        let place = choice.place();
        let planned = line_up(options, programs, place, choice.is_fallback())?;
        let stack = interrupt
            .cut_short(Stack::start_chosen(&limited(options), &choice))
            .await?;
        if let Some(note) = stack.limits().note() {
            say(&format!("limits: {note}"));
        }
        say(&format!("stack: {}", stack.why()));
        planned.remarks.iter().for_each(|remark| say(remark));
        let scenarios = planned.scenarios;
        let ack = scenarios.first().map(|it| it.scenario.ack.clone());
        let ground = Ground::of(options, &stack, &ack.unwrap_or(Ack::Confirmed));
        let mut run = record::begin(options, &scenarios, ground, kind)?;
        run.subjects.extend(planned.skipped);
        Ok(Self {
            stack,
            scenarios,
            run,
            place,
        })
    }

    /// Records the subjects of binaries of which no leg is run, and returns their ids.
    pub(super) fn add_identical(
        &mut self,
        options: &BenchOptions,
        identical: &[Program],
    ) -> anyhow::Result<Vec<String>> {
        let planned = line_up(options, identical, self.place, false)?;
        let subjects = planned.scenarios.into_iter().flat_map(|it| it.subjects);
        let records: Vec<_> = subjects.map(|subject| subject.record).collect();
        let ids = records.iter().map(|record| record.id.clone()).collect();
        self.run.subjects.extend(records);
        Ok(ids)
    }

    /// Stops the stack, judges the run by what is expected of its legs, writes the result and shows
    /// its first screen.
    ///
    /// # Errors
    /// When the result cannot be written.
    pub(super) async fn end(self, options: &BenchOptions) -> anyhow::Result<Run> {
        let Self {
            stack,
            scenarios,
            mut run,
            place,
        } = self;
        if let Err(error) = stack.stop().await {
            run.error = Some(format!("the stack did not stop in order: {error:#}"));
        }
        for ScenarioPlan { scenario, .. } in &scenarios {
            // The bounds on speed were set for the stack with servers; what is correct is the same on
            // every stack.
            let wanted = expectations::wanted(
                &scenario.expectations,
                &options.expectations,
                place == Place::Embedded,
            );
            let held = expectations::expectations(&wanted, &run, &scenario.name);
            run.expectations.extend(held);
        }
        run.finished_unix_us = timestamp::now_unix_us();
        finish(&run, options)?;
        Ok(run)
    }
}

/// The scenarios with their subjects, and what of them cannot run here.
pub(super) struct Planned {
    pub scenarios: Vec<ScenarioPlan>,
    pub skipped: Vec<reports::result::Subject>,
    /// What the user should know before the first leg.
    pub remarks: Vec<String>,
}

/// # Errors
/// When an engine cannot run in this place and may not be left out.
pub(super) fn line_up(
    options: &BenchOptions,
    programs: &[Program],
    place: Place,
    is_fallback: bool,
) -> Result<Planned, CannotRun> {
    let mut planned = Planned {
        scenarios: Vec::new(),
        skipped: Vec::new(),
        remarks: Vec::new(),
    };
    for asked_for in &options.scenarios {
        let mut subjects = Vec::new();
        let mut scenario = asked_for.clone();
        for program in programs {
            let by_hand = options.engines_by_hand;
            let lineup = lineup::line_up(asked_for, by_hand, &program.known, place, is_fallback)?;
            scenario = lineup.scenario(asked_for);
            subjects.extend(subjects::subjects(&scenario, program, &options.overrides));
            planned.add(&lineup, program);
        }
        planned.scenarios.push(ScenarioPlan { scenario, subjects });
    }
    Ok(planned)
}

impl Planned {
    /// What is skipped in one scenario is skipped in every other one, and said once.
    fn add(&mut self, lineup: &Lineup, program: &Program) {
        for skipped in &lineup.skipped {
            let skipped = subjects::skipped(skipped, program);
            if !self.skipped.iter().any(|known| known.id == skipped.id) {
                self.skipped.push(skipped);
            }
        }
        for remark in lineup.remarks() {
            if !self.remarks.contains(&remark) {
                self.remarks.push(remark);
            }
        }
    }
}

/// The stack with the resources that the scenarios want it to have; they were checked to want the
/// same.
fn limited(options: &BenchOptions) -> StackOptions {
    let limits = options.scenarios.first().and_then(|it| it.limits.clone());
    StackOptions {
        limits: limits.unwrap_or_default(),
        ..options.stack.clone()
    }
}

/// The first screen is printed after the files are written, so that it can say where they are; a
/// full disk does not hide the result.
pub(crate) fn finish(run: &Run, options: &BenchOptions) -> anyhow::Result<()> {
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
    let page = written
        .iter()
        .flatten()
        .find(|path| has_ending(path, "html"));
    if let Some(page) = page.filter(|_| options.files.open) {
        say(&crate::browser::open(page));
    }
    written.map(|_| ())
}

fn has_ending(path: &std::path::Path, ending: &str) -> bool {
    path.extension().is_some_and(|own| own == ending)
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
pub(crate) fn screen() -> view::Screen {
    let terminal = console::Term::stdout();
    let is_terminal = std::io::stdout().is_terminal();
    let columns = if is_terminal { terminal.size().1 } else { 0 };
    view::Screen {
        columns: usize::from(columns.max(80)),
        colour: is_terminal && console::colors_enabled(),
    }
}

/// If standard output is closed, the files must be written all the same.
pub(crate) fn show(text: &str) {
    let _ = write!(std::io::stdout(), "{text}");
}
