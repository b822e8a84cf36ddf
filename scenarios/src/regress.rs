//! `lab regress`: holds builds of the system against a base, in interleaved blocks of legs on one
//! machine, and says whether one of them is slower, later, dearer or wrong. What is decided from the
//! blocks, and how, is in [`reports::gate`]; here builds are made, legs are run, and the verdict is
//! written where people and CI read it.

mod build;
pub mod commit;
pub mod instructions;
mod report;
mod results;
mod self_check;
mod sides;
mod source;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use reports::gate::{Rules, exit_code};
use reports::result::Purpose;

use self::report::Report;
use self::sides::{Workshop, side_of_base, sides_of_heads};
use crate::bench::{self, BenchOptions, Comparison, Interrupt, Program};
use crate::provenance::{self, ProgramKind};
use crate::scenario::Scenario;

/// Exit code when there is no verdict.
pub const NOT_MEASURED: u8 = 2;

/// Where a comparison cannot be made: a base that does not build, a scenario that is not for it,
/// results that do not fit each other. Always exit code 2.
#[derive(Debug)]
pub struct RegressError(pub String);

impl std::error::Error for RegressError {}

impl std::fmt::Display for RegressError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Debug)]
pub struct RegressOptions {
    /// One scenario with one engine, the stack, and where the result goes.
    pub bench: BenchOptions,
    pub what: What,
    pub rules: Rules,
    /// An inconclusive head fails too.
    pub strict: bool,
    pub counting: Counting,
    /// Where the verdict goes besides.
    pub markdown: Option<PathBuf>,
    pub junit: Option<PathBuf>,
}

/// Whether instructions are counted, besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    No,
    /// Where the tools for it are there; the counts only inform.
    Informs,
    /// A count that grows fails its head, and without counts there is no verdict.
    Judges,
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Builds of commits (`main`), or binaries (`file:/opt/seckill`); no head is the working tree.
    Builds { base: String, heads: Vec<String> },
    /// The base, or the working tree, with itself.
    SelfCheck { base: Option<String> },
    /// Results that were made elsewhere: a folder with one folder per block.
    Results(PathBuf),
}

/// Makes the comparison, prints and writes what it says, and returns the exit code: 0 when every head
/// passed or nothing could be said of it, 1 when one failed, [`NOT_MEASURED`] when there is no
/// verdict.
///
/// # Errors
/// Whatever kept the comparison from being made. That is no verdict either.
pub async fn run(options: &RegressOptions, interrupt: &Interrupt) -> anyhow::Result<u8> {
    let report = Report::begin(options)?;
    let ended = Box::pin(measured(options, &report, interrupt)).await;
    if let Err(error) = &ended {
        report.not_measured(&format!("{error:#}"))?;
    }
    ended
}

async fn measured(
    options: &RegressOptions,
    report: &Report<'_>,
    interrupt: &Interrupt,
) -> anyhow::Result<u8> {
    let run = match &options.what {
        What::Results(folder) => {
            let run = results::judged(folder, &options.rules, &options.bench)?;
            bench::finish(&run, &options.bench)?;
            run
        }
        What::Builds { base, heads } => {
            let comparison = compared(options, base.clone(), heads.clone()).await?;
            let run = Box::pin(bench::compare(&options.bench, &comparison, interrupt)).await?;
            must_be_the_same_still(&comparison)?;
            run
        }
        What::SelfCheck { base } => {
            let base = base.clone();
            return Box::pin(self_check::run(options, base, report, interrupt)).await;
        }
    };
    report.verdict(&run)?;
    let gate = run.gate.as_ref().context("a comparison has a gate")?;
    Ok(exit_code(gate, options.strict))
}

/// Builds what is compared, and asks every binary whether it takes what it will be given.
async fn compared(
    options: &RegressOptions,
    base: String,
    heads: Vec<String>,
) -> anyhow::Result<Comparison> {
    let bench = options.bench.clone();
    let rules = options.rules.clone();
    let counting = options.counting;
    let building = tokio::task::spawn_blocking(move || {
        check_scenario(only_scenario(&bench)?)?;
        let mut workshop = Workshop::default();
        let mut sides = vec![workshop.side(Some(&base), side_of_base())?];
        sides[0].program.check(&bench)?;
        for (number, of_head) in sides_of_heads(&heads).into_iter().enumerate() {
            let head = workshop.side(heads.get(number).map(String::as_str), of_head)?;
            head.program.check(&bench)?;
            sides.push(head);
        }
        let (base, heads) = sides.split_first().context("there is a base")?;
        let (identical, differing): (Vec<_>, Vec<_>) =
            heads.iter().partition(|head| head.is_identical_to(base));
        let instructions = match counting {
            Counting::No => BTreeMap::new(),
            Counting::Informs | Counting::Judges => workshop.counted(base, &differing, counting)?,
        };
        let programs = |sides: Vec<&sides::Built>| -> Vec<Program> {
            sides.into_iter().map(|side| side.program.clone()).collect()
        };
        let measured = [vec![base], differing].concat();
        anyhow::Ok(Comparison {
            programs: programs(measured),
            identical: programs(identical),
            rules,
            instructions,
        })
    });
    building.await?
}

/// Binaries that were given as files are run where they lie, and somebody may have built them anew in
/// the meantime.
fn must_be_the_same_still(comparison: &Comparison) -> anyhow::Result<()> {
    for program in &comparison.programs {
        let now = provenance::build_of(&program.path, ProgramKind::System)?;
        if now.sha256 != program.build.sha256 {
            let path = program.path.display();
            return Err(
                RegressError(format!("{path} was replaced while it was being measured")).into(),
            );
        }
    }
    Ok(())
}

fn only_scenario(bench: &BenchOptions) -> Result<&Scenario, RegressError> {
    match bench.scenarios.as_slice() {
        [only] => Ok(only),
        _ => Err(RegressError(
            "a comparison of builds has one scenario".to_owned(),
        )),
    }
}

/// A comparison needs the same work in every leg, and a leg that can be judged.
fn check_scenario(scenario: &Scenario) -> Result<(), RegressError> {
    let name = &scenario.name;
    let refuse = |why: &str| Err(RegressError(format!("the scenario {name} {why}")));
    if scenario.search {
        return refuse("searches a rate by itself, so its legs are not alike");
    }
    if scenario.engines.len() != 1 || scenario.all_variants().len() != 1 {
        return refuse(
            "has several subjects, and a comparison of builds has one; choose with --engine",
        );
    }
    let measures = |phase: &&crate::scenario::PhasePlan| phase.purpose == Purpose::Measure;
    let has_closed = scenario
        .phases
        .iter()
        .filter(measures)
        .any(|phase| !phase.arrival.is_open());
    if !has_closed {
        return refuse(
            "has no closed phase that measures, which the rate and the throughput come from",
        );
    }
    if scenario.phases[scenario.measured_phase()].arrival.is_open() {
        return refuse(
            "does not end with a closed phase, whose CPU counts until everything is drained",
        );
    }
    if scenario.calibration_phases() > 0 {
        return refuse(
            "calibrates in every leg, so that its builds would run at different rates; use \"% of base\"",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_whose_legs_are_not_alike_are_refused() {
        let refused = |name: &str, engine: &str| {
            let mut scenario = crate::catalog::load(name).expect("known");
            scenario.engines = vec![engine.to_owned()];
            check_scenario(&scenario).expect_err(name).to_string()
        };
        assert!(refused("capacity", "null").contains("searches a rate"));
        assert!(refused("acks", "lua-single-key").contains("several subjects"));
        assert!(refused("spike", "lua-single-key").contains("no closed phase"));
        assert!(refused("steady", "lua-single-key").contains("closed phase"));
        let gate = crate::catalog::load("gate").expect("known");
        assert!(check_scenario(&gate).is_ok());
    }

    #[test]
    fn counts_in_place_of_times_are_the_work_of_the_base() {
        let gate = crate::catalog::load("gate").expect("known");
        let counted = gate.with_counts(20_000.0).expect("rates of the base");
        let counts = counted.phases.iter().map(|phase| phase.end.requests());
        assert_eq!(
            counts.collect::<Vec<_>>(),
            [Some(60_000), Some(40_000), Some(80_000)]
        );
        let steady = crate::catalog::load("steady").expect("known");
        assert_eq!(steady.with_counts(1.0), Err("calibrate".to_owned()));
    }
}
