//! A run's summary as text, in the shape that users of ghz know.

use crate::events::Summary;
use hdrhistogram::Histogram;
use std::fmt::Write;

const PERCENTILES: [f64; 9] = [10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0];
const HISTOGRAM_BARS: u64 = 10;
const BAR_WIDTH: u64 = 40;

/// The whole text. The latencies are those of requests that were really sent.
pub fn summary_text(summary: &Summary, latency: &Histogram<u64>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_summary(&mut out, summary, latency);
    out
}

fn write_summary(
    out: &mut String,
    summary: &Summary,
    latency: &Histogram<u64>,
) -> std::fmt::Result {
    writeln!(out, "Summary:")?;
    writeln!(out, "  Count:        {}", summary.requests)?;
    writeln!(out, "  Total:        {:.2} s", summary.total_s())?;
    writeln!(out, "  Slowest:      {}", ms(summary.latency.max_us as f64))?;
    writeln!(out, "  Fastest:      {}", ms(summary.latency.min_us as f64))?;
    writeln!(out, "  Average:      {}", ms(summary.latency.mean_us))?;
    writeln!(out, "  Requests/sec: {:.2}", summary.requests_per_s())?;
    let cpu_us = summary.cpu_us as f64 / summary.requests.max(1) as f64;
    writeln!(
        out,
        "  Driver:       {cpu_us:.1} µs CPU per request, {} MiB",
        summary.peak_rss_bytes >> 20
    )?;
    let counts = &summary.counts;
    writeln!(
        out,
        "  Outcomes:     accepted {}, refused {}, duplicate {}, error {}, unknown {}",
        counts.accepted, counts.refused, counts.duplicate, counts.error, counts.unknown
    )?;
    if !latency.is_empty() {
        writeln!(out, "\nResponse time histogram:")?;
        write_histogram(out, latency)?;
        writeln!(out, "\nLatency distribution:")?;
        for percentile in PERCENTILES {
            let value_us = latency.value_at_quantile(percentile / 100.0);
            writeln!(out, "  {percentile:>5} % in {}", ms(value_us as f64))?;
        }
    }
    writeln!(out, "\nStatus code distribution:")?;
    for (label, count) in &summary.statuses {
        writeln!(out, "  [{label}]   {count} responses")?;
    }
    Ok(())
}

fn write_histogram(out: &mut String, latency: &Histogram<u64>) -> std::fmt::Result {
    let width_us = (latency.max() - latency.min()) / HISTOGRAM_BARS + 1;
    let bounds = |bar: u64| {
        (
            latency.min() + bar * width_us,
            latency.min() + (bar + 1) * width_us - 1,
        )
    };
    let counts: Vec<u64> = (0..HISTOGRAM_BARS)
        .map(|bar| {
            let (low, high) = bounds(bar);
            let sum = |value| -> u64 {
                let cells = latency
                    .iter_recorded()
                    .take_while(|cell| cell.value_iterated_to() <= value);
                cells.map(|cell| cell.count_at_value()).sum()
            };
            // The last bar takes what the histogram's rounding puts above the maximum.
            let high = if bar + 1 == HISTOGRAM_BARS {
                u64::MAX
            } else {
                high
            };
            sum(high) - if bar == 0 { 0 } else { sum(low - 1) }
        })
        .collect();
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    for (bar, count) in (0..).zip(&counts) {
        let stars = "∎".repeat((count * BAR_WIDTH / most) as usize);
        writeln!(out, "  {:>12} [{count}] {stars}", ms(bounds(bar).1 as f64))?;
    }
    Ok(())
}

fn ms(us: f64) -> String {
    format!("{:.2} ms", us / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::model::{LatencySummary, OutcomeCounts};

    #[test]
    fn it_shows_what_ghz_shows_and_the_tail() {
        let mut latency = Histogram::new_with_bounds(1, 60_000_000, 3).expect("valid bounds");
        for value_us in 1..=1_000 {
            latency.record(value_us * 100).expect("in range");
        }
        let summary = Summary {
            requests: 1_000,
            first_send_unix_us: 1_000_000,
            last_reply_unix_us: 3_000_000,
            counts: OutcomeCounts {
                accepted: 990,
                error: 10,
                ..OutcomeCounts::default()
            },
            latency: LatencySummary::of(&latency),
            statuses: vec![("OK".into(), 990), ("UNAVAILABLE: shedding".into(), 10)],
            cpu_us: 20_000,
            ..Summary::default()
        };
        let text = summary_text(&summary, &latency);
        for part in [
            "Count:        1000",
            "Total:        2.00 s",
            "Requests/sec: 500.00",
            "20.0 µs CPU per request",
            " 99.9 % in 100.03 ms",
            "[OK]   990 responses",
            "[UNAVAILABLE: shedding]   10 responses",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        let bars: u64 = text
            .lines()
            .filter_map(|line| {
                line.split_once(" ms [")?
                    .1
                    .split_once(']')?
                    .0
                    .parse::<u64>()
                    .ok()
            })
            .sum();
        assert_eq!(bars, 1_000, "{text}");
    }

    #[test]
    fn a_run_without_a_reply_has_a_text_too() {
        let latency = Histogram::new_with_bounds(1, 60_000_000, 3).expect("valid bounds");
        assert!(summary_text(&Summary::default(), &latency).contains("Count:        0"));
    }
}
