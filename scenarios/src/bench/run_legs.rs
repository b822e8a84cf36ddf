//! The legs of a run in their order: every subject once per round; before them, where a rate is a
//! share of the slowest subject's throughput, a calibration of each; in a search, whatever the
//! search asks for.

mod blocks;
mod search;

use std::collections::BTreeMap;
use std::time::Duration;

pub(super) use self::blocks::{BlockPlan, run_blocks};

use reports::result::{Leg, Purpose, Run};

use super::interrupt::Interrupt;
use super::leg::{self, KnownRates, LegContext, Profiling};
use super::plan::{self, LegKind, PlannedLeg};
use super::progress::Progress;
use super::session::ScenarioPlan;
use super::subjects::SubjectPlan;
use crate::scenario::{SLOWEST, Scenario};
use crate::stack::Stack;

pub(super) struct RunContext<'a> {
    pub stack: &'a Stack,
    pub scenarios: &'a [ScenarioPlan],
    pub interrupt: &'a Interrupt,
    pub keep: bool,
    pub profiling: Option<Profiling>,
}

/// Runs legs until the last one, the first that fails, or an interrupt. What broke one leg would
/// break the next one too; an engine that breaks the contract on purpose is expected to.
pub(super) async fn run_legs(context: &RunContext<'_>, run: &mut Run) {
    let planned = plan::count(context.scenarios);
    let expected = plan::expected_mean_leg(context.scenarios);
    let runner = Runner {
        context,
        progress: Progress::of_run(planned, Some(expected)),
    };
    let all = match context.scenarios {
        [plan] if plan.scenario.search => Box::pin(search::run(&runner, plan, run)).await,
        _ => Box::pin(runner.rounds(run)).await,
    };
    // A step of a search that broke was tried again.
    let may_break = |leg: &Leg| runner.may_break(leg) || leg.probe.is_some();
    run.complete = all && run.legs.iter().all(|leg| leg.complete || may_break(leg));
}

pub(super) struct Runner<'a> {
    context: &'a RunContext<'a>,
    progress: Progress,
}

/// What one leg runs.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    pub scenario: &'a Scenario,
    pub subject: &'a SubjectPlan,
    pub round: u32,
    pub kind: LegKind,
    /// The run goes on when it fails.
    pub may_fail: bool,
    /// A phase that takes longer breaks the leg.
    pub phase_limit: Option<Duration>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(scenario: &'a Scenario, subject: &'a SubjectPlan, kind: LegKind) -> Self {
        Self {
            scenario,
            subject,
            round: 1,
            kind,
            may_fail: false,
            phase_limit: None,
        }
    }
}

impl Runner<'_> {
    /// Every subject of every scenario once per round. False when legs are missing.
    async fn rounds(&self, run: &mut Run) -> bool {
        let scenarios = self.context.scenarios;
        let mut known = BTreeMap::new();
        for plan in scenarios {
            match self.slowest(run, plan).await {
                Some(rates) => drop(known.insert(&plan.scenario.name, rates)),
                None => return false,
            }
        }
        for (plan, subject, round) in plan::legs(scenarios) {
            let turn = Turn {
                round,
                ..Turn::new(&plan.scenario, subject, LegKind::Whole)
            };
            let Some(rates) = known.get(&plan.scenario.name) else {
                return false;
            };
            if self.leg(run, turn, rates).await.is_none() {
                return false;
            }
        }
        true
    }

    /// The lowest throughput of all subjects where a rate of the scenario asks for it, after a
    /// calibration of each; none when legs are missing.
    async fn slowest(&self, run: &mut Run, plan: &ScenarioPlan) -> Option<KnownRates> {
        let mut known = KnownRates::new();
        if !plan.scenario.needs_slowest() {
            return Some(known);
        }
        for subject in &plan.subjects {
            let turn = Turn::new(&plan.scenario, subject, LegKind::Calibration);
            let leg = self.leg(run, turn, &KnownRates::new()).await?;
            if let Some(own) = calibrated_per_s(leg) {
                let slowest = known.entry(SLOWEST.to_owned()).or_insert(own);
                *slowest = slowest.min(own);
            }
        }
        Some(known)
    }

    /// Runs one leg and adds it to the run; none when the run must end here.
    async fn leg<'r>(
        &self,
        run: &'r mut Run,
        turn: Turn<'_>,
        known: &KnownRates,
    ) -> Option<&'r Leg> {
        let context = self.context;
        if context.interrupt.is_raised() {
            return None;
        }
        let index = run.legs.len() + 1;
        self.progress.leg(&self.title(turn));
        let leg_context = LegContext {
            stack: context.stack,
            scenario: turn.scenario,
            interrupt: context.interrupt,
            progress: &self.progress,
            run: &namespace_of(&run.id),
            keep: context.keep,
            is_tmpfs: run.machine.scratch.is_tmpfs,
            cores: run.machine.cores,
            profiling: context.profiling.as_ref(),
        };
        let plan = PlannedLeg {
            subject: turn.subject,
            round: turn.round,
            index,
            kind: turn.kind,
            may_fail: turn.may_fail,
            phase_limit: turn.phase_limit,
        };
        let leg = Box::pin(leg::run(&leg_context, plan, known)).await;
        let ends_the_run = leg.error.is_some() && !self.may_break(&leg);
        run.legs.push(leg);
        if ends_the_run { None } else { run.legs.last() }
    }

    fn title(&self, turn: Turn<'_>) -> String {
        let subject = match self.context.scenarios {
            [_] => turn.subject.id.clone(),
            _ => format!("{}: {}", turn.scenario.name, turn.subject.id),
        };
        match turn.kind {
            LegKind::Calibration | LegKind::Saturating => format!("{subject}, calibration"),
            LegKind::Probe { rate_per_s, .. } => format!("{subject} at {rate_per_s:.0}/s"),
            LegKind::Whole if turn.scenario.rounds == 1 => subject,
            LegKind::Whole => format!("{subject}, round {}", turn.round),
        }
    }

    /// Whether a leg that broke its contract has done what it is for.
    fn may_break(&self, leg: &Leg) -> bool {
        let mut subjects = self.context.scenarios.iter().flat_map(|it| &it.subjects);
        let subject = subjects.find(|it| it.id == leg.subject);
        subject.is_some_and(SubjectPlan::is_unsafe) && leg.audit.is_some()
    }
}

/// Throughput of the last phase that calibrates.
fn calibrated_per_s(leg: &Leg) -> Option<f64> {
    let mut phases = leg.phases.iter().rev();
    let calibrated = phases.find(|phase| phase.purpose == Purpose::Calibrate)?;
    Some(calibrated.accepted_per_s())
}

/// Name of a run on the servers, letters and digits only: `lab4f21ac` of `20260102-030405-smoke-4f21ac`.
fn namespace_of(run_id: &str) -> String {
    format!("lab{}", run_id.rsplit('-').next().unwrap_or_default())
}
