//! `lab regress --self-check`: a build against itself, which says what this machine can tell apart.

use anyhow::Context;
use reports::gate::{Look, Rules, differences, self_check};
use reports::result::{Gate, Run};

use super::report::{Report, print};
use super::sides::{Workshop, side_of_base, sides_of_heads};
use super::{RegressError, RegressOptions, check_scenario, only_scenario};
use crate::bench::{self, Comparison, Interrupt, Program};

/// Blocks of a self-check.
const BLOCKS: u32 = 20;

/// Blocks of the same build against itself, which say what this machine can tell apart.
pub(super) async fn run(
    options: &RegressOptions,
    base: Option<String>,
    report: &Report<'_>,
    interrupt: &Interrupt,
) -> anyhow::Result<u8> {
    let bench = options.bench.clone();
    let building = tokio::task::spawn_blocking(move || {
        check_scenario(only_scenario(&bench)?)?;
        let mut workshop = Workshop::default();
        let base = workshop.side(base.as_deref(), side_of_base())?.program;
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
    let head = gate.heads.first().context("a self-check has a head")?;
    if let Some(why) = &head.why {
        // The same build failed by its own audit or leg, so no figure of it says anything.
        return Err(RegressError(format!("the build does not stand against itself: {why}")).into());
    }
    let text = checked(&run, gate, &options.rules)?;
    print(&text);
    report.text(&text)?;
    Ok(0)
}

/// What the blocks of a build against itself say of the rules.
fn checked(run: &Run, gate: &Gate, rules: &Rules) -> anyhow::Result<String> {
    let head = gate.heads.first().context("a self-check has a head")?;
    let found = differences(run, rules, &gate.base, &head.subject);
    let check = self_check(rules, &found, run.seed);
    let check = check.map_err(|error| RegressError(format!("nothing can be said: {error}")))?;
    let mut text = check.to_string();
    for rule in rules
        .metrics
        .iter()
        .filter(|rule| !found.contains_key(rule.metric))
    {
        text.push_str(&format!("not measured in every block: {}\n", rule.metric));
    }
    text.push_str(
        "The resampled signs are drawn, so a difference that always meets the same side is not in these shares; the \
         table above has the blocks as they were.\n",
    );
    Ok(text)
}
