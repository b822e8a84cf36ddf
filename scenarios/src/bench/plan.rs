//! What a run will do, in which order, how long it may take and how much disk it needs: known
//! before anything is started.

use std::collections::BTreeMap;

use reports::render::grouped;

use super::leg::PlannedLeg;
use crate::scenario::Scenario;
use crate::stack::{StackKind, StackOptions};

/// Cautious figures of a small machine, for the estimates only.
const REQUESTS_PER_S: f64 = 8_000.0;
const STACK_START_S: f64 = 20.0;
const LEG_OVERHEAD_S: f64 = 12.0;
/// Fresh data folders of the three servers.
const STACK_BYTES: u64 = 400 << 20;
/// Row, indexes, redo log, append-only file, broker, outcome log.
const BYTES_PER_REQUEST: u64 = 1_200;

/// The legs in the order in which they run: every engine once per round. Each round begins with
/// another engine, so that a slow minute or a warm machine favours none of them.
pub(super) fn legs(scenario: &Scenario) -> Vec<PlannedLeg<'_>> {
    let engines = &scenario.engines;
    let mut legs = Vec::new();
    for round in 1..=scenario.rounds {
        for place in 0..engines.len() {
            let engine = &engines[(place + round as usize - 1) % engines.len()];
            legs.push(PlannedLeg {
                engine,
                round,
                index: legs.len() + 1,
            });
        }
    }
    legs
}

/// The text that `--dry-run` prints. `remarks`: which engines of the scenario are skipped, and
/// which ones stand in for them.
pub(super) fn text(
    scenario: &Scenario,
    stack: &StackOptions,
    remarks: &[String],
    overrides: &BTreeMap<String, String>,
) -> String {
    let legs = legs(scenario);
    let record = scenario.record();
    let requests = scenario.load.requests + scenario.warmup_requests;
    let has_servers = stack.kind != StackKind::Embedded;
    let (stack_start_s, stack_bytes) = if has_servers {
        (STACK_START_S, STACK_BYTES)
    } else {
        (0.0, 0)
    };
    let seconds =
        stack_start_s + legs.len() as f64 * (LEG_OVERHEAD_S + requests as f64 / REQUESTS_PER_S);
    // A leg's data is removed before the next one begins.
    let bytes = stack_bytes + requests * BYTES_PER_REQUEST;
    let mut text = format!(
        "{}: {}\n{}\n\n",
        scenario.name, scenario.title, scenario.question
    );
    text.push_str(&format!("load: {}\n", record.load.parameters()));
    text.push_str(&format!(
        "users: {}, quantity 1 to {}, seed {}\n",
        grouped(scenario.load.users),
        scenario.load.max_quantity,
        scenario.load.seed
    ));
    for sale in &scenario.sales {
        text.push_str(&format!(
            "sale: product {}, {} units at {} cents\n",
            sale.product_id,
            grouped(sale.total.unsigned_abs()),
            grouped(sale.price_cents.unsigned_abs())
        ));
    }
    text.push_str(&format!(
        "warm-up: {} requests to a sale of its own\n",
        grouped(scenario.warmup_requests)
    ));
    text.push_str(&format!(
        "ack: {}\nstack: {}\n",
        scenario.ack.as_str(),
        asked_for(stack)
    ));
    for (key, value) in overrides {
        text.push_str(&format!("set: {key}={value}\n"));
    }
    for remark in remarks {
        text.push_str(&format!("{remark}\n"));
    }
    text.push_str(&format!("legs: {}\n", legs.len()));
    for leg in &legs {
        text.push_str(&format!(
            "  {}. {}, round {}\n",
            leg.index, leg.engine, leg.round
        ));
    }
    text.push_str(&format!(
        "estimated time: {:.0} s, without building the system or installing servers\n",
        seconds.ceil()
    ));
    text.push_str(&format!(
        "estimated disk: {} MiB in the scratch folder\n",
        grouped(bytes.div_ceil(1 << 20))
    ));
    text
}

fn asked_for(stack: &StackOptions) -> &'static str {
    match stack.kind {
        StackKind::Auto | StackKind::Servers if stack.redis_cluster => {
            "servers (its own, on free ports, Redis as a cluster of three)"
        }
        StackKind::Auto => {
            "auto (its own servers, installed first if that is needed and allowed; embedded where that fails)"
        }
        StackKind::Servers => "servers (its own, on free ports)",
        StackKind::External => "external",
        StackKind::Embedded => "embedded (one process on one SQLite file)",
    }
}
