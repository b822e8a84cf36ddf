//! `lab regress`: holds builds of the system against a base, in interleaved blocks of legs on one
//! machine, and says whether one of them is slower, later, dearer or wrong. What is decided from the
//! blocks, and how, is in [`reports::gate`]; here builds are made, legs are run, and the verdict is
//! written where people and CI read it.

mod build;
pub mod instructions;
mod report;
mod results;
mod source;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use reports::gate::{Look, Rules, differences, exit_code, self_check};
use reports::result::{Gate, Purpose, Run, Side};

use self::build::Builder;
use self::source::Source;
use crate::bench::system_binary::workspace;
use crate::bench::{self, BenchOptions, Comparison, Interrupt, Program, ProgramSide};
use crate::scenario::Scenario;

/// Exit code when there is no verdict.
pub const NOT_MEASURED: u8 = 2;
/// A side that is a binary and no commit.
const FILE: &str = "file:";
/// Blocks of a self-check.
const SELF_CHECK_BLOCKS: u32 = 20;

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
    let run = match &options.what {
        What::Results(folder) => {
            let run = results::judged(folder, &options.rules, &options.bench)?;
            bench::finish(&run, &options.bench)?;
            run
        }
        What::Builds { base, heads } => {
            let comparison = compared(options, base.clone(), heads.clone()).await?;
            Box::pin(bench::compare(&options.bench, &comparison, interrupt)).await?
        }
        What::SelfCheck { base } => {
            return Box::pin(check_itself(options, base.clone(), interrupt)).await;
        }
    };
    report::write(&run, options.markdown.as_deref(), options.junit.as_deref())?;
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
        let base = side(Some(&base), side_of_base())?;
        base.program.check(&bench)?;
        let mut sides = vec![base];
        for (number, of_head) in sides_of_heads(&heads).into_iter().enumerate() {
            let head = side(heads.get(number).map(String::as_str), of_head)?;
            head.program.check(&bench)?;
            sides.push(head);
        }
        let instructions = match counting {
            Counting::No => BTreeMap::new(),
            Counting::Informs | Counting::Judges => counted(&sides, counting)?,
        };
        let mut programs: Vec<Program> = sides.into_iter().map(|side| side.program).collect();
        let bytes = programs[0].build.sha256.clone();
        let is_identical = |program: &Program| program.build.sha256 == bytes;
        let heads = programs.split_off(1);
        let (identical, differing): (Vec<_>, Vec<_>) = heads.into_iter().partition(is_identical);
        programs.extend(differing);
        anyhow::Ok(Comparison {
            programs,
            identical,
            rules,
            instructions,
        })
    });
    building.await?
}

fn side_of_base() -> ProgramSide {
    ProgramSide {
        side: Side::Base,
        head: None,
        name: "base".to_owned(),
    }
}

/// One head is `head`; of several each bears its own name (of a binary that of its file), and a number
/// where two have the same.
fn sides_of_heads(heads: &[String]) -> Vec<ProgramSide> {
    let side = |number: usize, name: String| ProgramSide {
        side: Side::Head,
        head: u8::try_from(number).ok(),
        name,
    };
    if heads.len() < 2 {
        return vec![side(0, "head".to_owned())];
    }
    let shown = |head: &String| match head.strip_prefix(FILE) {
        Some(path) => Path::new(path)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        None => head.clone(),
    };
    let heads: Vec<String> = heads.iter().map(shown).collect();
    let of_head = |(number, head): (usize, &String)| {
        let is_twice = heads.iter().filter(|other| *other == head).count() > 1;
        let name = match is_twice {
            true => format!("head {} {head}", number + 1),
            false => format!("head {head}"),
        };
        side(number, name)
    };
    heads.iter().enumerate().map(of_head).collect()
}

/// One side, built.
struct Built {
    program: Program,
    /// What it was built from; none of a binary.
    from: Option<(Builder, Source)>,
}

/// One side; `name` is a commit, a file, or nothing for the working tree.
fn side(name: Option<&str>, side: ProgramSide) -> anyhow::Result<Built> {
    let (mut program, from) = match name.and_then(|name| name.strip_prefix(FILE)) {
        Some(file) => (binary(Path::new(file))?, None),
        None => {
            let workspace = workspace().ok_or_else(|| {
                RegressError(format!(
                    "commits are built inside the workspace only; elsewhere give binaries, {FILE}/path/of/seckill"
                ))
            })?;
            let (builder, source) = (Builder::new(&workspace), source(&workspace, name)?);
            let program = built(&builder, &source, &side.name)?;
            (program, Some((builder, source)))
        }
    };
    if program.build.contract.is_none() {
        return Err(RegressError(format!(
            "{}: the binary says no number of its contract with the lab (seckill version --json), so it is too old to \
             be compared",
            side.name
        ))
        .into());
    }
    program.side = Some(side);
    Ok(Built { program, from })
}

/// Ratios of instruction counts by the name of each head's side. What could not be counted is said,
/// and is an error where counts judge.
fn counted(
    sides: &[Built],
    counting: Counting,
) -> anyhow::Result<BTreeMap<String, BTreeMap<String, f64>>> {
    let mut ratios = BTreeMap::new();
    let refused = |why: String| match counting {
        Counting::Judges => Err(RegressError(format!("--strict-instructions: {why}"))),
        _ => {
            eprintln!("{why}");
            Ok(())
        }
    };
    let mut base = None;
    for side in sides {
        let name = side.program.side.as_ref().map_or("", |side| &side.name);
        let Some((builder, source)) = &side.from else {
            refused(format!(
                "instruction counts: not measured ({name} is a binary, and counts need sources)"
            ))?;
            return Ok(BTreeMap::new());
        };
        eprintln!("{name}: counting instructions");
        let counts = match builder.counts(source) {
            Ok(counts) => counts,
            Err(error) => {
                refused(instructions::not_measured(&error))?;
                return Ok(BTreeMap::new());
            }
        };
        let Some(base) = &base else {
            base = Some(counts);
            continue;
        };
        let compared = instructions::compare(base, &counts);
        eprintln!("{name}: {compared}");
        if compared.ratios.is_empty() {
            refused(format!("{name} and the base count nothing in common"))?;
        }
        if !compared.only_base.is_empty() {
            refused(format!(
                "{name} no longer has {}, of which nobody knows",
                compared.only_base.join(", ")
            ))?;
        }
        ratios.insert(name.to_owned(), compared.ratios);
    }
    Ok(ratios)
}

fn binary(path: &Path) -> anyhow::Result<Program> {
    if !path.is_file() {
        return Err(RegressError(format!("{} is no file", path.display())).into());
    }
    // A name without a folder would be looked for on PATH.
    Program::at(&path.canonicalize()?)
}

fn source(workspace: &Path, name: Option<&str>) -> anyhow::Result<Source> {
    if let Some(name) = name {
        return source::resolved(workspace, name);
    }
    let (source, untracked) = source::working_tree(workspace)?;
    if let Some(first) = untracked.first() {
        eprintln!(
            "warning: {} files that git does not know are left out of the build, {first} among them; git add them",
            untracked.len()
        );
    }
    Ok(source)
}

fn built(builder: &Builder, source: &Source, side: &str) -> anyhow::Result<Program> {
    let changes = if source.is_dirty { " with changes" } else { "" };
    eprintln!(
        "{side}: {} ({}{changes})",
        source.name,
        &source.commit[..12]
    );
    builder.program(source)
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
    if scenario.calibration_phases() > 0 {
        return refuse(
            "calibrates in every leg, so that its builds would run at different rates; use \"% of base\"",
        );
    }
    Ok(())
}

/// Blocks of the same build against itself, which say what this machine can tell apart.
async fn check_itself(
    options: &RegressOptions,
    base: Option<String>,
    interrupt: &Interrupt,
) -> anyhow::Result<u8> {
    let bench = options.bench.clone();
    let building = tokio::task::spawn_blocking(move || {
        check_scenario(only_scenario(&bench)?)?;
        let base = side(base.as_deref(), side_of_base())?.program;
        base.check(&bench)?;
        anyhow::Ok(base)
    });
    let base = building.await??;
    let head = Program {
        side: sides_of_heads(&[]).into_iter().next(),
        ..base.clone()
    };
    let one_look = options.rules.looks.last().map(|look| Look {
        blocks: SELF_CHECK_BLOCKS,
        ..*look
    });
    let comparison = Comparison {
        programs: vec![base, head],
        identical: Vec::new(),
        rules: Rules {
            looks: one_look.into_iter().collect(),
            ..options.rules.clone()
        },
        instructions: BTreeMap::new(),
    };
    let run = Box::pin(bench::compare(&options.bench, &comparison, interrupt)).await?;
    let gate = run.gate.as_ref().context("a comparison has a gate")?;
    if let Some(why) = &gate.not_measured {
        return Err(RegressError(format!("nothing was measured: {why}")).into());
    }
    report::print(&checked(&run, gate, &options.rules)?);
    Ok(0)
}

/// What the blocks of a build against itself say of the rules.
fn checked(run: &Run, gate: &Gate, rules: &Rules) -> anyhow::Result<String> {
    let head = gate.heads.first().context("a self-check has a head")?;
    let found = differences(run, rules, &gate.base, &head.subject);
    let check = self_check(rules, &found, run.seed);
    let check = check.map_err(|error| RegressError(format!("nothing can be said: {error}")))?;
    Ok(check.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_told_apart_by_name_and_by_number_where_names_are_equal() {
        let names = |heads: &[&str]| -> Vec<String> {
            let heads: Vec<String> = heads.iter().map(|it| (*it).to_owned()).collect();
            let sides = sides_of_heads(&heads);
            assert!(sides.iter().all(|side| side.side == Side::Head));
            let numbers: Vec<_> = sides.iter().map(|side| side.head).collect();
            let expected = (0..sides.len()).map(|it| u8::try_from(it).ok());
            assert_eq!(numbers, expected.collect::<Vec<_>>());
            sides.into_iter().map(|side| side.name).collect()
        };
        assert_eq!(names(&[]), ["head"]);
        assert_eq!(names(&["fix/slow-path"]), ["head"]);
        assert_eq!(names(&["one", "two"]), ["head one", "head two"]);
        let files = [
            "file:/opt/a/seckill",
            "file:/opt/b/seckill",
            "file:/opt/c/other",
        ];
        assert_eq!(
            names(&files),
            ["head 1 seckill", "head 2 seckill", "head other"]
        );
    }

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
