//! What a run measured as text, in the shape that users of ghz know, by both clocks.

use crate::plan::LoadPlan;
use crate::run::Measured;
use hdrhistogram::Histogram;
use reports::result::{DRIVER, Latencies, LatencyClock, Phase};
use std::fmt::Write;

const PERCENTILES: [f64; 9] = [10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0];
const HISTOGRAM_BARS: u64 = 10;
const BAR_WIDTH: u64 = 40;
/// Share of the time for which the driver's threads may be busy before they count as the limit.
const BUSY_SHARE: f64 = 0.9;
/// Share of what was offered that must have been achieved for the rate to count as kept.
const KEPT_SHARE: f64 = 0.99;

/// The whole text.
pub fn summary_text(plan: &LoadPlan, measured: &Measured) -> String {
    let mut out = String::new();
    let lost = (measured.connections_lost, &*measured.lost_because);
    // Writing to a string cannot fail.
    let _ = write_summary(&mut out, plan.threads, &measured.phase, lost);
    if measured.data_wrapped {
        out.push_str(
            "\nNote: the data ended and began again, so that buyers came twice; give it more --users, or --repeat.\n",
        );
    }
    out
}

fn write_summary(
    out: &mut String,
    threads: u32,
    phase: &Phase,
    (lost, lost_because): (u64, &str),
) -> std::fmt::Result {
    let latency = phase.headline_latencies();
    let from_send = phase.latencies(&LatencyClock::Sent, None);
    writeln!(out, "Summary:")?;
    writeln!(out, "  Count:        {}", phase.finished)?;
    writeln!(out, "  Total:        {:.2} s", phase.length_ns as f64 / 1e9)?;
    writeln!(out, "  Slowest:      {}", ms(latency.max_ns() as f64))?;
    writeln!(out, "  Fastest:      {}", ms(latency.min_ns() as f64))?;
    writeln!(
        out,
        "  Average:      {} ({} from the real send)",
        ms(latency.mean_ns()),
        ms(from_send.mean_ns())
    )?;
    writeln!(out, "  Requests/sec: {:.2}", phase.finished_per_s())?;
    write_open_loop(out, phase)?;
    write_driver(out, threads, phase)?;
    let counts = phase.outcomes();
    writeln!(
        out,
        "  Outcomes:     accepted {}, refused {}, duplicate {}, error {}, unknown {}",
        counts.accepted, counts.refused, counts.duplicate, counts.error, counts.unknown
    )?;
    if lost > 0 {
        writeln!(
            out,
            "  Connections:  lost {lost} times, at last because: {lost_because}"
        )?;
    }
    if let Some(little) = phase.little.as_ref().filter(|little| !little.holds()) {
        writeln!(
            out,
            "  Clocks:       not to be trusted: by Little's law {:.1} workers were busy, of {:.0}",
            little.measured, little.expected
        )?;
    }
    if !latency.is_empty() {
        writeln!(out, "\nResponse time histogram:")?;
        write_histogram(out, latency.histogram_us())?;
        write_distribution(out, phase, &latency, &from_send)?;
    }
    writeln!(out, "\nStatus code distribution:")?;
    let mut statuses: Vec<(&String, &u64)> = phase.statuses.iter().collect();
    statuses.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (label, count) in statuses {
        writeln!(out, "  [{label}]   {count} responses")?;
    }
    Ok(())
}

/// What was offered, and what became of it before it was sent.
fn write_open_loop(out: &mut String, phase: &Phase) -> std::fmt::Result {
    let Some(offered_per_s) = phase.offered_per_s else {
        return Ok(());
    };
    let achieved_per_s = phase.finished_per_s();
    let missed = match achieved_per_s < offered_per_s * KEPT_SHARE {
        true => ": the rate was not reached",
        false => "",
    };
    writeln!(
        out,
        "  Offered:      {offered_per_s:.2} per second, achieved {achieved_per_s:.2}{missed}"
    )?;
    let dropped: Vec<String> = phase
        .dropped
        .iter()
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    let reasons = match dropped.is_empty() {
        true => String::new(),
        false => format!(" ({})", dropped.join(", ")),
    };
    writeln!(
        out,
        "  Due:          {}, sent {}, dropped {}{reasons}",
        phase.due,
        phase.sent,
        phase.dropped_in_all()
    )?;
    let lag = phase.send_lag.as_ref().and_then(|lag| lag.read().ok());
    if let Some(lag) = lag {
        writeln!(
            out,
            "  Send lag:     {} on average, P99 {}",
            ms(lag.mean_ns()),
            ms(lag.quantile_ns(0.99).unwrap_or(0) as f64)
        )?;
    }
    Ok(())
}

fn write_driver(out: &mut String, threads: u32, phase: &Phase) -> std::fmt::Result {
    let Some(usage) = phase.usage.get(DRIVER) else {
        return Ok(());
    };
    let cpu_us = usage.cpu_ns() as f64 / 1e3 / phase.finished.max(1) as f64;
    let run_ns = phase.length_ns + phase.tail_ns;
    let available_ns = run_ns.max(1) as f64 * f64::from(threads);
    let share = usage.cpu_ns() as f64 / available_ns;
    let limit = match share >= BUSY_SHARE {
        true => format!(
            ": the limit, busy for {:.0} % of the time; try more --threads",
            share * 100.0
        ),
        false => String::new(),
    };
    writeln!(
        out,
        "  Driver:       {cpu_us:.1} µs CPU per request, {} MiB{limit}",
        usage.peak_rss_bytes >> 20
    )
}

fn write_distribution(
    out: &mut String,
    phase: &Phase,
    latency: &Latencies,
    from_send: &Latencies,
) -> std::fmt::Result {
    let clock = match phase.headline_clock() {
        LatencyClock::Intended => "from when it was due",
        _ => "from when a worker took it",
    };
    writeln!(out, "\nLatency distribution, {clock} (from the real send):")?;
    for percentile in PERCENTILES {
        let at = |latencies: &Latencies| {
            ms(latencies.quantile_ns(percentile / 100.0).unwrap_or(0) as f64)
        };
        writeln!(
            out,
            "  {percentile:>5} % in {} ({})",
            at(latency),
            at(from_send)
        )?;
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
        writeln!(
            out,
            "  {:>12} [{count}] {stars}",
            ms(bounds(bar).1 as f64 * 1e3)
        )?;
    }
    Ok(())
}

fn ms(ns: f64) -> String {
    format!("{:.2} ms", ns / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::result::{
        HistRecorder, Latency, Limit, Noise, OpStats, Operation, OutcomeName, Outcomes, Purpose,
        Usage,
    };
    use std::collections::BTreeMap;

    fn recorded(clock: LatencyClock, values_us: impl Iterator<Item = u64>) -> Latency {
        let mut recorder = HistRecorder::new();
        values_us.for_each(|us| recorder.record_ns(us * 1_000));
        Latency {
            clock,
            outcome: OutcomeName::Accepted,
            hist: recorder.to_hist(),
        }
    }

    fn phase(clock: LatencyClock) -> Phase {
        let stats = OpStats {
            counts: Outcomes {
                accepted: 990,
                error: 10,
                ..Outcomes::default()
            },
            units_accepted: 990,
            latency: vec![
                recorded(clock, (1..=1_000).map(|value| value * 100)),
                recorded(LatencyClock::Sent, (1..=1_000).map(|value| value * 50)),
            ],
        };
        let driver = Usage {
            user_ns: 20_000_000,
            ..Usage::default()
        };
        Phase {
            name: "load".to_owned(),
            purpose: Purpose::Measure,
            start_unix_us: 1,
            length_ns: 2_000_000_000,
            offered_per_s: None,
            due: 1_000,
            sent: 1_000,
            waiting_at_end: 0,
            finished: 1_000,
            dropped: BTreeMap::new(),
            operations: BTreeMap::from([(Operation::Buy, stats)]),
            statuses: BTreeMap::from([
                ("UNAVAILABLE: shedding".to_owned(), 10),
                ("OK".to_owned(), 990),
            ]),
            send_lag: None,
            buy_again: None,
            tail_ns: 0,
            in_flight: None,
            little: None,
            timeline: Vec::new(),
            usage: BTreeMap::from([(DRIVER.to_owned(), driver)]),
            noise: Noise::default(),
            limit: Limit::unknown(),
        }
    }

    fn text(phase: &Phase) -> String {
        let mut out = String::new();
        write_summary(&mut out, 1, phase, (2, "the server is going away")).expect("written");
        out
    }

    #[track_caller]
    fn contains(text: &str, parts: &[&str]) {
        for part in parts {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn it_shows_what_ghz_shows_and_the_tail_by_both_clocks() {
        let text = text(&phase(LatencyClock::Taken));
        contains(
            &text,
            &[
                "Count:        1000",
                "Total:        2.00 s",
                "Requests/sec: 500.00",
                "Average:      50.05 ms (25.02 ms from the real send)",
                "20.0 µs CPU per request",
                "from when a worker took it (from the real send)",
                " 99.9 % in 100.00 ms (50.00 ms)",
                "Connections:  lost 2 times, at last because: the server is going away",
                "[OK]   990 responses\n  [UNAVAILABLE: shedding]   10 responses",
            ],
        );
        assert!(!text.contains("Offered"), "{text}");
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
    fn an_open_loop_says_what_was_offered_what_was_dropped_and_who_was_the_limit() {
        let mut phase = phase(LatencyClock::Intended);
        phase.offered_per_s = Some(600.0);
        phase.due = 1_007;
        phase.dropped = BTreeMap::from([("backlog full".to_owned(), 7)]);
        let mut lag = HistRecorder::new();
        lag.record_ns(3_000_000);
        phase.send_lag = Some(lag.to_hist());
        if let Some(driver) = phase.usage.get_mut(DRIVER) {
            driver.user_ns = 1_900_000_000;
        }
        contains(
            &text(&phase),
            &[
                "Offered:      600.00 per second, achieved 500.00: the rate was not reached",
                "Due:          1007, sent 1000, dropped 7 (backlog full 7)",
                "Send lag:     3.00 ms on average, P99 3.00 ms",
                "the limit, busy for 95 % of the time",
                "from when it was due (from the real send)",
            ],
        );
    }

    #[test]
    fn a_run_without_a_reply_has_a_text_too() {
        let mut empty = phase(LatencyClock::Taken);
        empty.finished = 0;
        empty.length_ns = 0;
        empty.operations.clear();
        contains(&text(&empty), &["Count:        0"]);
    }
}
