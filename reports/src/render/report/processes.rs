//! CPU per accepted order and peak memory of every process of one leg, in both windows, and in sum.

use std::collections::BTreeSet;

use super::super::document::{Block, Table, left, right};
use super::super::format::{NOTHING, mebibytes, or_nothing, per_order};
use super::super::rounds::EngineRow;
use crate::model::{Leg, Usage, UsageByProcess};

/// Processes that make the load and watch it; everything else is the system.
const NOT_SYSTEM: [&str; 2] = ["driver", "lab"];

pub(super) fn blocks(row: &EngineRow<'_>) -> Vec<Block> {
    let leg = row.leg;
    if leg.usage_until_reply.is_empty() {
        return Vec::new();
    }
    let columns = vec![
        left("process"),
        right("CPU µs per order, until last reply"),
        right("CPU µs per order, until drained"),
        right("peak RSS, until last reply"),
        right("peak RSS, until drained"),
    ];
    let drained = leg.usage_until_drained.as_ref();
    let names: BTreeSet<&String> =
        leg.usage_until_reply.keys().chain(drained.into_iter().flat_map(UsageByProcess::keys)).collect();
    let (watchers, system): (Vec<&String>, Vec<&String>) =
        names.into_iter().partition(|name| NOT_SYSTEM.contains(&name.as_str()));
    let line = |name: &str, usage: &dyn Fn(&UsageByProcess) -> Option<Usage>| {
        let reply = usage(&leg.usage_until_reply);
        let drained = drained.and_then(usage);
        vec![
            name.to_owned(),
            cpu(leg, reply),
            cpu(leg, drained),
            or_nothing(reply, |usage| mebibytes(usage.peak_rss_bytes)),
            or_nothing(drained, |usage| mebibytes(usage.peak_rss_bytes)),
        ]
    };
    let one = |name: &String| line(name, &|usages| usages.get(name).copied());
    let mut rows: Vec<Vec<String>> = system.iter().map(|name| one(name)).collect();
    rows.push(line("system in sum", &|usages| Some(sum(usages, &system))));
    rows.extend(watchers.iter().map(|name| one(name)));
    vec![Block::Heading(format!("CPU and memory per process: {}", leg.engine)), Block::Table(Table { columns, rows })]
}

fn sum(usages: &UsageByProcess, names: &[&String]) -> Usage {
    names.iter().filter_map(|name| usages.get(*name)).fold(Usage::default(), |sum, usage| Usage {
        cpu_us: sum.cpu_us + usage.cpu_us,
        peak_rss_bytes: sum.peak_rss_bytes + usage.peak_rss_bytes,
    })
}

fn cpu(leg: &Leg, usage: Option<Usage>) -> String {
    match usage {
        Some(usage) if leg.counts.accepted > 0 => per_order(usage.cpu_us as f64 / leg.counts.accepted as f64),
        _ => NOTHING.to_owned(),
    }
}
