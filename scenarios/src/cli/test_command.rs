//! `lab test`: installs servers if needed, runs every test of the workspace against real servers,
//! even after one has failed, and then the scenario `smoke` with the same build of the system: it says
//! whether a run works, not how fast the system is. The first step that fails is the last
//! one, and its exit code becomes the command's.
//!
//! `lab test --nightly`: what takes too long for that. Every step is run, also after one has
//! failed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use clap::Args;

use super::nightly::{self, Step};
use super::{Ending, block_on};
use crate::bench::system_binary::{self, PROGRAM_VARIABLE};
use crate::bench::{self, BenchOptions, Files, Interrupt};
use crate::stack::{StackKind, StackOptions};
use crate::{catalog, setup};

const SMOKE: &str = "smoke";

#[derive(Args, Clone, Debug)]
pub(super) struct TestArgs {
    /// Run what takes hours instead: the tests marked as nightly, then the crash tests on classic
    /// and on quorum queues, with repetitions; a missing server is a failure
    #[arg(long)]
    pub nightly: bool,
    /// Rounds of each repeated test of --nightly
    #[arg(long, value_name = "N", default_value_t = 20, requires = "nightly")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Print what would be run, without running it
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub stack: StackOptions,
}

pub(super) fn run(arguments: &TestArgs) -> anyhow::Result<Ending> {
    let workspace =
        system_binary::workspace().context("lab test runs inside the workspace only")?;
    let program = system_binary::of_tests();
    let steps = if arguments.nightly {
        nightly::steps(&workspace, arguments.repeat)?
    } else {
        vec![every_test(program.as_deref())]
    };
    if arguments.dry_run {
        steps.iter().for_each(|step| println!("{step}"));
        if !arguments.nightly {
            println!("{}", smoke_run(program.as_deref()));
        }
        return Ok(Ending::Passed);
    }
    let options = &arguments.stack;
    if options.kind != StackKind::Embedded {
        setup::setup(options.install)?;
    }
    let mut failed = Vec::new();
    for step in &steps {
        if let Some(code) = failure(step, &workspace)? {
            failed.push((step, code));
        }
    }
    if arguments.nightly {
        for (step, _) in &failed {
            eprintln!("failed: {step}");
        }
    }
    match failed.first() {
        Some((_, code)) => Ok(Ending::Code(*code)),
        None if arguments.nightly => Ok(Ending::Passed),
        None => smoke(options, program),
    }
}

/// REQUIRE_SERVERS is inherited: with it, a test whose server is missing fails instead of being
/// ignored. The tests take the system's binary that is built with them: by itself it would be built
/// once more, and most of what it depends on, because tests turn features on.
fn every_test(program: Option<&Path>) -> Step {
    Step {
        env: Vec::from_iter(program.map(|path| (PROGRAM_VARIABLE, path.display().to_string()))),
        args: ["test", "--workspace", "--no-fail-fast"]
            .map(str::to_owned)
            .to_vec(),
    }
}

/// The exit code of a step that fails.
fn failure(step: &Step, workspace: &Path) -> anyhow::Result<Option<u8>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    eprintln!("{step}");
    let status = Command::new(cargo)
        .current_dir(workspace)
        .args(&step.args)
        .envs(step.env.iter().map(|(name, value)| (name, value)))
        .status()
        .context("cargo cannot be started")?;
    // After a signal there is no exit code; it counts as a failure like any other.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok((!status.success()).then(|| code.unwrap_or(1)))
}

/// As one can type it.
fn smoke_run(program: Option<&Path>) -> String {
    let program = program.map(|path| format!("{PROGRAM_VARIABLE}={} ", path.display()));
    format!("{}lab bench {SMOKE}", program.unwrap_or_default())
}

fn smoke(options: &StackOptions, program: Option<PathBuf>) -> anyhow::Result<Ending> {
    eprintln!("{}", smoke_run(program.as_deref()));
    let bench = BenchOptions {
        scenarios: vec![catalog::load(SMOKE)?],
        engines_by_hand: false,
        program,
        stack: options.clone(),
        overrides: Default::default(),
        expectations: Vec::new(),
        name: None,
        details: false,
        profile: false,
        files: Files::default(),
        command: vec!["test".to_owned()],
    };
    block_on(async {
        let interrupt = Interrupt::listen()?;
        let result = Box::pin(bench::run(&bench, &interrupt)).await?;
        Ok(Ending::of_run(&result))
    })
}
