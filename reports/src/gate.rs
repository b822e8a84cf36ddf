//! The regression gate as pure functions of a result: what voids a block, what the blocks so far say
//! of every head, whether more are needed, and the exit code. Nothing here runs a leg.
//!
//! The unit is a block: one leg of the base and one of each head in random order within the same
//! minutes. Per block and metric `d = ln(head/base)`; a slow minute hits both sides of it.

mod blocks;
mod head;
mod judge;
mod look;
mod measured;
mod power;
mod rules;
mod self_check;
mod simulation;
mod void;

pub use judge::{Judged, Next, exit_code, judge};
pub use rules::{GatePhase, Look, MetricRule, Rules, VoidLimits};
pub use self_check::{MetricCheck, SelfCheck, SelfCheckError, self_check};
pub use void::void_reason;

use crate::result::Run;
use blocks::Blocks;
use measured::Measured;
use std::collections::BTreeMap;

/// `ln(head/base)` by metric of every block that counts, for [`self_check`]. A metric that is
/// missing in one of them is left out.
pub fn differences(run: &Run, rules: &Rules, base: &str, head: &str) -> BTreeMap<String, Vec<f64>> {
    let pairs = Blocks::of(run, base).pairs(head);
    let of_rule = |rule: &MetricRule| {
        let measured = Measured::of(rule, &pairs).ok()?;
        Some((rule.metric.to_owned(), measured.d))
    };
    rules.metrics.iter().filter_map(of_rule).collect()
}

#[cfg(test)]
mod tests;
