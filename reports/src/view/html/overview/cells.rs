//! One cell of the overview: the figure in words, and its mark on the axis of its column.

use super::columns::{Columns, PERCENTILES, limit};
use crate::result::metric;
use crate::view::html::plot::{Axis, strip_grid};
use crate::view::numbers::{ms, or_nothing, percent, significant};
use crate::view::subjects::Row;
use crate::view::text::clean;
use maud::{Markup, html};

impl Columns {
    pub(super) fn throughput_cell(&self, row: &Row<'_>) -> Markup {
        let Some(median) = row.value("throughput_per_s") else {
            return html! { span.faint { "–" } };
        };
        let axis = &self.throughput;
        let band = self.bands.get(&row.subject.id);
        let range = row.range("throughput_per_s");
        let rounds = rounds(row, "throughput_per_s");
        let about = match range {
            Some((least, greatest)) => format!(
                "{}: {}/s finished, rounds from {} to {}",
                clean(&row.subject.id),
                significant(median),
                significant(least),
                significant(greatest)
            ),
            None => format!(
                "{}: {}/s finished",
                clean(&row.subject.id),
                significant(median)
            ),
        };
        let limited = limit(row);
        html! {
            (label("finished per second"))
            div.figure {
                b { (significant(median)) } "/s"
            }
            svg.chart.strip role="img" aria-label=(about) width="100%" height="30" {
                (strip_grid(axis, &self.marks))
                @if let Some((low, high)) = band {
                    (span_of(axis, *low, *high, "band", 18))
                }
                @if let Some((least, greatest)) = range {
                    line.whisker x1=(axis.x(least)) x2=(axis.x(greatest)) y1="15" y2="15" {}
                }
                @if rounds.len() > 1 {
                    @for value in &rounds { circle.round cx=(axis.x(*value)) cy="15" r="2" {} }
                }
                circle.dot cx=(axis.x(median)) cy="15" r="4.5" { title { (about) } }
            }
            div.narrow { (self.throughput_axis()) }
            @if !limited.is_empty() { div.note { "limit: " (limited) } }
        }
    }

    pub(super) fn latency_cell(&self, row: &Row<'_>) -> Markup {
        let value = |id: &str| row.value(id);
        let (Some(p50), Some(p99), Some(p999)) =
            (value("p50_ms"), value("p99_ms"), value("p999_ms"))
        else {
            return html! { span.faint { "–" } };
        };
        let axis = &self.latency;
        // One unit for all three.
        let (divisor, unit) = if p50 >= 1_000.0 {
            (1e3, "\u{a0}s")
        } else {
            (1.0, "\u{a0}ms")
        };
        let bare = |ms: f64| significant(ms / divisor);
        let about = format!(
            "{}: P50 {}, P99 {}, P99.9 {}",
            clean(&row.subject.id),
            ms(p50),
            ms(p99),
            ms(p999)
        );
        html! {
            (label(&format!("{}: {PERCENTILES}", self.latency_title())))
            div.figure {
                (bare(p50)) span.faint { " · " } b { (bare(p99)) } span.faint { " · " } (bare(p999))
                (unit)
            }
            svg.chart.strip role="img" aria-label=(about) width="100%" height="30" {
                (strip_grid(axis, &[]))
                @if let Some((low, high)) = self.p99_bands.get(&row.subject.id) {
                    (span_of(axis, *low, *high, "band", 18))
                }
                (span_of(axis, p99, p999, "tail", 4))
                (span_of(axis, p50, p99, "body", 8))
                circle.dot cx=(axis.x(p99)) cy="15" r="5" { title { (about) } }
            }
            div.narrow { (self.latency_axis()) }
        }
    }

    pub(super) fn cpu_cell(&self, row: &Row<'_>) -> Markup {
        let shares = self.per.shares(row);
        let axis = &self.cpu;
        let mut left = 0.0;
        let bars: Vec<_> = shares
            .iter()
            .map(|share| {
                let from = left;
                left += share.cpu_us;
                (share, from)
            })
            .collect();
        let parts: Vec<String> = shares
            .iter()
            .map(|share| format!("{} {}", clean(&share.process), significant(share.cpu_us)))
            .collect();
        let total = row.value(self.per.metric());
        let about = format!(
            "{}: {} µs of CPU per {}: {}",
            clean(&row.subject.id),
            or_nothing(total, significant),
            self.per.name(),
            parts.join(", ")
        );
        html! {
            (label(&format!("CPU µs per {}", self.per.name())))
            div.figure { b { (or_nothing(total, significant)) } "\u{a0}µs" }
            svg.chart.strip role="img" aria-label=(about) width="100%" height="30" {
                (strip_grid(axis, &[]))
                @for (share, from) in bars {
                    rect class=(share.class) x=(axis.x(from)) y="7" height="16"
                        width=(axis.width(from, from + share.cpu_us)) {
                        title { (clean(&share.process)) ": " (significant(share.cpu_us)) " µs" }
                    }
                }
            }
            div.narrow { (self.cpu_axis()) }
        }
    }

    pub(super) fn durable_cell(&self, row: &Row<'_>) -> Markup {
        let p99 = row.value("durable_p99_ms");
        html! {
            (label("accepted to row, P99"))
            div.figure { b { (or_nothing(p99, ms)) } }
            @if let Some(share) = row.value("committed_share") {
                div.note { (percent(share)) " there at the last reply" }
            }
        }
    }
}

fn label(text: &str) -> Markup {
    html! { div.narrow.label { (text) } }
}

fn span_of(axis: &Axis, low: f64, high: f64, class: &str, height: u32) -> Markup {
    html! {
        rect class=(class) x=(axis.x(low)) width=(axis.width(low, high)) rx="2"
            y=(15 - height / 2) height=(height) {}
    }
}

fn rounds(row: &Row<'_>, id: &str) -> Vec<f64> {
    let metric = metric(id).expect("a metric of the registry");
    row.counted
        .iter()
        .filter_map(|leg| metric.of(leg))
        .collect()
}
