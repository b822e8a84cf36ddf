//! CPU and memory of each process in the leg of median throughput.

use crate::result::{DRIVER, LAB, Leg, Usage, UsageByProcess, is_system_process};
use crate::view::grid::{Cell, Grid, left, right};
use crate::view::numbers::{NOTHING, bytes, or_nothing, percent, significant};
use crate::view::page::Block;
use crate::view::subjects::Row;
use crate::view::text::{Tone, clean};

pub(super) fn blocks(rows: &[Row<'_>]) -> Vec<Block> {
    let mut blocks: Vec<Block> = rows.iter().flat_map(of_subject).collect();
    if !blocks.is_empty() {
        let text = "CPU, and waiting for a core, in µs per finished request until the last reply; drained: per \
                    accepted order until every row was committed.";
        blocks.push(Block::Text(Tone::Faint, text.to_owned()));
    }
    blocks
}

fn of_subject(row: &Row<'_>) -> Vec<Block> {
    let Some((leg, phase)) = row.leg().and_then(|leg| Some((leg, leg.measured()?))) else {
        return Vec::new();
    };
    if phase.usage.is_empty() {
        return Vec::new();
    }
    let mut grid = Grid::new(vec![
        left("process"),
        right("CPU µs\n/request"),
        right("/order,\ndrained"),
        right("core\nwait"),
        right("peak\nmemory"),
        right("read").expendable(2),
        right("written").expendable(1),
        left("busiest thread"),
    ]);
    let accepted = phase.purchases().accepted;
    for (name, usage) in ordered(&phase.usage) {
        let drained = leg.usage_until_drained.get(name);
        grid.push(process(
            &clean(name),
            usage,
            drained,
            phase.finished,
            accepted,
        ));
    }
    grid.push(vec![
        Cell::of(Tone::Strong, "system"),
        per(phase.system_cpu_ns(), phase.finished).into(),
        per(leg.system_cpu_until_drained_ns(), accepted).into(),
        "".into(),
        bytes(peak(&phase.usage)).into(),
        "".into(),
        "".into(),
        "".into(),
    ]);
    vec![Block::Heading(heading(row, leg)), Block::Table(grid)]
}

fn heading(row: &Row<'_>, leg: &Leg) -> String {
    let of = if row.counted.len() > 1 {
        format!(", round {}", leg.round)
    } else {
        String::new()
    };
    format!("CPU and memory: {}{of}", clean(&row.subject.id))
}

/// The system first, whoever takes the most CPU before the others.
fn ordered(usage: &UsageByProcess) -> Vec<(&String, &Usage)> {
    let mut processes: Vec<_> = usage.iter().collect();
    processes.sort_by_key(|(name, usage)| {
        let group = match name.as_str() {
            LAB => 2,
            DRIVER => 1,
            _ => 0,
        };
        (group, std::cmp::Reverse(usage.cpu_ns()))
    });
    processes
}

fn process(
    name: &str,
    usage: &Usage,
    drained: Option<&Usage>,
    finished: u64,
    accepted: u64,
) -> Vec<Cell> {
    let tone = if is_system_process(name) {
        Tone::Plain
    } else {
        Tone::Faint
    };
    let busiest = usage.busiest_thread.as_ref();
    let busiest =
        busiest.map(|thread| format!("{} {}", clean(&thread.name), percent(thread.share)));
    vec![
        Cell::of(tone, name),
        per(Some(usage.cpu_ns()), finished).into(),
        per(drained.map(Usage::cpu_ns), accepted).into(),
        or_nothing(usage.runqueue_wait_ns, |ns| per(Some(ns), finished)).into(),
        bytes(usage.peak_rss_bytes).into(),
        or_nothing(usage.read_bytes, bytes).into(),
        or_nothing(usage.written_bytes, bytes).into(),
        busiest.unwrap_or_else(|| NOTHING.to_owned()).into(),
    ]
}

fn per(ns: Option<u64>, count: u64) -> String {
    let ns = ns.filter(|_| count > 0);
    or_nothing(ns, |ns| significant(ns as f64 / 1e3 / count as f64))
}

fn peak(usage: &UsageByProcess) -> u64 {
    let system = usage.iter().filter(|(name, _)| is_system_process(name));
    system.map(|(_, usage)| usage.peak_rss_bytes).sum()
}
