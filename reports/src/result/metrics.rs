//! The one registry of metrics: id, unit, good direction, and how a leg's value is computed. Every
//! reader (tables, ranking, comparison, gate, expectations) takes them from here.

mod values;

use super::leg::Leg;
use super::open_enum::open_enum;
use super::operations::{LatencyClock, Operation, OutcomeName};
use super::phase::Phase;
use super::usage::{DRIVER, is_system_process};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use values::*;

open_enum! {
    /// Which direction is an improvement.
    Good { Up = "up", Down = "down", Neutral = "neutral" }
}

/// A metric as a result describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetricDef {
    pub id: String,
    pub unit: String,
    pub good: Good,
    pub title: String,
}

/// A metric of this version.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// With the unit at its end, unless it is a count or a share.
    pub id: &'static str,
    /// Empty for counts and shares.
    pub unit: &'static str,
    good: Direction,
    /// One short phrase, as the head of a column.
    pub title: &'static str,
    value: fn(&Leg, &Phase) -> Option<f64>,
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    Up,
    Down,
    Neutral,
}
use Direction::{Down, Neutral, Up};

/// A metric that is not in the registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown metric {name:?}; known: {}", known())]
pub struct UnknownMetric {
    pub name: String,
}

fn known() -> String {
    let ids: Vec<&str> = METRICS.iter().map(|metric| metric.id).collect();
    ids.join(", ")
}

/// The metric of an id.
pub fn metric(id: &str) -> Result<&'static Metric, UnknownMetric> {
    let found = METRICS.iter().find(|metric| metric.id == id);
    found.ok_or_else(|| UnknownMetric {
        name: id.to_owned(),
    })
}

impl Metric {
    /// Its value in a leg; none where it was not measured.
    pub fn of(&self, leg: &Leg) -> Option<f64> {
        self.of_phase(leg, leg.measured()?)
    }

    /// Its value in one phase of a leg; none where it was not measured.
    pub fn of_phase(&self, leg: &Leg, phase: &Phase) -> Option<f64> {
        (self.value)(leg, phase).filter(|value| value.is_finite())
    }

    pub fn good(&self) -> Good {
        match self.good {
            Up => Good::Up,
            Down => Good::Down,
            Neutral => Good::Neutral,
        }
    }

    pub fn def(&self) -> MetricDef {
        MetricDef {
            id: self.id.to_owned(),
            unit: self.unit.to_owned(),
            good: self.good(),
            title: self.title.to_owned(),
        }
    }
}

const fn row(
    id: &'static str,
    unit: &'static str,
    good: Direction,
    title: &'static str,
    value: fn(&Leg, &Phase) -> Option<f64>,
) -> Metric {
    Metric {
        id,
        unit,
        good,
        title,
        value,
    }
}

/// Every metric, in the order of a full listing.
pub const METRICS: &[Metric] = &[
    row(
        "throughput_per_s",
        "1/s",
        Up,
        "finished purchases per second",
        |_, phase| Some(phase.finished_per_s()),
    ),
    row(
        "accepted_per_s",
        "1/s",
        Up,
        "accepted orders per second",
        accepted_per_s,
    ),
    row("mean_ms", "ms", Down, "mean latency", |_, phase| {
        mean_ms(phase, &phase.headline_clock())
    }),
    row("p50_ms", "ms", Down, "P50", |_, phase| {
        quantile_ms(phase, 0.5)
    }),
    row("p90_ms", "ms", Down, "P90", |_, phase| {
        quantile_ms(phase, 0.9)
    }),
    row("p99_ms", "ms", Down, "P99", |_, phase| {
        quantile_ms(phase, 0.99)
    }),
    row("p999_ms", "ms", Down, "P99.9", |_, phase| {
        quantile_ms(phase, 0.999)
    }),
    row("max_ms", "ms", Down, "longest latency", |_, phase| {
        quantile_ms(phase, 1.0)
    }),
    row(
        "p99_sent_ms",
        "ms",
        Down,
        "P99 from the real send",
        |_, phase| {
            let sent = phase.latencies(&LatencyClock::Sent, None);
            sent.quantile_ns(0.99).map(ms)
        },
    ),
    row(
        "p99_accepted_ms",
        "ms",
        Down,
        "P99 of accepted",
        |_, phase| outcome_p99_ms(phase, &OutcomeName::Accepted),
    ),
    row(
        "p99_refused_ms",
        "ms",
        Down,
        "P99 of refused",
        |_, phase| outcome_p99_ms(phase, &OutcomeName::Refused),
    ),
    row("p99_cancel_ms", "ms", Down, "P99 of cancels", |_, phase| {
        change_p99_ms(phase, &Operation::Cancel)
    }),
    row("p99_pay_ms", "ms", Down, "P99 of payments", |_, phase| {
        change_p99_ms(phase, &Operation::Pay)
    }),
    row(
        "p99_buy_again_ms",
        "ms",
        Down,
        "P99 from a cancel to the next order",
        |_, phase| {
            let again = phase.buy_again.as_ref()?.hist.read().ok()?;
            again.quantile_ns(0.99).map(ms)
        },
    ),
    row(
        "send_lag_p99_ms",
        "ms",
        Down,
        "P99 of the send lag",
        |_, phase| {
            let lag = phase.send_lag.as_ref()?.read().ok()?;
            lag.quantile_ns(0.99).map(ms)
        },
    ),
    row("requests", "", Neutral, "finished requests", |_, phase| {
        Some(phase.finished as f64)
    }),
    row("accepted", "", Neutral, "accepted", |_, phase| {
        Some(phase.purchases().accepted as f64)
    }),
    row("refused", "", Neutral, "refused", |_, phase| {
        Some(phase.purchases().refused as f64)
    }),
    row(
        "duplicates",
        "",
        Neutral,
        "told of an order they had",
        |_, phase| Some(phase.purchases().duplicate as f64),
    ),
    row(
        "errors",
        "",
        Down,
        "errors and unknown outcomes",
        |_, phase| Some(phase.outcomes().failed() as f64),
    ),
    row(
        "gave_up",
        "",
        Down,
        "cancelled, and could not buy again",
        |_, phase| Some(phase.buy_again.as_ref()?.gave_up as f64),
    ),
    row("dropped", "", Down, "due, but never sent", |_, phase| {
        Some(phase.dropped_in_all() as f64)
    }),
    row(
        "failed_share",
        "",
        Down,
        "share that failed or was dropped",
        failed_share,
    ),
    row(
        "cpu_us_per_request",
        "µs",
        Down,
        "system CPU per finished request",
        |_, phase| per(phase.system_cpu_ns()?, phase.finished),
    ),
    row(
        "cpu_us_per_order",
        "µs",
        Down,
        "system CPU per order until the last reply",
        |_, phase| per(phase.system_cpu_ns()?, phase.purchases().accepted),
    ),
    row(
        "cpu_us_per_order_drained",
        "µs",
        Down,
        "system CPU per order until drained",
        |leg, phase| {
            per(
                leg.system_cpu_until_drained_ns()?,
                phase.purchases().accepted,
            )
        },
    ),
    row(
        "cpu_us_per_request_drained",
        "µs",
        Down,
        "system CPU per finished request until drained",
        cpu_us_per_request_drained,
    ),
    row(
        "driver_cpu_us_per_request",
        "µs",
        Down,
        "driver CPU per finished request",
        |_, phase| per(phase.usage.get(DRIVER)?.cpu_ns(), phase.finished),
    ),
    row(
        "committed_share",
        "",
        Up,
        "share committed at the last reply",
        |leg, _| leg.committed_at_last_reply,
    ),
    row("drain_s", "s", Down, "drain", |leg, _| {
        leg.drain_ns.map(|ns| ns as f64 / 1e9)
    }),
    row(
        "drained_rows_per_s",
        "1/s",
        Up,
        "rows per second while draining",
        drained_rows_per_s,
    ),
    row(
        "durable_p99_ms",
        "ms",
        Down,
        "P99 from accepted to a committed row",
        |leg, _| {
            let latencies = leg.durable.as_ref()?.hist.read().ok()?;
            latencies.quantile_ns(0.99).map(ms)
        },
    ),
    row(
        "peak_rss_mib",
        "MiB",
        Down,
        "peak memory of the system",
        |_, phase| {
            let system = phase
                .usage
                .iter()
                .filter(|(name, _)| is_system_process(name));
            let bytes: u64 = system.map(|(_, usage)| usage.peak_rss_bytes).sum();
            (bytes > 0).then(|| bytes as f64 / f64::from(1u32 << 20))
        },
    ),
    row(
        "disk_bytes_per_order",
        "B",
        Down,
        "disk per order",
        |leg, phase| {
            let accepted = phase.purchases().accepted;
            (accepted > 0).then_some(leg.disk_bytes? as f64 / accepted as f64)
        },
    ),
];

/// From here on a system counts as keeping up with its buyers.
pub const KEEPING_UP_SHARE: f64 = 0.95;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_unique_and_found() {
        let ids: HashSet<&str> = METRICS.iter().map(|metric| metric.id).collect();
        assert_eq!(ids.len(), METRICS.len());
        assert_eq!(metric("p99_ms").map(|found| found.unit), Ok("ms"));
    }

    #[test]
    fn an_unknown_metric_lists_the_known_ones() {
        let refused = metric("p99").expect_err("unknown").to_string();
        assert!(
            refused.starts_with("unknown metric \"p99\"; known: throughput_per_s, "),
            "{refused}"
        );
    }

    #[test]
    fn an_id_ends_with_its_unit() {
        for metric in METRICS {
            let ending = match metric.unit {
                "ms" => "_ms",
                "1/s" => "_per_s",
                "s" => "_s",
                "MiB" => "_mib",
                _ => continue,
            };
            assert!(metric.id.ends_with(ending), "{}", metric.id);
        }
    }
}
