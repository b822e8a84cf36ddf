//! Latency by percentile, as HdrHistogram's plotters show it: each step to the right is a tenth of
//! the requests that are left. Both clocks, side by side on the same axes: what a buyer felt, and
//! what came after the request had really been sent.

use super::plot::{Axis, Frame, canvas, path, short_ms};
use crate::result::{Latencies, LatencyClock, Phase, Standing};
use crate::view::numbers::ns;
use crate::view::phrases;
use crate::view::subjects::{Audit, Row};
use crate::view::text::clean;
use maud::{Markup, html};

const HEIGHT_PX: u32 = 280;
/// Corners of a line for each tenth that is left.
const STEPS: u32 = 12;
/// The fastest few requests would stretch the axis and answer no question.
const QUANTILE_MIN: f64 = 0.17;
/// Five nines; further right lies less than one request of a hundred thousand.
const NINES_MAX: u32 = 5;
const NINES_MIN: u32 = 2;
/// Percentiles that have a dot to hover over, by the number of nines.
const DOTS: [(f64, &str); 5] = [
    (std::f64::consts::LOG10_2, "P50"),
    (1.0, "P90"),
    (2.0, "P99"),
    (3.0, "P99.9"),
    (4.0, "P99.99"),
];
const LABELS: [&str; 6] = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"];
/// Colours and dashes that tell lines apart.
const LINES: usize = 10;

struct Line {
    name: String,
    class: String,
    felt: Latencies,
    sent: Latencies,
}

pub(super) fn section(rows: &[Row<'_>]) -> Markup {
    let lines: Vec<Line> = rows.iter().enumerate().map(line).collect();
    let lines: Vec<Line> = lines
        .into_iter()
        .filter(|line| !line.felt.is_empty() || !line.sent.is_empty())
        .collect();
    if lines.is_empty() {
        return html! {};
    }
    let all = || lines.iter().flat_map(|line| [&line.felt, &line.sent]);
    let most = all().map(Latencies::count).max().unwrap_or(1);
    let nines = (most.max(1).ilog10()).clamp(NINES_MIN, NINES_MAX);
    let values = all()
        .filter(|latencies| !latencies.is_empty())
        .flat_map(|latencies| {
            [QUANTILE_MIN, 1.0 - 0.1f64.powi(nines as i32)].map(|q| ms_at(latencies, q))
        });
    let y = Axis::log(values);
    let clock = rows.iter().find_map(Row::phase).map(Phase::headline_clock);
    let felt = clock.as_ref().map_or("", phrases::clock);
    let has_sent = lines.iter().any(|line| !line.sent.is_empty());
    html! {
        section {
            h2 { "Latency by percentile" }
            (legend(&lines))
            div.panels {
                figure {
                    h3 { "Felt: " (felt) }
                    (chart(&lines, nines, &y, felt, |line| &line.felt))
                }
                @if has_sent {
                    figure {
                        h3 { "On the wire: " (phrases::clock(&LatencyClock::Sent)) }
                        (chart(&lines, nines, &y, phrases::clock(&LatencyClock::Sent), |line| &line.sent))
                    }
                }
            }
            p.caption {
                "All rounds that count, everything that ended. Every step to the right is the slowest tenth of \
                 the step before it, and both axes are logarithmic. The figures are in the table “Latency” below."
            }
        }
    }
}

fn line((index, row): (usize, &Row<'_>)) -> Line {
    let phases: Vec<&Phase> = row
        .counted
        .iter()
        .filter_map(|leg| leg.measured())
        .collect();
    let merged = |of: &dyn Fn(&Phase) -> Latencies| {
        let mut merged = Latencies::new();
        phases.iter().for_each(|phase| merged.merge(&of(phase)));
        merged
    };
    Line {
        name: name(row),
        class: class(index, row),
        felt: merged(&Phase::headline_latencies),
        sent: merged(&|phase| phase.latencies(&LatencyClock::Sent, None)),
    }
}

/// In charts of several engines. Figures of one that lost an order are no answer, there or elsewhere.
pub(super) fn name(row: &Row<'_>) -> String {
    match row.audit() {
        Audit::Failed => format!("{} (audit FAILED)", clean(&row.subject.id)),
        _ => clean(&row.subject.id),
    }
}

/// The engine that sells nothing is grey wherever it stands, and so is one whose audit failed.
fn class(index: usize, row: &Row<'_>) -> String {
    match row.subject.standing {
        _ if row.audit() == Audit::Failed => "line l-failed".to_owned(),
        Standing::Ceiling => "line l-null".to_owned(),
        _ => format!("line l{}", index % LINES),
    }
}

fn legend(lines: &[Line]) -> Markup {
    html! {
        ul.legend {
            @for line in lines {
                li {
                    svg.swatch aria-hidden="true" width="28" height="10" {
                        line class=(line.class) x1="0" x2="28" y1="5" y2="5" {}
                    }
                    (line.name)
                }
            }
        }
    }
}

fn chart(lines: &[Line], nines: u32, y: &Axis, clock: &str, of: fn(&Line) -> &Latencies) -> Markup {
    let x_labels: Vec<(f64, String)> = (0..=nines)
        .map(|nine| {
            let label = LABELS.get(nine as usize).copied().unwrap_or_default();
            (f64::from(nine) / f64::from(nines), label.to_owned())
        })
        .collect();
    let y_labels: Vec<(f64, String)> = y
        .ticks(6)
        .into_iter()
        .map(|tick| (y.share(tick), short_ms(tick)))
        .collect();
    let said: Vec<String> = lines
        .iter()
        .filter(|line| !of(line).is_empty())
        .map(|line| format!("{} P99 {}", line.name, p(of(line), 0.99)))
        .collect();
    let about = format!("latency by percentile, {clock}: {}", said.join(", "));
    let frame = Frame {
        height_px: HEIGHT_PX,
        about: &about,
        x: &x_labels,
        y: &y_labels,
    };
    let drawn = lines.iter().filter(|line| !of(line).is_empty());
    let drawn: Vec<&Line> = drawn.collect();
    frame.drawn(&html! {
        (canvas(&html! {
            @for line in &drawn { path class=(line.class) d=(curve(of(line), nines, y)) {} }
        }))
        @for line in &drawn { (dots(line, of(line), nines, y)) }
    })
}

fn p(latencies: &Latencies, quantile: f64) -> String {
    latencies.quantile_ns(quantile).map_or_else(String::new, ns)
}

fn ms_at(latencies: &Latencies, quantile: f64) -> f64 {
    latencies.quantile_ns(quantile).unwrap_or(0) as f64 / 1e6
}

/// As far right as there are requests to speak for it.
fn reach(latencies: &Latencies, nines: u32) -> f64 {
    (latencies.count().max(1) as f64)
        .log10()
        .min(f64::from(nines))
}

fn curve(latencies: &Latencies, nines: u32, y: &Axis) -> String {
    let end = reach(latencies, nines);
    let steps = (end * f64::from(STEPS)).floor() as u32;
    let at = (1..=steps).map(|step| f64::from(step) / f64::from(STEPS));
    let corners = at.chain([end]).map(|nine| {
        let value = ms_at(latencies, 1.0 - 10f64.powf(-nine));
        Some((nine / f64::from(nines), y.share(value)))
    });
    path(&corners.collect::<Vec<_>>())
}

fn dots(line: &Line, latencies: &Latencies, nines: u32, y: &Axis) -> Markup {
    let end = reach(latencies, nines);
    html! {
        @for (nine, name) in DOTS.iter().filter(|(nine, _)| *nine <= end) {
            @let quantile = 1.0 - 10f64.powf(-nine);
            circle class={ "point " (line.class) } r="3.5"
                cx=(super::plot::percent(nine / f64::from(nines)))
                cy=(y.y(ms_at(latencies, quantile))) {
                title { (line.name) ", " (name) ": " (p(latencies, quantile)) }
            }
        }
    }
}
