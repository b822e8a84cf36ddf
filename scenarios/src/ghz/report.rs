//! ghz's report, and the phase that it amounts to.
//!
//! Its latency counts from the moment when the call enters grpc-go's client to the end of the
//! call. Waiting for a stream, for a window or for a connection that comes back lies within, so of
//! our clocks it is `taken`; what lies without is the making of the message from its template,
//! which ghz does in the same worker before the call. So it flatters a little:
//! [`Little`] shows by how much, and is not held against it.

mod json;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use reports::result::{
    HistRecorder, Interval, Latency, LatencyClock, Limit, Little, Noise, OpStats, Operation,
    OutcomeName, Outcomes, Phase, Purpose, UsageByProcess,
};

pub use self::json::Report;
use self::json::{Answer, Detail};

const S_NS: u64 = 1_000_000_000;
/// Name of the outcome of a request that was answered with OK, be it accepted or refused.
const ANSWERED: &str = "answered";

impl Report {
    /// # Errors
    /// When the file is not a report, or one of a run that ended before its first request.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::open(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let report: Self = serde_json::from_reader(std::io::BufReader::new(file))
            .with_context(|| format!("{} is no report of ghz", path.display()))?;
        ensure!(
            report.count > 0 && report.total_ns > 0,
            "ghz has sent nothing ({})",
            path.display()
        );
        Ok(report)
    }

    /// What was measured, as a phase of this name. Usage, noise and limit are for the lab to add.
    ///
    /// Every request that was answered counts as accepted until [`split_answered`] knows better.
    pub fn phase(&self, name: &str, purpose: Purpose) -> Phase {
        let mut counts = Outcomes::default();
        let mut statuses = BTreeMap::new();
        for (status, count) in &self.statuses {
            *of(&mut counts, Answer::of_status(status)) += count;
            *statuses.entry(canonical(status)).or_default() += count;
        }
        let start_unix_ns = self.start_unix_ns();
        let stats = OpStats {
            counts,
            units_accepted: 0,
            latency: self.latencies(),
        };
        Phase {
            name: name.to_owned(),
            purpose,
            start_unix_us: i64::try_from(start_unix_ns / 1_000).unwrap_or(i64::MAX),
            // As ghz itself reckons; its requests per second follow from it.
            length_ns: self.total_ns,
            offered_per_s: None,
            due: self.count,
            sent: self.count,
            waiting_at_end: 0,
            finished: self.count,
            dropped: BTreeMap::new(),
            operations: BTreeMap::from([(Operation::Buy, stats)]),
            statuses,
            send_lag: None,
            buy_again: None,
            tail_ns: 0,
            in_flight: None,
            little: self.little(),
            timeline: self.timeline(start_unix_ns),
            usage: UsageByProcess::new(),
            noise: Noise::default(),
            limit: Limit::unknown(),
        }
    }

    /// What an audit cannot look at when ghz sent the load, each in one sentence.
    pub fn blind_spots(&self) -> Vec<String> {
        let mut sentences: Vec<String> = BLIND_SPOTS.map(str::to_owned).to_vec();
        let kept = self.details.len() as u64;
        if kept < self.count {
            sentences.push(format!(
                "ghz kept the latencies of the first {kept} of {} requests.",
                self.count
            ));
        }
        sentences
    }

    /// Whether it sent as many requests as it was asked for.
    pub fn is_complete(&self) -> bool {
        self.end_reason == json::NORMAL
    }

    /// When the first call began, as far as ghz remembers.
    fn start_unix_ns(&self) -> u64 {
        let begins = self.details.iter().map(Detail::start_unix_ns);
        begins.min().unwrap_or(0)
    }

    fn latencies(&self) -> Vec<Latency> {
        let mut recorders: BTreeMap<Answer, HistRecorder> = BTreeMap::new();
        for detail in &self.details {
            let recorder = recorders.entry(detail.answer).or_default();
            recorder.record_ns(detail.latency_ns);
        }
        let latency = |(answer, recorder): (Answer, HistRecorder)| Latency {
            clock: LatencyClock::Taken,
            outcome: match answer {
                Answer::Answered => OutcomeName::named(ANSWERED),
                Answer::Error => OutcomeName::Error,
                Answer::Unknown => OutcomeName::Unknown,
            },
            hist: recorder.to_hist(),
        };
        recorders.into_iter().map(latency).collect()
    }

    /// Not held against ghz: see above.
    fn little(&self) -> Option<Little> {
        let workers = self.options.concurrency.filter(|workers| *workers > 0)?;
        let sum_ns: u64 = self.details.iter().map(|detail| detail.latency_ns).sum();
        let mean_ns = sum_ns as f64 / self.details.len().max(1) as f64;
        Some(Little {
            expected: f64::from(workers),
            measured: self.count as f64 / self.total_ns as f64 * mean_ns,
            applies: false,
        })
    }

    /// One interval per second; none where ghz did not keep every request, or its clock stepped.
    fn timeline(&self, start_unix_ns: u64) -> Vec<Interval> {
        let number_at = |unix_ns: u64| (unix_ns.saturating_sub(start_unix_ns) / S_NS) as usize;
        let ends = self.details.iter().map(|detail| detail.end_unix_ns);
        let last_ns = ends.max().unwrap_or(start_unix_ns);
        let has_all = self.details.len() as u64 == self.count;
        // ghz notes instants by a clock that can step.
        if !has_all || last_ns - start_unix_ns > self.total_ns + S_NS {
            return Vec::new();
        }
        let slots = vec![Slot::default(); number_at(last_ns) + 1];
        let slots = self.details.iter().fold(slots, |mut slots, detail| {
            slots[number_at(detail.start_unix_ns())].sent += 1;
            let ended = &mut slots[number_at(detail.end_unix_ns)];
            *of(&mut ended.counts, detail.answer) += 1;
            ended.latency.record_ns(detail.latency_ns);
            slots
        });
        let interval = |(number, slot): (usize, Slot)| {
            let t_ns = number as u64 * S_NS;
            let left_ns = (last_ns - start_unix_ns).saturating_sub(t_ns).max(1);
            Interval {
                t_ns,
                length_ns: left_ns.min(S_NS),
                due: slot.sent,
                sent: slot.sent,
                dropped: 0,
                counts: slot.counts,
                latency: slot.latency.to_hist(),
                committed_units: None,
                steal_ns: None,
            }
        };
        slots.into_iter().enumerate().map(interval).collect()
    }
}

/// What happened within one second.
#[derive(Clone, Debug)]
struct Slot {
    sent: u64,
    counts: Outcomes,
    latency: HistRecorder,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            sent: 0,
            counts: Outcomes::default(),
            latency: HistRecorder::coarse(),
        }
    }
}

const BLIND_SPOTS: [&str; 4] = [
    "ghz tells no buyer's own outcome: acceptance and refusal are both OK, so accepted and refused \
     are counted by the orders in the database, and no order can be held against what its buyer \
     was told.",
    "A request that ended as unavailable may have been refused by the server or lost with its \
     connection, which ghz does not tell apart; it counts as unknown.",
    "ghz names no order, so nothing is known of the time from yes to a durable row.",
    "ghz's latency begins when a call enters its gRPC client, after the message was made.",
];

/// Divides answered requests into accepted and refused, by the number of `orders` in the database
/// and the `units` of these. A request whose outcome is unknown may have an order too; then there
/// can be more orders than answers, and all that were answered count as accepted.
pub fn split_answered(phase: &mut Phase, orders: u64, units: u64) {
    if let Some(stats) = phase.operations.get_mut(&Operation::Buy) {
        let answered = stats.counts.accepted + stats.counts.refused;
        stats.counts.accepted = orders.min(answered);
        stats.counts.refused = answered - stats.counts.accepted;
        stats.units_accepted = units;
    }
}

fn of(counts: &mut Outcomes, answer: Answer) -> &mut u64 {
    match answer {
        Answer::Answered => &mut counts.accepted,
        Answer::Error => &mut counts.error,
        Answer::Unknown => &mut counts.unknown,
    }
}

/// The status as gRPC spells it, `DEADLINE_EXCEEDED` for Go's `DeadlineExceeded`.
fn canonical(status: &str) -> String {
    match status {
        "" => return "no status".to_owned(),
        "OK" => return status.to_owned(),
        "Canceled" => return "CANCELLED".to_owned(),
        _ => {}
    }
    let mut name = String::new();
    for letter in status.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}
