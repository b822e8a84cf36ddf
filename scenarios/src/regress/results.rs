//! Results that were made elsewhere, as one comparison: a folder with one folder per block, in it
//! `base.json` and `head.json`, or `head-NAME.json` of several heads. Each file is a result of one
//! leg. So whatever can write results can be held against a base.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context;
use reports::compare::{Source, unlike_runs};
use reports::gate::{GatePhase, Next, Rules, judge, void_reason};
use reports::result::{Leg, Pair, Purpose, Run, RunKind, Side, Subject};

use super::RegressError;
use crate::bench::BenchOptions;

const BASE: &str = "base";
const HEAD: &str = "head";

/// One block as it lies in its folder.
struct Block {
    path: PathBuf,
    base: Run,
    /// By name, `head` or `head NAME`.
    heads: Vec<(String, Run)>,
}

impl Block {
    /// Name and result of the base, then of every head.
    fn sides(&self) -> impl Iterator<Item = (&str, &Run)> {
        let heads = self.heads.iter().map(|(name, run)| (name.as_str(), run));
        [(BASE, &self.base)].into_iter().chain(heads)
    }
}

/// The comparison of all blocks in `folder`, judged.
///
/// # Errors
/// [`RegressError`] when a file is missing, cannot be read, or does not fit the others.
pub(super) fn judged(folder: &Path, rules: &Rules, options: &BenchOptions) -> anyhow::Result<Run> {
    let blocks = blocks(folder)?;
    let first = blocks.first().ok_or_else(|| {
        RegressError(format!(
            "{} holds no block; expected: a folder per block with base.json and head.json",
            folder.display()
        ))
    })?;
    for block in &blocks {
        must_fit(first, block)?;
    }
    must_be_measured_once(&blocks)?;
    must_be_one_build_per_side(&blocks)?;
    let mut run = Run {
        id: format!("{}-gate", first.base.id),
        kind: RunKind::Gate,
        name: options.name.clone(),
        command: options.command.clone(),
        complete: true,
        error: None,
        subjects: subjects(first)?,
        legs: Vec::new(),
        searches: Vec::new(),
        expectations: Vec::new(),
        gate: None,
        ..first.base.clone()
    };
    let base = run.subjects[0].id.clone();
    for (number, block) in (1..).zip(&blocks) {
        add(&mut run, block, number, &base, rules)?;
    }
    let ends = blocks.iter().map(|block| block.base.finished_unix_us);
    run.finished_unix_us = ends.max().unwrap_or(run.finished_unix_us);
    let heads: Vec<String> = run.subjects[1..].iter().map(|it| it.id.clone()).collect();
    let rate_per_s = offered_per_s(&run, &base);
    // More blocks than there are cannot be run, so only looks that they are enough for are taken.
    let is_counted =
        |leg: &&Leg| leg.subject == base && leg.pair.as_ref().is_some_and(|it| it.void.is_none());
    let have = run.legs.iter().filter(is_counted).count();
    let have = u32::try_from(have).unwrap_or(u32::MAX);
    let mut rules = rules.clone();
    let first_look = rules.looks.first().map_or(0, |look| look.blocks);
    rules
        .looks
        .retain(|look| look.blocks <= have || look.blocks == first_look);
    if let Some(last) = rules.looks.last().filter(|last| last.blocks < have) {
        eprintln!(
            "{have} blocks count, and the last look judges {} of them",
            last.blocks
        );
    }
    let judged = judge(
        &run,
        &rules,
        &base,
        &heads,
        rate_per_s,
        &[],
        &Default::default(),
    );
    let why = match judged.next {
        Next::Blocks(missing) => format!("{missing} blocks are missing to the next look"),
        _ => String::new(),
    };
    run.gate = Some(judged.cut_short(&why));
    Ok(run)
}

/// In the order of their names, numbers by their value.
fn blocks(folder: &Path) -> anyhow::Result<Vec<Block>> {
    let unreadable = || RegressError(format!("{} cannot be read", folder.display()));
    let entries = std::fs::read_dir(folder).with_context(unreadable)?;
    let mut folders: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry.with_context(unreadable)?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort_by_key(|path| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        (name.parse::<u64>().unwrap_or(u64::MAX), name)
    });
    folders.into_iter().map(block).collect()
}

fn block(path: PathBuf) -> anyhow::Result<Block> {
    let base = path.join("base.json");
    if !base.is_file() {
        return Err(RegressError(format!("{} is missing", base.display())).into());
    }
    let mut heads = Vec::new();
    let unreadable = || RegressError(format!("{} cannot be read", path.display()));
    for entry in std::fs::read_dir(&path).with_context(unreadable)? {
        let file = entry.with_context(unreadable)?.path();
        let stem = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let name = match stem.strip_prefix(HEAD) {
            Some("") => HEAD.to_owned(),
            Some(name) if name.starts_with('-') && name.len() > 1 => {
                format!("{HEAD} {}", &name[1..])
            }
            _ => continue,
        };
        if file.extension().is_some_and(|ending| ending == "json") {
            heads.push((name, read(&file)?));
        }
    }
    if heads.is_empty() {
        let missing = path.join("head.json");
        return Err(RegressError(format!("{} is missing", missing.display())).into());
    }
    heads.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(Block {
        base: read(&base)?,
        heads,
        path,
    })
}

fn read(path: &Path) -> Result<Run, RegressError> {
    reports::read(path).map_err(|error| RegressError(error.to_string()))
}

/// Whatever decides what is measured must be the same in every file, and every head in every block.
fn must_fit(first: &Block, block: &Block) -> Result<(), RegressError> {
    let names = |block: &Block| -> BTreeSet<String> {
        block.heads.iter().map(|(name, _)| name.clone()).collect()
    };
    if names(first) != names(block) {
        return Err(RegressError(format!(
            "{} and {} have different heads",
            first.path.display(),
            block.path.display()
        )));
    }
    let expected_path = first.path.join("base.json").display().to_string();
    for (name, run) in block.sides() {
        let path = block.path.join(name.replacen(' ', "-", 1) + ".json");
        let path = path.display().to_string();
        let one = Source {
            path: &expected_path,
            run: &first.base,
        };
        let other = Source { path: &path, run };
        let unlike = unlike_runs(&one, &other);
        if let Some(unlike) = unlike.first() {
            return Err(RegressError(format!(
                "these results are not alike: {unlike}"
            )));
        }
        for (what, of) in [
            ("scenario", scenarios as fn(&Run) -> String),
            ("engine", engines),
            ("work", work),
        ] {
            let (expected, found) = (of(&first.base), of(run));
            if expected != found {
                return Err(RegressError(format!(
                    "these results are not alike: the {what} is {expected} in {expected_path}, and {found} in {path}"
                )));
            }
        }
    }
    Ok(())
}

/// A result that is there twice is one measurement, whatever the files are called.
fn must_be_measured_once(blocks: &[Block]) -> Result<(), RegressError> {
    let mut seen = BTreeMap::new();
    for block in blocks {
        for (name, run) in block.sides() {
            let here = format!("{} of {}", name, block.path.display());
            let started = run.legs.first().map(|leg| leg.started_unix_us);
            if let Some(earlier) = seen.insert((run.id.clone(), started), here.clone()) {
                return Err(RegressError(format!(
                    "{here} is the same measurement as {earlier}; each has to be made anew"
                )));
            }
        }
    }
    Ok(())
}

fn must_be_one_build_per_side(blocks: &[Block]) -> Result<(), RegressError> {
    let builds = |block: &Block| -> Vec<(String, Vec<String>)> {
        let of = |(name, run): (&str, &Run)| {
            let running = run.subjects.iter().filter(|it| it.skipped_why.is_none());
            let hashes = running.map(|it| it.build.sha256.clone());
            (name.to_owned(), hashes.collect())
        };
        block.sides().map(of).collect()
    };
    let Some((first, others)) = blocks.split_first() else {
        return Ok(());
    };
    for block in others {
        let differing = builds(first).into_iter().zip(builds(block));
        if let Some(((name, _), _)) = differing.into_iter().find(|(one, other)| one != other) {
            return Err(RegressError(format!(
                "{name} of {} is another build than that of {}",
                block.path.display(),
                first.path.display()
            )));
        }
    }
    Ok(())
}

fn scenarios(run: &Run) -> String {
    let all = run.scenarios.iter();
    let all = all.map(|it| format!("{} ({:.12})", it.name, it.sha256));
    all.collect::<Vec<_>>().join(", ")
}

fn engines(run: &Run) -> String {
    let running = run.subjects.iter().filter(|it| it.skipped_why.is_none());
    let named = running.map(|it| {
        let params = it
            .params
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        let variant = it.variant.as_ref().map(|name| format!(", {name}"));
        let params = params.collect::<Vec<_>>().join("&");
        format!("{} {params}{}", it.engine, variant.unwrap_or_default())
    });
    named.collect::<Vec<_>>().join("; ")
}

/// What each measuring phase was asked to do, so that builds which were given different rates or counts
/// are told apart. A phase by time ends with another count in every leg.
fn work(run: &Run) -> String {
    let leg = run.legs.first();
    let phases = leg.map(|leg| leg.phases.as_slice()).unwrap_or_default();
    let plans = run.scenarios.iter().flat_map(|it| &it.phases);
    let asked = phases
        .iter()
        .filter(|it| it.purpose == Purpose::Measure)
        .map(|phase| {
            let counted = plans
                .clone()
                .any(|plan| plan.name == phase.name && plan.end.count.is_some());
            let due = match counted {
                true => format!(" {} requests", phase.due),
                false => String::new(),
            };
            let rate = phase.offered_per_s.map(|rate| format!(" at {rate:.0}/s"));
            format!("{}{due}{}", phase.name, rate.unwrap_or_default())
        });
    asked.collect::<Vec<_>>().join(", ")
}

fn subjects(first: &Block) -> Result<Vec<Subject>, RegressError> {
    let sided = |run: &Run, name: &str, side: Side, head: Option<u8>| {
        let leg = only_leg(run, &first.path, name)?;
        let subject = run.subject(&leg.subject).ok_or_else(|| {
            RegressError(format!(
                "{}: {name} has a leg of {}, which is not among its subjects",
                first.path.display(),
                leg.subject
            ))
        })?;
        Ok(Subject {
            id: format!("{name}: {}", subject.id),
            side: Some(side),
            head,
            ..subject.clone()
        })
    };
    let mut subjects = vec![sided(&first.base, BASE, Side::Base, None)?];
    for (number, (name, run)) in first.heads.iter().enumerate() {
        subjects.push(sided(run, name, Side::Head, u8::try_from(number).ok())?);
    }
    Ok(subjects)
}

fn only_leg<'a>(run: &'a Run, path: &Path, name: &str) -> Result<&'a Leg, RegressError> {
    match run.legs.as_slice() {
        [only] => Ok(only),
        legs => Err(RegressError(format!(
            "{}: {name} holds {} legs; a side of a block is one leg",
            path.display(),
            legs.len()
        ))),
    }
}

/// Adds the legs of one block in the order in which they ran.
fn add(
    run: &mut Run,
    block: &Block,
    number: u32,
    base: &str,
    rules: &Rules,
) -> Result<(), RegressError> {
    let mut legs = Vec::new();
    for (at, (name, result)) in block.sides().enumerate() {
        let mut leg = only_leg(result, &block.path, name)?.clone();
        leg.subject.clone_from(&run.subjects[at].id);
        legs.push((at, leg));
    }
    legs.sort_by_key(|(_, leg)| leg.started_unix_us);
    let order: Vec<u16> = legs
        .iter()
        .map(|(at, _)| u16::try_from(*at).unwrap_or(u16::MAX))
        .collect();
    let all: Vec<&Leg> = legs.iter().map(|(_, leg)| leg).collect();
    let void = void_reason(&all, base, run.machine.cores, &rules.void);
    for (_, mut leg) in legs {
        let position = u32::try_from(run.legs.len() + 1).unwrap_or(u32::MAX);
        leg.id = position.to_string();
        leg.position = position;
        leg.round = number;
        leg.pair = Some(Pair {
            block: number,
            order: order.clone(),
            attempt: 1,
            void: void.clone(),
        });
        run.legs.push(leg);
    }
    Ok(())
}

/// Rate of the first open phase of the base; 0 where there is none.
fn offered_per_s(run: &Run, base: &str) -> f64 {
    let mut legs = run.legs.iter().filter(|leg| leg.subject == base);
    let rate = legs.find_map(|leg| GatePhase::Open.of(leg)?.offered_per_s);
    rate.unwrap_or(0.0)
}
