//! `lab regress --self-check`: a build against itself, which says what this machine can tell apart.

use anyhow::Context;
use reports::gate::{Look, Rules, differences, self_check};
use reports::result::{Gate, Run};

use super::sides::{side, side_of_base, sides_of_heads};
use super::{RegressError, RegressOptions, check_scenario, only_scenario, report};
use crate::bench::{self, Comparison, Interrupt, Program};

/// Blocks of a self-check.
const BLOCKS: u32 = 20;

/// Blocks of the same build against itself, which say what this machine can tell apart.
pub(super) async fn run(
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
        blocks: BLOCKS,
        ..*look
    });
    let comparison = Comparison {
        programs: vec![base, head],
        identical: Vec::new(),
        rules: Rules {
            looks: one_look.into_iter().collect(),
            ..options.rules.clone()
        },
        instructions: Default::default(),
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
