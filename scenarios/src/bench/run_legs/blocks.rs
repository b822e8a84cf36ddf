//! Blocks of a comparison of builds: in each, one leg of the base and one of every head of which
//! nothing is decided yet, in an order that changes from block to block. Before them three saturating
//! legs of the base say at which rate the open phases run. How many blocks there are,
//! [`reports::gate`] decides.

use std::collections::BTreeMap;
use std::time::Duration;

use reports::gate::{Judged, Next, Rules, judge, void_reason};
use reports::result::{AuditReport, AuditVerdict, Leg, Pair, Phase, Purpose, Run};

use super::{KnownRates, RunContext, Runner, Turn};
use crate::bench::order::round_orders;
use crate::bench::plan::{self, LegKind};
use crate::bench::progress::{Progress, say};
use crate::bench::session::ScenarioPlan;
use crate::bench::subjects::SubjectPlan;
use crate::scenario::{BASE, Scenario};

/// Legs of the base whose median throughput the rate is a share of.
const CALIBRATIONS: u32 = 3;
/// Orders that are made at once; more than a comparison has blocks, void ones included.
const ORDERS: usize = 200;
/// Why a block does not count that the user ended.
const INTERRUPTED: &str = "interrupted";
/// Why a block is run once more in which a head's leg broke for the first time: it may have been an
/// accident. The second time is the head's own.
const BROKE_ONCE: &str = "broke_once";
/// A phase may take so many times as long as it would take the base.
const SLOWER_MAX: u32 = 10;

/// What is compared, and how strictly.
#[derive(Debug)]
pub(in crate::bench) struct BlockPlan<'a> {
    pub rules: &'a Rules,
    /// Ratios of instruction counts by head and benchmark.
    pub instructions: &'a BTreeMap<String, BTreeMap<String, f64>>,
    /// Ids of heads that are the base's bytes, of which no leg is run.
    pub identical: &'a [String],
    pub seed: u64,
}

/// Runs the calibration and the blocks of the only scenario, whose first subject is the base, and
/// judges them. What the run could not do is in its error and in the gate.
pub(in crate::bench) async fn run_blocks(
    context: &RunContext<'_>,
    plan: &BlockPlan<'_>,
    run: &mut Run,
) {
    let [scenario] = context.scenarios else {
        run.error = Some("a comparison of builds has one scenario".to_owned());
        return;
    };
    let expected_blocks = plan.rules.looks.first().map_or(0, |look| look.blocks);
    let legs = CALIBRATIONS as usize + expected_blocks as usize * scenario.subjects.len();
    let blocks = Blocks {
        runner: Runner {
            context,
            progress: Progress::of_run(legs, Some(plan::expected_leg(&scenario.scenario))),
        },
        plan,
        scenario,
    };
    let rate_per_s = Box::pin(blocks.run(run)).await.unwrap_or(0.0);
    let why = match (&run.error, context.interrupt.is_raised()) {
        (Some(error), _) => error.clone(),
        (None, true) => INTERRUPTED.to_owned(),
        (None, false) => "the run ended early".to_owned(),
    };
    // A head's leg that broke answers the question; it is no part of the answer that is missing.
    run.complete = run.error.is_none() && !context.interrupt.is_raised();
    run.gate = Some(blocks.judged(run, rate_per_s).cut_short(&why));
}

/// Place of a leg in the run of blocks.
#[derive(Clone, Copy)]
struct Place {
    block: u32,
    attempt: u32,
    /// Number of the attempt among those of all blocks, from 0.
    turn: usize,
}

struct Blocks<'a> {
    runner: Runner<'a>,
    plan: &'a BlockPlan<'a>,
    scenario: &'a ScenarioPlan,
}

impl Blocks<'_> {
    /// Runs blocks until all is decided, or nothing can be any more. The rate of the open phase; none
    /// where it was not found.
    async fn run(&self, run: &mut Run) -> Option<f64> {
        let (scenario, known) = self.calibrated(run).await?;
        let rate_per_s = offered_per_s(&scenario, &known);
        run.scenarios = vec![scenario.record()];
        say(&format!("open phase at {rate_per_s:.0}/s"));
        let mut place = Place {
            block: 1,
            attempt: 1,
            turn: 0,
        };
        loop {
            let judged = self.judged(run, rate_per_s);
            if !matches!(judged.next, Next::Blocks(_)) {
                return Some(rate_per_s);
            }
            let before = run.legs.len();
            let is_whole =
                Box::pin(self.block(run, place, &judged.open_heads, &scenario, &known)).await;
            let (earlier, of_block) = run.legs.split_at(before);
            let void = self.void(earlier, of_block, run.machine.cores, is_whole);
            for leg in &mut run.legs[before..] {
                if let Some(pair) = &mut leg.pair {
                    pair.void.clone_from(&void);
                }
            }
            if !is_whole {
                return Some(rate_per_s);
            }
            place.turn += 1;
            match void {
                Some(reason) => {
                    say(&format!(
                        "block {} does not count: {reason}; once more",
                        place.block
                    ));
                    place.attempt += 1;
                }
                None => {
                    place.block += 1;
                    place.attempt = 1;
                }
            }
        }
    }

    /// The scenario with counts instead of times, and the base's throughput that they come from.
    async fn calibrated(&self, run: &mut Run) -> Option<(Scenario, KnownRates)> {
        let scenario = &self.scenario.scenario;
        let base = self.scenario.subjects.first()?;
        let mut throughputs = Vec::new();
        let mut disturbed = 0;
        while throughputs.len() < CALIBRATIONS as usize && disturbed <= self.plan.rules.voided_max {
            let turn = Turn {
                round: u32::try_from(throughputs.len() + 1).unwrap_or(u32::MAX),
                ..Turn::new(scenario, base, LegKind::Saturating)
            };
            let cores = run.machine.cores;
            let Some(leg) = self.runner.leg(run, turn, &KnownRates::new()).await else {
                break;
            };
            // Everything that follows runs at a rate that comes from these.
            match void_reason(&[leg], &base.id, cores, &self.plan.rules.void) {
                Some(reason) => {
                    disturbed += 1;
                    say(&format!(
                        "the calibration does not count: {reason}; once more"
                    ));
                }
                None => throughputs.extend(leg.measured().map(Phase::finished_per_s)),
            }
        }
        throughputs.sort_by(f64::total_cmp);
        let is_whole = throughputs.len() == CALIBRATIONS as usize;
        let base_per_s = throughputs.get(throughputs.len() / 2).copied();
        let Some(base_per_s) = base_per_s.filter(|per_s| is_whole && *per_s > 0.0) else {
            let broken = run.legs.iter().find_map(|leg| leg.error.clone());
            let why = broken.unwrap_or_else(|| match disturbed {
                0 => "it finished nothing".to_owned(),
                legs => format!("{legs} of its legs were disturbed by something else"),
            });
            run.error = Some(format!("the base could not be calibrated: {why}"));
            return None;
        };
        match scenario.with_counts(base_per_s) {
            Ok(counted) => Some((counted, KnownRates::from([(BASE.to_owned(), base_per_s)]))),
            Err(name) => {
                run.error = Some(format!(
                    "a rate of the scenario is a share of {name}, and a comparison of builds has only {BASE}"
                ));
                None
            }
        }
    }

    /// Runs one leg of the base and of every open head. False when legs are missing: on an interrupt,
    /// or when the stack is broken.
    async fn block(
        &self,
        run: &mut Run,
        place: Place,
        open_heads: &[String],
        scenario: &Scenario,
        known: &KnownRates,
    ) -> bool {
        let subjects = self.scenario.subjects.iter().enumerate();
        let takes_part = |(index, subject): &(usize, &SubjectPlan)| {
            *index == 0 || open_heads.contains(&subject.id)
        };
        let subjects: Vec<_> = subjects.filter(takes_part).collect();
        let orders = round_orders(subjects.len(), ORDERS, self.plan.seed);
        let order = orders.get(place.turn % ORDERS).cloned().unwrap_or_default();
        let numbers = order.iter().map(|at| u16::try_from(subjects[*at].0));
        let numbers: Vec<u16> = numbers.map(|it| it.unwrap_or(u16::MAX)).collect();
        for at in order {
            let turn = Turn {
                round: place.block,
                may_fail: true,
                phase_limit: Some(self.phase_limit()),
                ..Turn::new(scenario, subjects[at].1, LegKind::Whole)
            };
            let before = run.legs.len();
            let passed = self.runner.leg(run, turn, known).await.is_some();
            let Some(leg) = run.legs.get_mut(before) else {
                return false;
            };
            leg.pair = Some(Pair {
                block: place.block,
                order: numbers.clone(),
                attempt: place.attempt,
                void: None,
            });
            if !passed && let Err(error) = self.runner.context.stack.check().await {
                run.error = Some(format!("{error:#}"));
                return false;
            }
            if self.runner.context.interrupt.is_raised() {
                return false;
            }
        }
        true
    }

    fn void(
        &self,
        earlier: &[Leg],
        of_block: &[Leg],
        cores: u32,
        is_whole: bool,
    ) -> Option<String> {
        if !is_whole {
            return Some(INTERRUPTED.to_owned());
        }
        let base = self.scenario.subjects.first()?;
        let broke = |leg: &Leg| leg.subject != base.id && has_broken(leg);
        let is_first = |leg: &&Leg| {
            let again = |other: &&Leg| other.subject == leg.subject && has_broken(other);
            let mut earlier = earlier.iter().filter(|leg| leg.pair.is_some());
            broke(leg) && !earlier.any(|other| again(&other))
        };
        if of_block.iter().any(|leg| is_first(&leg)) {
            return Some(BROKE_ONCE.to_owned());
        }
        let legs: Vec<&Leg> = of_block.iter().collect();
        void_reason(&legs, &base.id, cores, &self.plan.rules.void)
    }

    /// A build that answers nearly nothing would take hours for the work of its base.
    fn phase_limit(&self) -> Duration {
        let scenario = &self.scenario.scenario;
        let times = scenario.phases.iter().filter_map(|phase| phase.end.time());
        let longest = times.max().unwrap_or(Duration::from_secs(60));
        longest * SLOWER_MAX + scenario.load.timeout
    }

    fn judged(&self, run: &Run, rate_per_s: f64) -> Judged {
        let ids = self.scenario.subjects.iter().map(|it| it.id.clone());
        let mut ids: Vec<String> = ids.collect();
        let heads = ids.split_off(ids.len().min(1));
        let heads: Vec<String> = heads
            .into_iter()
            .chain(self.plan.identical.to_vec())
            .collect();
        let base = ids.first().cloned().unwrap_or_default();
        let BlockPlan {
            rules,
            identical,
            instructions,
            ..
        } = self.plan;
        judge(
            run,
            rules,
            &base,
            &heads,
            rate_per_s,
            identical,
            instructions,
        )
    }
}

/// Whether a leg came to no end, for another reason than what its audit found.
fn has_broken(leg: &Leg) -> bool {
    let failed = |audit: &AuditReport| audit.verdict == AuditVerdict::Failed;
    leg.error.is_some() && !leg.audit.as_ref().is_some_and(failed)
}

/// Rate of the last open phase, 0 where there is none.
fn offered_per_s(scenario: &Scenario, known: &KnownRates) -> f64 {
    let open = scenario
        .phases
        .iter()
        .rfind(|phase| phase.purpose == Purpose::Measure && phase.arrival.is_open());
    let rate = open.map(|phase| phase.arrival.mean_rate(|name| known.get(name).copied()));
    rate.and_then(Result::ok).flatten().unwrap_or(0.0)
}
