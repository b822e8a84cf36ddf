//! Each leg on a line of its own: what a median hides, what disturbed it, and why its limit is
//! believed.

use super::figures::drain;
use crate::result::{Leg, Noise, Phase, Purpose, Run, Scenario};
use crate::view::grid::{Cell, Grid, left, right};
use crate::view::numbers::{NOTHING, grouped, ms, ns, or_nothing, percent, significant};
use crate::view::page::Block;
use crate::view::phrases;
use crate::view::subjects::Row;
use crate::view::text::{Tone, clean};

pub(super) fn blocks(run: &Run, scenario: &Scenario, rows: &[Row<'_>]) -> Vec<Block> {
    let legs: Vec<&Leg> = run
        .legs
        .iter()
        .filter(|leg| leg.scenario == scenario.name)
        .collect();
    if legs.is_empty() {
        return Vec::new();
    }
    let mut blocks = vec![
        Block::Heading("Legs, in their order".to_owned()),
        Block::Table(list(&legs)),
    ];
    blocks.push(Block::Heading("Noise and limits".to_owned()));
    blocks.push(Block::Table(noise(&legs, run.machine.cores)));
    let limits = limits(rows);
    if !limits.is_empty() {
        blocks.push(Block::Facts(limits));
    }
    let phases = phases(run, &legs);
    if !phases.rows.is_empty() {
        blocks.push(Block::Heading("Phases".to_owned()));
        blocks.push(Block::Table(phases));
    }
    blocks
}

fn list(legs: &[&Leg]) -> Grid {
    let mut grid = Grid::new(vec![
        left("leg"),
        right("#"),
        right("finished/s"),
        right("P99"),
        right("committed at\nlast reply"),
        right("drain"),
        left("flags"),
    ]);
    for leg in legs {
        let phase = leg.measured();
        let mut flags: Vec<String> = leg.flags.iter().map(|flag| flag.to_string()).collect();
        if !leg.complete {
            flags.insert(0, "incomplete".to_owned());
        }
        let p99 = phase.and_then(|phase| phase.headline_latencies().quantile_ns(0.99));
        grid.push(vec![
            clean(&leg.subject).into(),
            leg.round.to_string().into(),
            or_nothing(phase.map(Phase::finished_per_s), significant).into(),
            or_nothing(p99, ns).into(),
            or_nothing(leg.committed_at_last_reply, percent).into(),
            drain(leg.drain_ns).into(),
            Cell::of(Tone::Warn, flags.join(", ")),
        ]);
    }
    grid
}

fn noise(legs: &[&Leg], cores: u32) -> Grid {
    let mut grid = Grid::new(vec![
        left("leg"),
        right("#"),
        right("steal"),
        right("idle"),
        right("disk\nwait"),
        right("other\nCPU"),
        right("late\nlooks"),
        left("limited by"),
    ]);
    for leg in legs {
        let Some(phase) = leg.measured() else {
            continue;
        };
        let noise = &phase.noise;
        let share = |ns: u64| share_of_cores(noise, ns, cores);
        grid.push(vec![
            clean(&leg.subject).into(),
            leg.round.to_string().into(),
            share(noise.steal_ns).into(),
            share(noise.idle_ns).into(),
            share(noise.iowait_ns).into(),
            share(noise.foreign_cpu_ns).into(),
            grouped(noise.samples_missed).into(),
            phrases::limit_with_share(&phase.limit).into(),
        ]);
    }
    grid
}

fn share_of_cores(noise: &Noise, ns: u64, cores: u32) -> String {
    match noise.window_ns as f64 * f64::from(cores) {
        0.0 => NOTHING.to_owned(),
        all => percent(ns as f64 / all),
    }
}

/// The figures behind each limit, in the leg of median throughput.
fn limits(rows: &[Row<'_>]) -> Vec<(String, Cell)> {
    let of = |row: &Row<'_>| {
        let evidence = &row.phase()?.limit.evidence;
        let figure = |(name, value): (&String, &f64)| {
            let shown = match name.strip_suffix("_share") {
                Some(_) => percent(*value),
                None => significant(*value),
            };
            let name = name
                .strip_suffix("_share")
                .unwrap_or(name)
                .replace('_', "\u{a0}");
            format!("{}\u{a0}{shown}", clean(&name))
        };
        let said: Vec<String> = evidence.iter().map(figure).collect();
        (!said.is_empty()).then(|| (clean(&row.subject.id), Cell::from(said.join(", "))))
    };
    rows.iter().filter_map(of).collect()
}

/// What each phase was offered and did, in each leg.
fn phases(run: &Run, legs: &[&Leg]) -> Grid {
    let mut grid = Grid::new(vec![
        left("phase"),
        right("length"),
        right("due"),
        right("finished"),
        right("per s").expendable(2),
        right("P99"),
        right("in flight\nmean/max"),
        left("remarks"),
    ]);
    for leg in legs.iter().filter(|leg| !leg.phases.is_empty()) {
        grid.push_heading(&phrases::leg_name(run, leg));
        for phase in &leg.phases {
            let in_flight = phase.in_flight.as_ref();
            let in_flight = in_flight.map(|in_flight| {
                format!(
                    "{}/{}",
                    significant(in_flight.sampled_mean),
                    grouped(in_flight.max)
                )
            });
            grid.push(vec![
                format!("  {}", clean(&phase.name)).into(),
                ns(phase.length_ns).into(),
                grouped(phase.due).into(),
                grouped(phase.finished).into(),
                significant(phase.finished_per_s()).into(),
                or_nothing(phase.headline_latencies().quantile_ns(0.99), ns).into(),
                or_nothing(in_flight, |text| text).into(),
                remarks(phase).into(),
            ]);
        }
    }
    grid
}

fn remarks(phase: &Phase) -> String {
    let mut parts = Vec::new();
    if phase.purpose != Purpose::Measure {
        parts.push(phase.purpose.to_string().replace('_', "-"));
    }
    if let Some(offered) = phase.offered_per_s {
        parts.push(format!("offered {}/s", significant(offered)));
    }
    if phase.sent != phase.due {
        parts.push(format!("{} sent", grouped(phase.sent)));
    }
    if phase.waiting_at_end > 0 {
        parts.push(format!(
            "{} waiting at the end",
            grouped(phase.waiting_at_end)
        ));
    }
    parts.extend(phrases::dropped(phase).map(|dropped| format!("dropped {dropped}")));
    if let Some(lag) = phase.send_lag.as_ref().and_then(|lag| lag.read().ok())
        && let Some(p99) = lag.quantile_ns(0.99)
    {
        parts.push(format!("send lag P99 {}", ms(p99 as f64 / 1e6)));
    }
    if let Some(little) = phase.little.as_ref().filter(|little| little.applies) {
        let holds = if little.holds() { "holds" } else { "is BROKEN" };
        parts.push(format!(
            "Little's law {holds} ({:+.1} %)",
            (little.measured / little.expected - 1.0) * 100.0
        ));
    }
    parts.join("; ")
}
