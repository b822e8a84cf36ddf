//! A binary of the system with what it says of itself, and which side of a comparison it is on.

use std::path::{Path, PathBuf};

use reports::result::{Build, Side};

use super::system_binary::{self, EngineEntry};
use super::{BenchOptions, CannotRun};
use crate::provenance::{self, ProgramKind};

#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    /// Every engine that it knows.
    pub known: Vec<EngineEntry>,
    pub build: Build,
    /// Only in a comparison of builds.
    pub side: Option<ProgramSide>,
}

/// The side of a binary in a comparison of builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramSide {
    pub side: Side,
    /// Number of the head, from 0.
    pub head: Option<u8>,
    /// What its subjects are called: `base`, `head`, `head fix/slow-path`.
    pub name: String,
}

impl Program {
    /// # Errors
    /// When the binary cannot be read or does not answer.
    pub fn at(path: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            path: path.to_path_buf(),
            known: system_binary::engines(path)?,
            build: provenance::build_of(path, ProgramKind::System)?,
            side: None,
        })
    }

    /// # Errors
    /// [`CannotRun`] when the binary refuses an engine or a setting of these options, or keeps a
    /// contract that this lab does not speak.
    pub fn check(&self, options: &BenchOptions) -> anyhow::Result<()> {
        let path = &self.path;
        let named = |refusal: String| match &self.side {
            Some(side) => CannotRun(format!("{}: {refusal}", side.name)),
            None => CannotRun(refusal),
        };
        if let Some(refusal) = provenance::contract_refusal(&self.build) {
            return Err(named(refusal).into());
        }
        if let Some(refusal) = system_binary::settings_refusal(path, &options.overrides)? {
            return Err(named(format!("--set: {refusal}")).into());
        }
        for scenario in &options.scenarios {
            for variant in &scenario.variants {
                let settings = variant.settings_of_roles();
                if let Some(refusal) = system_binary::settings_refusal(path, &settings)? {
                    return Err(named(format!("variant {}: {refusal}", variant.name)).into());
                }
            }
            let sales = scenario.sales();
            let smallest = sales.iter().map(|sale| sale.total).min();
            let smallest = smallest.unwrap_or(i64::MAX);
            let overrides = &options.overrides;
            if let Some(refusal) = system_binary::refusal(path, scenario, smallest, overrides)? {
                return Err(named(refusal).into());
            }
        }
        Ok(())
    }
}
