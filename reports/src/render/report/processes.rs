//! CPU per accepted order and peak memory of every process and of the system as a whole, in both
//! windows. For one engine there is one table with all of it; several engines are shown side by
//! side.

use std::collections::BTreeSet;

use super::super::document::{Block, Table, left, right};
use super::super::format::{NOTHING, mebibytes, or_nothing, per_order};
use super::super::rounds::EngineRow;
use crate::model::{Leg, Usage, UsageByProcess, is_system_process};

/// Sum of every process that is not the load's.
const SYSTEM: &str = "system in sum";

pub(super) fn blocks(rows: &[EngineRow<'_>]) -> Vec<Block> {
    let legs: Vec<&Leg> = rows
        .iter()
        .map(|row| row.leg)
        .filter(|leg| !leg.usage_until_reply.is_empty())
        .collect();
    match legs.as_slice() {
        [] => Vec::new(),
        [leg] => of_one(leg),
        legs => vec![
            Block::Heading(
                "CPU µs per order and process, until last reply → until drained".to_owned(),
            ),
            side_by_side(legs, &|leg, usage| cpu(leg, usage)),
            Block::Heading("Peak RSS per process, until last reply → until drained".to_owned()),
            side_by_side(legs, &|_, usage| {
                or_nothing(usage, |usage| mebibytes(usage.peak_rss_bytes))
            }),
        ],
    }
}

type Figure<'a> = &'a dyn Fn(&Leg, Option<Usage>) -> String;

/// One line per process of any of them, one column per engine.
fn side_by_side(legs: &[&Leg], figure: Figure<'_>) -> Block {
    let names = legs
        .iter()
        .flat_map(|leg| leg.usage_until_reply.keys())
        .collect();
    let cells = |usage: Pick<'_>| {
        legs.iter()
            .map(|leg| {
                let drained = leg.usage_until_drained.as_ref();
                match (usage(&leg.usage_until_reply), drained.and_then(usage)) {
                    (None, None) => NOTHING.to_owned(),
                    (reply, drained) => {
                        format!("{} → {}", figure(leg, reply), figure(leg, drained))
                    }
                }
            })
            .collect()
    };
    let mut columns = vec![left("process")];
    columns.extend(legs.iter().map(|leg| right(&leg.engine)));
    Block::Table(Table {
        columns,
        rows: lines(names, &cells),
    })
}

fn of_one(leg: &Leg) -> Vec<Block> {
    let columns = vec![
        left("process"),
        right("CPU µs per order, until last reply"),
        right("CPU µs per order, until drained"),
        right("peak RSS, until last reply"),
        right("peak RSS, until drained"),
    ];
    let drained = leg.usage_until_drained.as_ref();
    let names = leg
        .usage_until_reply
        .keys()
        .chain(drained.into_iter().flat_map(UsageByProcess::keys))
        .collect();
    let cells = |usage: Pick<'_>| {
        let reply = usage(&leg.usage_until_reply);
        let drained = drained.and_then(usage);
        vec![
            cpu(leg, reply),
            cpu(leg, drained),
            or_nothing(reply, |usage| mebibytes(usage.peak_rss_bytes)),
            or_nothing(drained, |usage| mebibytes(usage.peak_rss_bytes)),
        ]
    };
    vec![
        Block::Heading(format!("CPU and memory per process: {}", leg.engine)),
        Block::Table(Table {
            columns,
            rows: lines(names, &cells),
        }),
    ]
}

/// Finds the usage that a line is about among those of all processes.
type Pick<'a> = &'a dyn Fn(&UsageByProcess) -> Option<Usage>;

/// The processes of the system, then their sum, then the driver and the lab; `cells` makes the
/// figures of one line.
fn lines(names: BTreeSet<&String>, cells: &dyn Fn(Pick<'_>) -> Vec<String>) -> Vec<Vec<String>> {
    let (system, others): (Vec<&String>, Vec<&String>) =
        names.into_iter().partition(|name| is_system_process(name));
    let line = |name: &str, usage: Pick<'_>| {
        std::iter::once(name.to_owned())
            .chain(cells(usage))
            .collect::<Vec<String>>()
    };
    let one = |name: &&String| line(name, &|usages| usages.get(*name).copied());
    let sum_of_system = line(SYSTEM, &|usages| Some(sum(usages, &system)));
    system
        .iter()
        .map(one)
        .chain([sum_of_system])
        .chain(others.iter().map(one))
        .collect()
}

fn sum(usages: &UsageByProcess, names: &[&String]) -> Usage {
    names
        .iter()
        .filter_map(|name| usages.get(*name))
        .fold(Usage::default(), |sum, usage| Usage {
            cpu_us: sum.cpu_us + usage.cpu_us,
            peak_rss_bytes: sum.peak_rss_bytes + usage.peak_rss_bytes,
        })
}

fn cpu(leg: &Leg, usage: Option<Usage>) -> String {
    match usage {
        Some(usage) if leg.counts.accepted > 0 => {
            per_order(usage.cpu_us as f64 / leg.counts.accepted as f64)
        }
        _ => NOTHING.to_owned(),
    }
}
