//! A history as text: of each series its anchor, a line of bars and the latest ratio of every metric,
//! the commits at which something changed, and the newest results.

use super::Screen;
use super::details::timeline::BARS;
use super::grid::{Cell, Grid, left, right};
use super::numbers::{counted, significant};
use super::page::{Block, drawn};
use super::text::{Tone, clean, joined};
use crate::history::{CHANGES, Change, Entry, History, Line, POINTS_MAX, Ratio, Series};
use crate::result::{Good, Verdict, metric};
use std::time::{Duration, UNIX_EPOCH};

/// Results in a line of bars, and rows of a table.
const NEWEST: usize = 20;
/// Bars reach over at least this ratio, so that noise does not look like a mountain range.
const BARS_RATIO_MIN: f64 = 1.1;
/// 9999-12-31, the last date that has four digits for its year.
const UNIX_S_MAX: u64 = 253_402_300_799;

/// What is shown of a history.
#[derive(Clone, Copy, Debug, Default)]
pub struct HistoryFilter<'a> {
    /// Name of a scenario.
    pub scenario: Option<&'a str>,
    /// Id of a metric.
    pub metric: Option<&'a str>,
}

impl HistoryFilter<'_> {
    /// Whether anything of a line is shown.
    pub fn keeps(&self, line: &Line) -> bool {
        self.scenario.is_none_or(|name| line.key.scenario == name)
            && self.metric.is_none_or(|id| line.metrics.contains_key(id))
    }
}

/// Every series of the history, one below the other.
pub fn history(history: &History, filter: HistoryFilter<'_>, screen: Screen) -> String {
    let mut blocks = Vec::new();
    for series in history.series() {
        if series.entries.iter().any(|entry| filter.keeps(&entry.line)) {
            blocks.extend(of_series(&series, filter));
        }
    }
    if blocks.is_empty() {
        let nothing = "The history holds no such result.".to_owned();
        blocks.push(Block::Text(Tone::Plain, nothing));
    }
    joined(&drawn(&blocks, screen.columns()), screen.colour)
}

fn of_series(series: &Series<'_>, filter: HistoryFilter<'_>) -> Vec<Block> {
    let mut metrics: Vec<&str> = series.metrics().into_iter().collect();
    metrics.retain(|id| filter.metric.is_none_or(|wanted| wanted == *id));
    let mut blocks = vec![
        Block::Heading(clean(&series.key.described())),
        Block::Facts(facts(series)),
        Block::Table(summary(series, &metrics)),
    ];
    blocks.extend(changes(series, &metrics));
    blocks.push(Block::Table(newest(series, &metrics)));
    if let Some(earlier) = series.entries.len().checked_sub(NEWEST + 1) {
        let earlier = counted(earlier as u64 + 1, "earlier result");
        blocks.push(Block::Text(Tone::Faint, format!("and {earlier}")));
    }
    blocks
}

fn facts(series: &Series<'_>) -> Vec<(String, Cell)> {
    let fact = |name: &str, text: String| (name.to_owned(), Cell::from(clean(&text)));
    let conditions = series.key.conditions.iter();
    let conditions: Vec<String> = conditions
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let sha256: String = series.key.scenario_sha256.chars().take(12).collect();
    let segment = match series.segment {
        1 => String::new(),
        later => format!(", segment {later}"),
    };
    let date_of = |entry: Option<&&Entry>| entry.map_or_else(String::new, |it| date(&it.line));
    let results = format!(
        "{}, {} to {}",
        counted(series.entries.len() as u64, "result"),
        date_of(series.entries.first()),
        date_of(series.entries.last()),
    );
    vec![
        fact("anchor", series.anchor().short() + &segment),
        fact(
            "scenario",
            format!("{}, sha256 {sha256}", series.key.scenario),
        ),
        fact("measured", results),
        fact("under", conditions.join(", ")),
    ]
}

/// One row per metric: its newest results as bars, oldest first, and what the lowest and the highest
/// bar stand for.
fn summary(series: &Series<'_>, metrics: &[&str]) -> Grid {
    let mut grid = Grid::new(vec![
        left("head / anchor"),
        left(&format!("newest {NEWEST}")),
        right("from–to").expendable(1),
        right("latest"),
    ]);
    for id in metrics {
        let points: Vec<f64> = series.points(id).into_iter().map(|(_, ln)| ln).collect();
        let latest = points.last().map(|ln| times(id, *ln));
        let newest = &points[points.len().saturating_sub(NEWEST)..];
        let (lowest, highest) = scale(newest);
        grid.push(vec![
            Cell::of(Tone::Strong, clean(id)),
            bars(newest, lowest, highest).into(),
            Cell::of(
                Tone::Faint,
                format!("{}–{}×", decimals(lowest), decimals(highest)),
            ),
            latest.unwrap_or_default().into(),
        ]);
    }
    grid
}

/// A sentence per change point, or why there is none.
fn changes(series: &Series<'_>, metrics: &[&str]) -> Vec<Block> {
    let needed = 2 * CHANGES.segment_min;
    let (mut blocks, mut few, mut most) = (Vec::new(), Vec::new(), 0);
    for id in metrics {
        let points = series.points(id).len();
        most = most.max(points);
        if points < needed {
            few.push((*id, points));
            continue;
        }
        for change in series.changes(id) {
            let (tone, text) = sentence(&series.key.engine, id, &change);
            blocks.push(Block::Text(tone, text));
        }
    }
    let faint = |text: String| Block::Text(Tone::Faint, text);
    if blocks.is_empty() && few.len() < metrics.len() {
        blocks.push(faint("No change point.".to_owned()));
    }
    let all_alike = few.len() == metrics.len() && few.iter().all(|(_, points)| *points == most);
    if all_alike {
        let has = counted(most as u64, "result");
        blocks.push(faint(format!(
            "{has}: change points are looked for from {needed} on."
        )));
    } else if !few.is_empty() {
        let few: Vec<String> = few
            .iter()
            .map(|(id, points)| format!("{} has {}", clean(id), counted(*points as u64, "result")))
            .collect();
        blocks.push(faint(format!(
            "Too few to look for change points, which takes {needed}: {}.",
            few.join(", ")
        )));
    }
    if most > POINTS_MAX {
        blocks.push(faint(format!(
            "Change points are looked for in the newest {POINTS_MAX} results."
        )));
    }
    blocks
}

fn sentence(engine: &str, id: &str, change: &Change<'_>) -> (Tone, String) {
    let title = metric(id).map_or(id, |metric| metric.title);
    let mut letters = title.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    let title = first.unwrap_or_default() + letters.as_str();
    let is_up = change.since_ln > change.before_ln;
    let tone = match metric(id).map(|metric| metric.good()) {
        Ok(Good::Up) if is_up => Tone::Good,
        Ok(Good::Down) if !is_up => Tone::Good,
        Ok(Good::Up | Good::Down) => Tone::Bad,
        _ => Tone::Warn,
    };
    let percent = (change.ratio() - 1.0).abs() * 100.0;
    let size = match percent {
        _ if !change.before_ln.is_finite() || !change.since_ln.is_finite() => {
            " beyond measure".to_owned()
        }
        percent if percent < 10.0 => format!(" by {percent:.1}\u{a0}%"),
        percent => format!(" by {percent:.0}\u{a0}%"),
    };
    let text = format!(
        "{} of {} {}{size} at commit {} (p\u{a0}=\u{a0}{}): {} over {} before, {} over {} since.",
        clean(&title),
        clean(engine),
        if is_up { "rose" } else { "fell" },
        clean(&change.head.short()),
        format_args!("{:.3}", change.p),
        times(id, change.before_ln),
        counted(change.before as u64, "result"),
        times(id, change.since_ln),
        counted(change.since as u64, "result"),
    );
    (tone, text)
}

/// Newest last, as in a log.
fn newest(series: &Series<'_>, metrics: &[&str]) -> Grid {
    let mut columns = vec![left("commit"), left("date")];
    columns.extend(metrics.iter().map(|id| right(&clean(id))));
    columns.extend([right("rate/s"), left("gate")]);
    let mut grid = Grid::new(columns).repeating(2);
    let skipped = series.entries.len().saturating_sub(NEWEST);
    for (index, entry) in series.entries.iter().enumerate().skip(skipped) {
        let line = &entry.line;
        let repeat = if series.is_repeat(index) {
            " (repeat)"
        } else {
            ""
        };
        let mut row = vec![
            Cell::of(Tone::Strong, clean(&line.head.short()) + repeat),
            date(line).into(),
        ];
        row.extend(metrics.iter().map(|id| {
            let ratio = line.metrics.get(*id);
            let shown = ratio.map_or_else(String::new, |ratio| with_bounds(id, ratio));
            Cell::from(shown)
        }));
        row.push(significant(line.rate_per_s).into());
        let tone = match line.verdict {
            Verdict::Pass => Tone::Good,
            Verdict::Fail => Tone::Bad,
            _ => Tone::Warn,
        };
        row.push(Cell::of(tone, clean(line.verdict.as_str())));
        grid.push(row);
    }
    grid
}

/// `1.021× 0.984–1.060`.
fn with_bounds(id: &str, ratio: &Ratio) -> String {
    let (lower, upper) = (ratio.lower_ln.0, ratio.upper_ln.0);
    let middle = times(id, ratio.ln.0);
    if lower.is_finite() && upper.is_finite() {
        format!("{middle} {}–{}", decimals(lower), decimals(upper))
    } else {
        middle
    }
}

/// `1.021×`. Infinite is only what one side failed at: a latency where it missed the rate, a
/// throughput where it finished nothing.
fn times(id: &str, ln: f64) -> String {
    if ln.is_finite() {
        return format!("{}×", decimals(ln));
    }
    let is_worse = match metric(id).map(|metric| metric.good()) {
        Ok(Good::Up) => ln < 0.0,
        _ => ln > 0.0,
    };
    let whose = if is_worse { "" } else { "anchor " };
    match metric(id).map(|metric| metric.good()) {
        Ok(Good::Up) => format!("{whose}finished nothing"),
        _ => format!("{whose}rate missed"),
    }
}

/// The ratio of a logarithm.
fn decimals(ln: f64) -> String {
    format!("{:.3}", ln.exp())
}

/// In UTC, as in `2026-11-27`.
fn date(line: &Line) -> String {
    let unix_s = u64::try_from(line.measured_unix_us / 1_000_000).unwrap_or(0);
    let at = UNIX_EPOCH + Duration::from_secs(unix_s.min(UNIX_S_MAX));
    let text = humantime::format_rfc3339_seconds(at).to_string();
    text.chars().take(10).collect()
}

/// Logarithms of the ratios for which the lowest and the highest bar stand.
fn scale(values: &[f64]) -> (f64, f64) {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let lowest = finite().fold(f64::INFINITY, f64::min);
    let highest = finite().fold(f64::NEG_INFINITY, f64::max);
    if lowest > highest {
        return (0.0, 0.0);
    }
    let missing = (BARS_RATIO_MIN.ln() - (highest - lowest)).max(0.0);
    (lowest - missing / 2.0, highest + missing / 2.0)
}

fn bars(values: &[f64], lowest: f64, highest: f64) -> String {
    let bar = |value: &f64| {
        let share = ((value - lowest) / (highest - lowest)).clamp(0.0, 1.0);
        let level = (share * BARS.len() as f64) as usize;
        BARS[level.min(BARS.len() - 1)]
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_do_not_exaggerate_noise() {
        let noise = [0.001, -0.001, 0.0, 0.001];
        let (lowest, highest) = scale(&noise);
        assert!((highest - lowest - 1.1f64.ln()).abs() < 1e-12);
        assert_eq!(bars(&noise, lowest, highest), "▅▄▅▅");
        let step = [0.0, 0.0, 0.5, f64::INFINITY, f64::NEG_INFINITY];
        let (lowest, highest) = scale(&step);
        assert_eq!((lowest, highest), (0.0, 0.5));
        assert_eq!(bars(&step, lowest, highest), "▁▁██▁");
        let missed = [f64::INFINITY; 2];
        let (lowest, highest) = scale(&missed);
        assert_eq!(bars(&missed, lowest, highest), "██");
    }
}
