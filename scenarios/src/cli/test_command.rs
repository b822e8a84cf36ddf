//! `lab test`: installs servers if needed, runs every test of the workspace against real servers,
//! even after one has failed, and then the scenario `smoke`. The first step that fails is the last
//! one, and its exit code becomes the command's.

use std::process::Command;

use anyhow::Context;

use super::{Ending, block_on};
use crate::bench::{self, BenchOptions, Interrupt, system_binary};
use crate::stack::{StackKind, StackOptions};
use crate::{catalog, setup};

const SMOKE: &str = "smoke";

pub(super) fn run(options: &StackOptions) -> anyhow::Result<Ending> {
    if options.kind != StackKind::Embedded {
        setup::setup(options.install)?;
    }
    let workspace =
        system_binary::workspace().context("lab test runs inside the workspace only")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    eprintln!("cargo test --workspace --no-fail-fast");
    // REQUIRE_SERVERS is inherited: with it, a test whose server is missing fails instead of being
    // ignored.
    let status = Command::new(cargo)
        .current_dir(workspace)
        .args(["test", "--workspace", "--no-fail-fast"])
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        // After a signal there is no exit code; it counts as a failure like any other.
        let code = status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1);
        return Ok(Ending::Code(code));
    }
    eprintln!("lab bench {SMOKE}");
    let bench = BenchOptions {
        scenario: catalog::load(SMOKE)?,
        engines_by_hand: false,
        stack: options.clone(),
        overrides: Default::default(),
        out: None,
        json: None,
        command: format!("lab test (lab bench {SMOKE})"),
    };
    block_on(async {
        let interrupt = Interrupt::listen()?;
        let result = Box::pin(bench::run(&bench, &interrupt)).await?;
        Ok(Ending::of_run(&result))
    })
}
