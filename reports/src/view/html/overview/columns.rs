//! The axes that all rows of the overview share, with the lines that cross them: the engine that
//! sells nothing, and figures measured elsewhere.

use crate::result::{Leg, Run, Standing, metric};
use crate::stats::{self, Method};
use crate::view::html::Part;
use crate::view::html::plot::{Axis, Mark, short, short_ms, strip_axis};
use crate::view::html::processes::{Share, shares};
use crate::view::numbers::{ms, significant};
use crate::view::phrases;
use crate::view::ranking::Goal;
use crate::view::subjects::Row;
use crate::view::text::clean;
use maud::{Markup, html};
use std::collections::BTreeMap;

pub(super) struct Columns {
    pub(super) throughput: Axis,
    pub(super) latency: Axis,
    pub(super) cpu: Axis,
    pub(super) marks: Vec<Mark>,
    /// Least and greatest ratio to a subject's middle within which no other is told apart, by the
    /// subject's id: bars that do not overlap are separated.
    pub(super) bands: BTreeMap<String, (f64, f64)>,
    /// The same of P99 in ms, where that is what places are given by; `bands` is empty then.
    pub(super) p99_bands: BTreeMap<String, (f64, f64)>,
    pub(super) per: Per,
    /// Processes in the order of their bars, with their classes.
    processes: Vec<(String, &'static str)>,
    has_cpu: bool,
    has_durable: bool,
    latency_title: String,
    rounds: usize,
}

/// The three figures of a latency.
pub(super) const PERCENTILES: &str = "P50 · P99 · P99.9";

/// What CPU is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Per {
    Order,
    /// Where nearly all are refused, a cost per order says nothing.
    Request,
}

impl Per {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Request => "request",
        }
    }

    pub(super) fn metric(self) -> &'static str {
        match self {
            Self::Order => "cpu_us_per_order",
            Self::Request => "cpu_us_per_request",
        }
    }

    pub(super) fn shares(self, row: &Row<'_>) -> Vec<Share> {
        row.phase().map_or_else(Vec::new, |phase| {
            let count = match self {
                Self::Order => phase.purchases().accepted,
                Self::Request => phase.finished,
            };
            shares(phase, count)
        })
    }
}

impl Columns {
    pub(super) fn of(run: &Run, part: &Part<'_>) -> Self {
        let rows = &part.rows;
        let per = match rows.iter().any(Row::is_storm) {
            true => Per::Request,
            false => Per::Order,
        };
        let greatest = |values: Vec<Option<f64>>| values.into_iter().flatten().fold(0.0, f64::max);
        let rates = rows.iter().map(|row| {
            let range = row.range("throughput_per_s").map(|(_, greatest)| greatest);
            range.or(row.value("throughput_per_s"))
        });
        let rates = rates.chain(
            part.scenario
                .reference
                .iter()
                .map(|it| Some(it.requests_per_s)),
        );
        let latencies = rows
            .iter()
            .flat_map(|row| ["p50_ms", "p99_ms", "p999_ms"].map(|id| row.value(id)));
        let cpu = rows.iter().map(|row| {
            let stacked = per.shares(row).iter().map(|share| share.cpu_us).sum();
            Some(row.value(per.metric()).unwrap_or(0.0).max(stacked))
        });
        let cpu = greatest(cpu.collect());
        Self {
            throughput: Axis::from_zero(greatest(rates.collect())),
            latency: Axis::log(latencies.flatten()),
            cpu: Axis::from_zero(cpu),
            marks: marks(part),
            bands: bands(run, part, Goal::Throughput),
            p99_bands: bands(run, part, Goal::Latency),
            per,
            processes: processes(per, rows),
            has_cpu: cpu > 0.0,
            has_durable: rows.iter().any(|row| row.value("durable_p99_ms").is_some()),
            latency_title: latency_title(rows),
            rounds: rows.iter().map(|row| row.counted.len()).max().unwrap_or(0),
        }
    }

    pub(super) fn has_cpu(&self) -> bool {
        self.has_cpu
    }

    pub(super) fn has_durable(&self) -> bool {
        self.has_durable
    }

    pub(super) fn head(&self, has_places: bool) -> Markup {
        html! {
            thead role="rowgroup" {
                tr role="row" {
                    @if has_places { th.place scope="col" role="columnheader" { abbr title="place" { "#" } } }
                    th.engine scope="col" role="columnheader" { "Engine, and when to take it" }
                    th.cell scope="col" role="columnheader" { "Finished per second" (self.throughput_axis()) }
                    th.cell scope="col" role="columnheader" {
                        (self.latency_title) br; (PERCENTILES) (self.latency_axis())
                    }
                    @if self.has_cpu {
                        th.cell scope="col" role="columnheader" { "CPU µs per " (self.per.name()) (self.cpu_axis()) }
                    }
                    @if self.has_durable { th.durable scope="col" role="columnheader" { "Accepted to row, P99" } }
                }
            }
        }
    }

    pub(super) fn throughput_axis(&self) -> Markup {
        strip_axis(&self.throughput, short, &self.marks)
    }

    pub(super) fn latency_axis(&self) -> Markup {
        strip_axis(&self.latency, short_ms, &[])
    }

    pub(super) fn cpu_axis(&self) -> Markup {
        strip_axis(&self.cpu, short, &[])
    }

    pub(super) fn latency_title(&self) -> &str {
        &self.latency_title
    }

    pub(super) fn caption(&self) -> Markup {
        let dots = match (self.rounds, self.bands.is_empty()) {
            (0 | 1, _) => "One dot is one round.".to_owned(),
            (rounds, true) => format!(
                "Large dot: median of {rounds} rounds; small dots: each of them; line: their extremes."
            ),
            (rounds, false) => format!(
                "Large dot: median of {rounds} rounds; small dots: each of them; bar: engines whose bars do \
                 not overlap are different beyond chance (Tukey, 5 % for all pairs)."
            ),
        };
        html! {
            (dots) " Latency: from P50 to P99.9 on a logarithmic axis, the dot is P99."
            @if !self.p99_bands.is_empty() {
                " Places are those of P99, at the same rate for all: engines whose bars behind that dot do not overlap \
                 are different beyond chance (Tukey, 5 % for all pairs)."
            }
        }
    }

    /// What the colours of the CPU are, and the lines that cross the rows.
    pub(super) fn legend(&self) -> Markup {
        html! {
            @if !self.processes.is_empty() {
                ul.legend {
                    li { "CPU per " (self.per.name()) ":" }
                    @for (process, class) in &self.processes {
                        li {
                            svg.swatch aria-hidden="true" width="12" height="12" {
                                rect class=(class) width="12" height="12" {}
                            }
                            (clean(process))
                        }
                    }
                }
            }
            @if !self.marks.is_empty() {
                ul.legend {
                    @for mark in &self.marks {
                        li {
                            svg.swatch aria-hidden="true" width="14" height="14" {
                                line class=(mark.class) x1="7" x2="7" y1="0" y2="14" {}
                            }
                            @if mark.label != "null" { b { (mark.label) } " " }
                            (mark.about)
                        }
                    }
                }
            }
        }
    }
}

fn processes(per: Per, rows: &[Row<'_>]) -> Vec<(String, &'static str)> {
    let mut seen: Vec<(String, &'static str)> = Vec::new();
    for share in rows.iter().flat_map(|row| per.shares(row)) {
        if !seen.iter().any(|(process, _)| *process == share.process) {
            seen.push((share.process, share.class));
        }
    }
    seen.sort_by_key(|(process, class)| (*class, process.clone()));
    seen
}

fn marks(part: &Part<'_>) -> Vec<Mark> {
    let ceilings = part
        .rows
        .iter()
        .filter(|row| row.subject.standing == Standing::Ceiling);
    let ceilings = ceilings.filter_map(|row| {
        let value = row.value("throughput_per_s")?;
        let name = clean(&row.subject.id);
        Some(Mark {
            value,
            about: format!("{name}: {}/s, sells nothing", significant(value)),
            label: name,
            class: "null",
        })
    });
    let references = part.scenario.reference.iter().zip('A'..='Z');
    let references = references.map(|(reference, letter)| Mark {
        value: reference.requests_per_s,
        label: letter.to_string(),
        about: format!(
            "{}: {}/s at a P99 of {}, {}",
            clean(&reference.label),
            significant(reference.requests_per_s),
            ms(reference.p99_ms),
            clean(&reference.environment)
        ),
        class: "reference",
    });
    ceilings.chain(references).collect()
}

/// Of the metric that places are given by; empty where that is another.
fn bands(run: &Run, part: &Part<'_>, of: Goal) -> BTreeMap<String, (f64, f64)> {
    if part.ranking.goal != of {
        return BTreeMap::new();
    }
    let metric = metric(of.metric()).expect("a metric of the registry");
    let compared = stats::ranking(run, &part.scenario.name, metric);
    let Method::Tukey {
        significant_difference_ln,
        ..
    } = compared.method
    else {
        return BTreeMap::new();
    };
    let half = (significant_difference_ln / 2.0).exp();
    let entries = compared.entries.iter();
    entries
        .map(|entry| {
            let middle = entry.summary.middle();
            (entry.subject.clone(), (middle / half, middle * half))
        })
        .collect()
}

/// Which latencies these are, and under which load.
fn latency_title(rows: &[Row<'_>]) -> String {
    let offered: Vec<f64> = rows
        .iter()
        .filter_map(|row| row.phase()?.offered_per_s)
        .collect();
    let workers = rows.iter().find_map(workers);
    match offered.as_slice() {
        [] => match workers {
            Some(workers) => format!("Latency with {workers} in flight"),
            None => "Latency, closed loop".to_owned(),
        },
        [first, rest @ ..] if rest.iter().all(|other| (other / first - 1.0).abs() < 0.01) => {
            format!("Latency at {}/s", significant(*first))
        }
        _ => "Latency at each one's rate".to_owned(),
    }
}

fn workers(row: &Row<'_>) -> Option<u32> {
    let phase = row.phase()?;
    let mut plans = row.scenario.phases.iter();
    let plan = plans.rfind(|plan| plan.name == phase.name);
    plan.or(row.scenario.measured_phase())?.arrival.workers
}

/// What limited it in the leg of median throughput.
pub(super) fn limit(row: &Row<'_>) -> String {
    row.leg()
        .and_then(Leg::measured)
        .map_or_else(String::new, |phase| phrases::limit(&phase.limit))
}
