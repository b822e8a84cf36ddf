//! The measured phase second by second, as a line of bars: finished requests per second and P99.

use crate::result::{Interval, Phase};
use crate::view::numbers::{counted, ms, significant};
use crate::view::page::Block;
use crate::view::stalls;
use crate::view::subjects::Row;
use crate::view::text::clean;

pub(in crate::view) const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Bars that fit beside their labels on the narrowest screen; longer phases combine seconds.
const BARS_MAX: usize = 40;
const SECOND_NS: u64 = 1_000_000_000;

pub(super) fn blocks(rows: &[Row<'_>]) -> Vec<Block> {
    let mut drawn = Vec::new();
    for row in rows {
        let Some(phase) = row.phase().filter(|phase| phase.timeline.len() > 1) else {
            continue;
        };
        drawn.push(clean(&row.subject.id));
        drawn.extend(lines(phase));
    }
    match drawn.is_empty() {
        true => Vec::new(),
        false => vec![Block::Heading("Timeline".to_owned()), Block::Drawing(drawn)],
    }
}

fn lines(phase: &Phase) -> Vec<String> {
    let end_ns = phase
        .timeline
        .last()
        .map_or(0, |last| last.t_ns + last.length_ns);
    let seconds = end_ns.div_ceil(SECOND_NS).max(1);
    // Short phases by the interval, long ones by whole seconds.
    let step_ns = match phase.timeline.len() {
        few if few <= BARS_MAX => phase.timeline[0].length_ns.max(1),
        _ => seconds.div_ceil(BARS_MAX as u64) * SECOND_NS,
    };
    let steps = steps(&phase.timeline, step_ns);
    let rates: Vec<f64> = steps.iter().map(|step| step.rate()).collect();
    let p99s: Vec<f64> = steps.iter().map(|step| step.p99_ms).collect();
    let greatest = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let mut lines = vec![
        format!(
            "  finished/s  {}  up to {}",
            bars(&rates),
            significant(greatest(&rates))
        ),
        format!(
            "  P99         {}  up to {}",
            bars(&p99s),
            ms(greatest(&p99s))
        ),
    ];
    let mut said = format!("  one bar is {}", ms(step_ns as f64 / 1e6));
    if let Some(stall) = stalls::longest(phase) {
        said.push_str(&format!(
            "; nothing was answered for {} from {} on",
            ms(stall.length_ns as f64 / 1e6),
            ms(stall.from_ns as f64 / 1e6)
        ));
    }
    said.push_str(&format!(
        "; {}",
        counted(phase.timeline.len() as u64, "interval")
    ));
    lines.push(said);
    lines
}

#[derive(Clone, Copy, Debug, Default)]
struct Step {
    finished: u64,
    length_ns: u64,
    /// The worst of the intervals.
    p99_ms: f64,
}

impl Step {
    fn rate(&self) -> f64 {
        match self.length_ns {
            0 => 0.0,
            length_ns => self.finished as f64 * 1e9 / length_ns as f64,
        }
    }
}

fn steps(timeline: &[Interval], step_ns: u64) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for interval in timeline {
        let index = (interval.t_ns / step_ns) as usize;
        if steps.len() <= index {
            steps.resize(index + 1, Step::default());
        }
        let read = interval.latency.read().unwrap_or_default();
        let p99_ms = read.quantile_ns(0.99).unwrap_or(0) as f64 / 1e6;
        let step = &mut steps[index];
        step.finished += interval.counts.total();
        step.length_ns += interval.length_ns;
        step.p99_ms = step.p99_ms.max(p99_ms);
    }
    steps
}

/// From nothing to the greatest value; a blank where it is 0.
fn bars(values: &[f64]) -> String {
    let greatest = values.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| {
        if *value <= 0.0 || greatest <= 0.0 {
            return ' ';
        }
        let level = (value / greatest * BARS.len() as f64).ceil() as usize;
        BARS[level.clamp(1, BARS.len()) - 1]
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_reach_from_nothing_to_the_greatest() {
        assert_eq!(bars(&[0.0, 1.0, 4.0, 8.0]), " ▁▄█");
        assert_eq!(bars(&[0.0, 0.0]), "  ");
    }
}
