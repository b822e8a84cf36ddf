//! Axes and marks of the charts. Values become per cent of a drawing's width and height, so a chart
//! fills whatever place it has while its text and dots keep their size; only lines are scaled.

use crate::view::numbers::significant;
use maud::{Markup, html};

/// Part of a drawing's width that stays free at either end, so that no mark is cut.
const MARGIN: f64 = 0.015;
/// Lines are drawn on a canvas of so many steps, and scaled with it.
const CANVAS_X: f64 = 2_000.0;
const CANVAS_Y: f64 = 1_000.0;
/// Nearer to an edge than this share, a label begins or ends there instead of being centred.
const EDGE: f64 = 0.07;

#[derive(Clone, Copy, Debug)]
enum Scale {
    Linear,
    Log,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    scale: Scale,
}

impl Axis {
    /// From 0 to a little more than the greatest value.
    pub(super) fn from_zero(greatest: f64) -> Self {
        Self::between(0.0, greatest * 1.04)
    }

    pub(super) fn between(low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self {
            low,
            high,
            scale: Scale::Linear,
        }
    }

    /// Logarithmic, around all positive values; one decade where there are none.
    pub(super) fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let positive = values
            .into_iter()
            .filter(|value| *value > 0.0 && value.is_finite());
        let (low, high) = positive.fold((f64::INFINITY, 0.0f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let (low, high) = if high > 0.0 {
            (low / 1.25, high * 1.25)
        } else {
            (1.0, 10.0)
        };
        Self {
            low,
            high,
            scale: Scale::Log,
        }
    }

    /// Where a value lies, 0 to 1; what lies outside is at the edge.
    pub(super) fn share(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log if value <= 0.0 => 0.0,
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        share.clamp(0.0, 1.0)
    }

    /// Of a drawing's width.
    pub(super) fn x(&self, value: f64) -> String {
        percent(MARGIN + (1.0 - 2.0 * MARGIN) * self.share(value))
    }

    /// From one value to a greater one, of a drawing's width.
    pub(super) fn width(&self, from: f64, to: f64) -> String {
        percent((1.0 - 2.0 * MARGIN) * (self.share(to) - self.share(from)).max(0.0))
    }

    /// Of a drawing's height, counted from above.
    pub(super) fn y(&self, value: f64) -> String {
        percent(1.0 - self.share(value))
    }

    /// Round values, at most about so many.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        match self.scale {
            Scale::Linear => self.linear_ticks(most),
            Scale::Log => self.log_ticks(most),
        }
    }

    fn linear_ticks(&self, most: usize) -> Vec<f64> {
        let raw = (self.high - self.low) / most.max(1) as f64;
        let power = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= raw * 0.999)
            .unwrap_or(raw);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|index| index as f64 * step).collect()
    }

    fn log_ticks(&self, most: usize) -> Vec<f64> {
        let (first, last) = (
            self.low.log10().floor() as i32,
            self.high.log10().ceil() as i32,
        );
        let within = |factors: &[f64], every: i32| -> Vec<f64> {
            let powers = (first..=last).filter(|power| power.rem_euclid(every) == 0);
            powers
                .flat_map(|power| {
                    factors
                        .iter()
                        .map(move |factor| factor * 10f64.powi(power))
                        .collect::<Vec<_>>()
                })
                .filter(|tick| (self.low..=self.high).contains(tick))
                .collect()
        };
        let candidates = [
            within(&[1.0, 2.0, 5.0], 1),
            within(&[1.0, 3.0], 1),
            within(&[1.0], 1),
            within(&[1.0], 2),
        ];
        let fitting = candidates.iter().find(|ticks| ticks.len() <= most);
        fitting.unwrap_or(&candidates[3]).clone()
    }
}

pub(super) fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// `50k`, for an axis.
pub(super) fn short(value: f64) -> String {
    let plain = |value: f64| {
        let text = format!("{value:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match value.abs() {
        many if many >= 1e6 => format!("{}M", plain(value / 1e6)),
        many if many >= 1e3 => format!("{}k", plain(value / 1e3)),
        few if few >= 1.0 || few == 0.0 => plain(value),
        _ => significant(value).trim_end_matches('0').to_owned(),
    }
}

/// `20 ms`, `2 s`, for an axis.
pub(super) fn short_ms(ms: f64) -> String {
    match ms {
        ms if ms >= 1_000.0 => format!("{}\u{a0}s", short(ms / 1e3)),
        ms if ms < 1.0 => format!("{}\u{a0}µs", short((ms * 1e3).round())),
        ms => format!("{}\u{a0}ms", short(ms)),
    }
}

/// A vertical line of a strip that several strips share, such as a reference.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub value: f64,
    /// A letter or a short name above the axis.
    pub label: String,
    /// What it is, for hovering.
    pub about: String,
    pub class: &'static str,
}

/// Ticks and marks above a column of strips.
pub(super) fn strip_axis(axis: &Axis, show: fn(f64) -> String, marks: &[Mark]) -> Markup {
    html! {
        svg.axis aria-hidden="true" height=(if marks.is_empty() { "18" } else { "32" }) {
            @for mark in marks {
                text.mark x=(axis.x(mark.value)) y="11" text-anchor=(anchor(axis.share(mark.value))) {
                    (mark.label)
                }
            }
            @for tick in axis.ticks(4) {
                text x=(axis.x(tick)) y=(if marks.is_empty() { "13" } else { "27" })
                    text-anchor=(anchor(axis.share(tick))) { (show(tick)) }
            }
        }
    }
}

/// The faint lines behind a strip, with its marks.
pub(super) fn strip_grid(axis: &Axis, marks: &[Mark]) -> Markup {
    html! {
        @for tick in axis.ticks(4) {
            line.grid x1=(axis.x(tick)) x2=(axis.x(tick)) y2="100%" {}
        }
        @for mark in marks {
            line class=(mark.class) x1=(axis.x(mark.value)) x2=(axis.x(mark.value)) y2="100%" {
                title { (mark.about) }
            }
        }
    }
}

fn anchor(share: f64) -> &'static str {
    match share {
        left if left < EDGE => "start",
        right if right > 1.0 - EDGE => "end",
        _ => "middle",
    }
}

/// Corners of a line, each with its place as shares from the left and from below; nothing where
/// the line is broken.
pub(super) fn path(corners: &[Option<(f64, f64)>]) -> String {
    let mut path = String::new();
    let mut is_drawing = false;
    for corner in corners {
        let Some((x, y)) = corner else {
            is_drawing = false;
            continue;
        };
        let step = if is_drawing { 'L' } else { 'M' };
        path.push_str(&format!(
            "{step}{:.0} {:.0}",
            x * CANVAS_X,
            (1.0 - y) * CANVAS_Y
        ));
        is_drawing = true;
    }
    path
}

/// What is scaled with the drawing: lines and areas of [`path`].
pub(super) fn canvas(lines: &Markup) -> Markup {
    html! {
        svg.canvas height="100%" preserveAspectRatio="none"
            viewBox=(format!("0 0 {CANVAS_X} {CANVAS_Y}")) { (lines) }
    }
}

/// A chart with two axes: labels of the y axis, the drawing, labels of the x axis below.
pub(super) struct Frame<'a> {
    pub height_px: u32,
    /// Said of the chart to those who do not see it.
    pub about: &'a str,
    pub x: &'a [(f64, String)],
    pub y: &'a [(f64, String)],
}

impl Frame<'_> {
    pub(super) fn drawn(&self, drawing: &Markup) -> Markup {
        let height = self.height_px.to_string();
        html! {
            div.frame {
                svg.axis.y aria-hidden="true" height=(height) {
                    @for (share, label) in self.y {
                        text x="100%" y=(percent(1.0 - share)) dy="0.32em" text-anchor="end" { (label) }
                    }
                }
                svg.chart.plot role="img" aria-label=(self.about) width="100%" height=(height) {
                    @for (share, _) in self.y {
                        line.grid x2="100%" y1=(percent(1.0 - share)) y2=(percent(1.0 - share)) {}
                    }
                    @for (share, _) in self.x {
                        line.grid x1=(percent(*share)) x2=(percent(*share)) y2="100%" {}
                    }
                    (drawing)
                }
                @if !self.x.is_empty() {
                    svg.axis.x aria-hidden="true" height="18" {
                        @for (share, label) in self.x {
                            text x=(percent(*share)) y="13" text-anchor=(anchor(*share)) { (label) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(
            Axis::from_zero(63_000.0).ticks(4),
            [0.0, 20_000.0, 40_000.0, 60_000.0]
        );
        assert_eq!(Axis::log([3.0, 90.0]).ticks(4), [3.0, 10.0, 30.0, 100.0]);
        assert_eq!(Axis::log([0.02, 9_000.0]).ticks(4), [1.0, 100.0, 10_000.0]);
    }

    #[test]
    fn values_outside_of_an_axis_are_at_its_edges_and_nothing_positive_is_no_axis_of_nan() {
        let axis = Axis::log([]);
        assert_eq!((axis.share(0.0), axis.share(1e9)), (0.0, 1.0));
        assert_eq!(Axis::from_zero(0.0).x(0.0), "1.5%");
    }

    #[test]
    fn a_line_breaks_where_there_is_no_value() {
        let corners = [Some((0.0, 0.0)), None, Some((0.5, 1.0)), Some((1.0, 0.5))];
        assert_eq!(path(&corners), "M0 1000M1000 0L2000 500");
    }

    #[test]
    fn labels_of_axes_are_short() {
        assert_eq!(
            (short(50_000.0), short(0.5)),
            ("50k".to_owned(), "0.5".to_owned())
        );
        assert_eq!(short_ms(2_000.0), "2\u{a0}s");
        assert_eq!(short_ms(0.2), "200\u{a0}µs");
    }
}
