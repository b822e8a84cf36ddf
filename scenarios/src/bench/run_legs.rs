//! The legs of a run in their order: every subject once per round; before them, where a rate is a
//! share of the slowest subject's throughput, a calibration of each; in a search, whatever the
//! search asks for.

mod search;

use std::path::Path;

use reports::result::{Leg, Purpose, Run};

use super::interrupt::Interrupt;
use super::leg::{self, LegContext, Profiling};
use super::plan::{self, LegKind, PlannedLeg};
use super::progress::Progress;
use super::subjects::SubjectPlan;
use crate::scenario::Scenario;
use crate::stack::Stack;

pub(super) struct RunContext<'a> {
    pub stack: &'a Stack,
    pub program: &'a Path,
    pub scenario: &'a Scenario,
    pub subjects: &'a [SubjectPlan],
    pub interrupt: &'a Interrupt,
    pub keep: bool,
    pub profiling: Option<Profiling>,
}

/// Runs legs until the last one, the first that fails, or an interrupt. What broke one leg would
/// break the next one too; an engine that breaks the contract on purpose is expected to.
pub(super) async fn run_legs(context: &RunContext<'_>, run: &mut Run) {
    let planned = plan::count(context.scenario, context.subjects.len());
    let expected = plan::expected_leg(context.scenario);
    let runner = Runner {
        context,
        progress: Progress::of_run(planned, Some(expected)),
    };
    let all = match context.scenario.search {
        true => Box::pin(search::run(&runner, run)).await,
        false => Box::pin(runner.rounds(run)).await,
    };
    // A step of a search that broke was tried again.
    let may_break = |leg: &Leg| runner.may_break(leg) || leg.probe.is_some();
    run.complete = all && run.legs.iter().all(|leg| leg.complete || may_break(leg));
}

pub(super) struct Runner<'a> {
    context: &'a RunContext<'a>,
    progress: Progress,
}

impl Runner<'_> {
    /// Every subject once per round. False when legs are missing.
    async fn rounds(&self, run: &mut Run) -> bool {
        let RunContext {
            scenario, subjects, ..
        } = self.context;
        let mut slowest_per_s = None;
        if scenario.needs_slowest() {
            for subject in *subjects {
                let Some(leg) = self.leg(run, subject, 1, LegKind::Calibration, None).await else {
                    return false;
                };
                let throughput = calibrated_per_s(leg);
                slowest_per_s = match (slowest_per_s, throughput) {
                    (Some(slowest), Some(own)) => Some(f64::min(slowest, own)),
                    (slowest, own) => slowest.or(own),
                };
            }
        }
        for (subject, round) in plan::legs(subjects, scenario) {
            let kind = LegKind::Whole;
            if self
                .leg(run, subject, round, kind, slowest_per_s)
                .await
                .is_none()
            {
                return false;
            }
        }
        true
    }

    /// Runs one leg and adds it to the run; none when the run must end here.
    async fn leg<'r>(
        &self,
        run: &'r mut Run,
        subject: &SubjectPlan,
        round: u32,
        kind: LegKind,
        slowest_per_s: Option<f64>,
    ) -> Option<&'r Leg> {
        let context = self.context;
        if context.interrupt.is_raised() {
            return None;
        }
        let index = run.legs.len() + 1;
        let title = match kind {
            LegKind::Calibration => format!("{}, calibration", subject.id),
            LegKind::Probe { rate_per_s, .. } => format!("{} at {rate_per_s:.0}/s", subject.id),
            LegKind::Whole if context.scenario.rounds == 1 => subject.id.clone(),
            LegKind::Whole => format!("{}, round {round}", subject.id),
        };
        self.progress.leg(&title);
        let leg_context = LegContext {
            stack: context.stack,
            program: context.program,
            scenario: context.scenario,
            interrupt: context.interrupt,
            progress: &self.progress,
            run: &namespace_of(&run.id),
            keep: context.keep,
            is_tmpfs: run.machine.scratch.is_tmpfs,
            cores: run.machine.cores,
            profiling: context.profiling.as_ref(),
        };
        let plan = PlannedLeg {
            subject,
            round,
            index,
            kind,
        };
        let leg = Box::pin(leg::run(&leg_context, plan, slowest_per_s)).await;
        let ends_the_run = leg.error.is_some() && !self.may_break(&leg);
        run.legs.push(leg);
        if ends_the_run { None } else { run.legs.last() }
    }

    /// Whether a leg that broke its contract has done what it is for.
    fn may_break(&self, leg: &Leg) -> bool {
        let subject = self.context.subjects.iter().find(|it| it.id == leg.subject);
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
