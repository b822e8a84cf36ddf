//! The sides of a comparison: what they are called, where their binaries come from, and how many
//! instructions they take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use reports::result::Side;

use super::build::Builder;
use super::instructions::{self, Counts};
use super::source::Source;
use super::{Counting, RegressError, source};
use crate::bench::system_binary::workspace;
use crate::bench::{Program, ProgramSide};

/// A side that is a binary and no commit.
const FILE: &str = "file:";

pub(super) fn side_of_base() -> ProgramSide {
    ProgramSide {
        side: Side::Base,
        head: None,
        name: "base".to_owned(),
    }
}

/// One head is `head`; of several each bears its own name (of a binary that of its file), and a number
/// where two have the same.
pub(super) fn sides_of_heads(heads: &[String]) -> Vec<ProgramSide> {
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
#[derive(Clone, Debug)]
pub(super) struct Built {
    pub program: Program,
    /// What it was built from; none of a binary.
    from: Option<Source>,
}

impl Built {
    /// Whether both are the same program. Two files of the same bytes may be scripts that start
    /// different programs beside them, so they are only where they are one file.
    pub(super) fn is_identical_to(&self, other: &Self) -> bool {
        let are_built = self.from.is_some() && other.from.is_some();
        let is_one_file = self.program.path == other.program.path;
        (are_built || is_one_file) && self.program.build.sha256 == other.program.build.sha256
    }
}

/// Where sides are built, if any has to be.
#[derive(Debug, Default)]
pub(super) struct Workshop(Option<(PathBuf, Builder)>);

impl Workshop {
    /// One side; `name` is a commit, a file, or nothing for the working tree.
    pub(super) fn side(&mut self, name: Option<&str>, side: ProgramSide) -> anyhow::Result<Built> {
        let (mut program, from) = match name.and_then(|name| name.strip_prefix(FILE)) {
            Some(file) => (binary(Path::new(file))?, None),
            None => {
                let (workspace, builder) = self.open()?;
                let source = source_of(workspace, name)?;
                (built(builder, &source, &side.name)?, Some(source))
            }
        };
        if program.build.contract.is_none() {
            return Err(RegressError(format!(
                "{}: the binary says no number of its contract with the lab (seckill version --json), so it is too old \
                 to be compared",
                side.name
            ))
            .into());
        }
        program.side = Some(side);
        Ok(Built { program, from })
    }

    fn open(&mut self) -> anyhow::Result<&(PathBuf, Builder)> {
        if self.0.is_none() {
            let workspace = workspace().ok_or_else(|| {
                RegressError(format!(
                    "commits are built inside the workspace only; elsewhere give binaries, {FILE}/path/of/seckill"
                ))
            })?;
            let builder = Builder::new(&workspace)?;
            self.0 = Some((workspace, builder));
        }
        self.0.as_ref().context("it was opened")
    }

    /// Ratios of instruction counts by the name of each head's side. What could not be counted is
    /// said, and is an error where counts judge.
    pub(super) fn counted(
        &self,
        base: &Built,
        heads: &[&Built],
        counting: Counting,
    ) -> anyhow::Result<BTreeMap<String, BTreeMap<String, f64>>> {
        let refused = |why: String| match counting {
            Counting::Judges => Err(RegressError(format!("--strict-instructions: {why}"))),
            _ => {
                eprintln!("{why}");
                Ok(())
            }
        };
        if heads.is_empty() {
            return Ok(BTreeMap::new());
        }
        let base = match self.counts(base) {
            Ok(counts) => counts,
            Err(error) => {
                refused(instructions::not_measured(&error))?;
                return Ok(BTreeMap::new());
            }
        };
        let mut ratios = BTreeMap::new();
        for head in heads {
            let name = name_of(head);
            let counts = match self.counts(head) {
                Ok(counts) => counts,
                Err(error) => {
                    refused(instructions::not_measured(&error))?;
                    continue;
                }
            };
            let compared = instructions::compare(&base, &counts);
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

    fn counts(&self, side: &Built) -> anyhow::Result<Counts> {
        let name = name_of(side);
        let from = side.from.as_ref().zip(self.0.as_ref());
        let (source, (_, builder)) =
            from.with_context(|| format!("{name} is a binary, and counts need sources"))?;
        eprintln!("{name}: counting instructions");
        builder.counts(source)
    }
}

fn name_of(side: &Built) -> &str {
    side.program.side.as_ref().map_or("", |side| &side.name)
}

fn binary(path: &Path) -> anyhow::Result<Program> {
    if !path.is_file() {
        return Err(RegressError(format!("{} is no file", path.display())).into());
    }
    // A name without a folder would be looked for on PATH.
    Program::at(&path.canonicalize()?)
}

fn source_of(workspace: &Path, name: Option<&str>) -> anyhow::Result<Source> {
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
}
