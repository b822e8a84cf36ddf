//! The measured phase second by second, one small chart per engine on common axes: what medians
//! hide. The leg of median throughput is drawn strong, the other rounds thin behind it.

use super::plot::{Axis, Frame, canvas, path, percent, short, short_ms};
use super::{blocks, latency};
use crate::result::{Latencies, Leg, Phase, Standing};
use crate::view::grid::{Grid, right};
use crate::view::numbers::{NOTHING, ms, or_nothing, significant};
use crate::view::stalls;
use crate::view::subjects::{Audit, Row};
use crate::view::text::clean;
use maud::{Markup, html};

/// How closely a phase is shown; longer ones combine intervals.
#[derive(Clone, Copy)]
struct Detail {
    points_max: usize,
    /// Whether each point can be hovered over, and every round is drawn.
    is_whole: bool,
}

/// A page of more engines than this, in all its scenarios, would be too large with every detail.
const ENGINES_MAX: usize = 12;
const CLOSE: Detail = Detail {
    points_max: 64,
    is_whole: true,
};
const COARSE: Detail = Detail {
    points_max: 16,
    is_whole: false,
};
/// A last interval shorter than this share of the others says little about a rate.
const WHOLE_SHARE: f64 = 0.5;

/// Intervals that are shown as one.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    t_s: f64,
    length_s: f64,
    finished: u64,
    /// Of all that ended in them; none where nothing did.
    p99_ms: Option<f64>,
}

impl Step {
    fn rate(&self) -> f64 {
        self.finished as f64 / self.length_s
    }
}

struct Engine {
    name: String,
    is_failed: bool,
    /// Of the leg of median throughput.
    main: Vec<Step>,
    others: Vec<Vec<Step>>,
    /// Seconds in which nothing was answered: from, to.
    stall: Option<(f64, f64)>,
}

/// `engines_of_page`: with those of all other scenarios.
pub(super) fn section(rows: &[Row<'_>], engines_of_page: usize) -> Markup {
    let detail = match engines_of_page {
        0..=ENGINES_MAX => CLOSE,
        _ => COARSE,
    };
    let engine = |row| engine(row, detail);
    // What sells nothing would stretch the axes of those that do.
    let sells = |row: &&Row<'_>| row.subject.standing != Standing::Ceiling;
    let mut engines: Vec<Engine> = rows.iter().filter(sells).filter_map(engine).collect();
    let others = rows.iter().filter(|row| !sells(row));
    let mut left_out: Vec<String> = others.map(|row| clean(&row.subject.id)).collect();
    if engines.is_empty() {
        left_out.clear();
        engines = rows.iter().filter_map(engine).collect();
    }
    if engines.is_empty() {
        return html! {};
    }
    let all = || {
        engines
            .iter()
            .flat_map(|engine| engine.others.iter().chain([&engine.main]))
            .flatten()
    };
    let greatest = |of: fn(&Step) -> f64| all().map(of).fold(0.0, f64::max);
    let axes = Axes {
        seconds: Axis::between(0.0, greatest(|step| step.t_s + step.length_s)),
        rate: Axis::from_zero(greatest(Step::rate)),
        p99: Axis::log(all().filter_map(|step| step.p99_ms)),
        has_hover: detail.is_whole,
    };
    html! {
        section {
            h2 { "Over time" }
            div.multiples {
                @for engine in &engines { (multiple(engine, &axes)) }
            }
            p.caption {
                "Above: finished per second; below: P99 in ms, on a logarithmic axis. Strong: the leg of median \
                 throughput; "
                @if detail.is_whole { "thin: the other rounds; " }
                "shaded: nothing was answered. All engines share their axes."
                @if !detail.is_whole { " With so many engines on a page, in long steps and without the other rounds." }
                @if !left_out.is_empty() {
                    " Left out, because it sells nothing and would stretch them: " (left_out.join(", ")) "."
                }
            }
            details {
                summary { "Over time, as a table" }
                (blocks::table("Over time", &table(&engines)))
            }
        }
    }
}

struct Axes {
    seconds: Axis,
    rate: Axis,
    p99: Axis,
    has_hover: bool,
}

fn engine(row: &Row<'_>, detail: Detail) -> Option<Engine> {
    let main = row.leg()?;
    let others = row.counted.iter();
    let others = others.filter(|leg| detail.is_whole && leg.id != main.id);
    let engine = Engine {
        name: latency::name(row),
        is_failed: row.audit() == Audit::Failed,
        main: steps(main, detail),
        others: others.map(|leg| steps(leg, detail)).collect(),
        stall: main.measured().and_then(stalls::longest).map(|stall| {
            let from_s = stall.from_ns as f64 / 1e9;
            (from_s, from_s + stall.length_ns as f64 / 1e9)
        }),
    };
    (engine.main.len() > 1).then_some(engine)
}

fn steps(leg: &Leg, detail: Detail) -> Vec<Step> {
    let steps = |phase| steps_of(phase, detail);
    leg.measured().map_or_else(Vec::new, steps)
}

fn steps_of(phase: &Phase, detail: Detail) -> Vec<Step> {
    let intervals = &phase.timeline;
    let together = intervals.len().div_ceil(detail.points_max).max(1);
    let step = |together: &[crate::result::Interval]| {
        let mut latencies = Latencies::new();
        let read = together.iter().map(|interval| interval.latency.read());
        read.flatten().for_each(|of_one| latencies.merge(&of_one));
        let p99_ns = latencies.quantile_ns(0.99);
        Step {
            t_s: together[0].t_ns as f64 / 1e9,
            length_s: together.iter().map(|it| it.length_ns).sum::<u64>() as f64 / 1e9,
            finished: together.iter().map(|it| it.counts.total()).sum(),
            p99_ms: p99_ns.map(|p99_ns| p99_ns as f64 / 1e6),
        }
    };
    let mut steps: Vec<Step> = intervals.chunks(together).map(step).collect();
    steps.retain(|step| step.length_s > 0.0);
    if let [first, .., last] = steps.as_slice()
        && last.length_s < WHOLE_SHARE * first.length_s
    {
        steps.pop();
    }
    steps
}

fn multiple(engine: &Engine, axes: &Axes) -> Markup {
    let rates: Vec<f64> = engine.main.iter().map(Step::rate).collect();
    let extremes = |values: &[f64]| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        (low, values.iter().copied().fold(0.0, f64::max))
    };
    let (slowest, fastest) = extremes(&rates);
    let worst = engine.main.iter().filter_map(|step| step.p99_ms);
    let worst = worst.reduce(f64::max);
    let rate_about = format!(
        "{}, finished per second over time: from {} to {}",
        engine.name,
        significant(slowest),
        significant(fastest)
    );
    let p99_about = format!(
        "{}, P99 over time: at most {}",
        engine.name,
        or_nothing(worst, ms)
    );
    let labels = |axis: &Axis, show: fn(f64) -> String, most: usize| -> Vec<(f64, String)> {
        let ticks = axis.ticks(most).into_iter();
        ticks.map(|tick| (axis.share(tick), show(tick))).collect()
    };
    let (above, below) = (
        Frame {
            height_px: 84,
            about: &rate_about,
            x: &[],
            y: &labels(&axes.rate, short, 3),
        },
        Frame {
            height_px: 84,
            about: &p99_about,
            x: &labels(
                &axes.seconds,
                |second| format!("{}\u{a0}s", short(second)),
                5,
            ),
            y: &labels(&axes.p99, short_ms, 3),
        },
    );
    html! {
        figure.multiple.failed[engine.is_failed] {
            h3 { (engine.name) }
            (above.drawn(&layer(engine, axes, |step, axes| Some(axes.rate.share(step.rate())))))
            (below.drawn(&layer(engine, axes, |step, axes| Some(axes.p99.share(step.p99_ms?)))))
        }
    }
}

/// Lines of one of the two charts, and what one can hover over.
fn layer(engine: &Engine, axes: &Axes, of: fn(&Step, &Axes) -> Option<f64>) -> Markup {
    let line = |steps: &[Step]| {
        let corner = |step: &Step| {
            let middle = axes.seconds.share(step.t_s + step.length_s / 2.0);
            Some((middle, of(step, axes)?))
        };
        path(&steps.iter().map(corner).collect::<Vec<_>>())
    };
    let width = |from: f64, to: f64| percent(axes.seconds.share(to) - axes.seconds.share(from));
    html! {
        @if let Some((from, to)) = engine.stall {
            rect.stall x=(percent(axes.seconds.share(from))) width=(width(from, to)) y="0" height="100%" {
                title { "nothing was answered for " (ms((to - from) * 1e3)) }
            }
        }
        (canvas(&html! {
            @for other in &engine.others { path.thin d=(line(other)) {} }
            path.strong d=(line(&engine.main)) {}
        }))
        @for step in engine.main.iter().filter(|_| axes.has_hover) {
            rect.hover x=(percent(axes.seconds.share(step.t_s)))
                width=(width(step.t_s, step.t_s + step.length_s)) {
                title {
                    (short(step.t_s)) " s: " (significant(step.rate())) "/s, P99 " (or_nothing(step.p99_ms, ms))
                }
            }
        }
    }
}

/// The strong lines as figures.
fn table(engines: &[Engine]) -> Grid {
    let mut columns = vec![right("from s")];
    for engine in engines {
        columns.push(right(&format!("{}, finished/s", engine.name)));
        columns.push(right("P99"));
    }
    let mut grid = Grid::new(columns);
    let longest = engines.iter().max_by_key(|engine| engine.main.len());
    for (index, row) in longest
        .map_or(&[][..], |engine| &engine.main)
        .iter()
        .enumerate()
    {
        let mut cells = vec![short(row.t_s).into()];
        for engine in engines {
            let step = engine.main.get(index);
            // Phases of other lengths may have steps of other lengths.
            let step = step.filter(|step| (step.t_s - row.t_s).abs() < step.length_s / 2.0);
            cells.push(or_nothing(step, |step| significant(step.rate())).into());
            let p99 = step.and_then(|step| step.p99_ms);
            cells.push(p99.map_or_else(|| NOTHING.to_owned(), ms).into());
        }
        grid.push(cells);
    }
    grid
}
