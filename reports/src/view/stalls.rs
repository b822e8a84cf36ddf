//! Explains what averages hide: stretches in which nothing was answered, and why the clocks of one
//! leg disagree.

use super::numbers::ms;
use crate::result::{LatencyClock, Leg, Phase, Purpose};

/// A stretch of the timeline without a single reply, between replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stall {
    pub from_ns: u64,
    pub length_ns: u64,
}

/// Shorter stretches are the timeline's grain.
const STALL_MIN_NS: u64 = 500_000_000;
/// From this ratio on two clocks tell different stories.
const APART: f64 = 3.0;
/// Percentiles below this many ms may differ by any ratio without anybody's noticing.
const NOTICED_MS: f64 = 5.0;
/// A send lag of less than this share of the P99 explains nothing.
const LAG_SHARE: f64 = 0.1;

/// The longest stall of a phase.
pub(super) fn longest(phase: &Phase) -> Option<Stall> {
    let mut stalls = Vec::new();
    let mut open: Option<Stall> = None;
    let mut has_begun = false;
    for interval in &phase.timeline {
        if interval.counts.total() > 0 {
            stalls.extend(open.take());
            has_begun = true;
        } else if has_begun {
            let stall = open.get_or_insert(Stall {
                from_ns: interval.t_ns,
                length_ns: 0,
            });
            stall.length_ns += interval.length_ns;
        }
    }
    let longest = stalls.into_iter().max_by_key(|stall| stall.length_ns);
    longest.filter(|stall| stall.length_ns >= STALL_MIN_NS)
}

/// Sentences about a leg whose clocks or phases disagree, or that stalled.
pub(super) fn explained(leg: &Leg) -> Vec<String> {
    let Some(phase) = leg.measured() else {
        return Vec::new();
    };
    let mut sentences = Vec::new();
    if let Some(stall) = longest(phase) {
        sentences.push(format!(
            "stalled: nothing was answered for {} from {} on",
            ms(stall.length_ns as f64 / 1e6),
            ms(stall.from_ns as f64 / 1e6),
        ));
    }
    let p99 = |phase: &Phase, clock: &LatencyClock| {
        phase
            .latencies(clock, None)
            .quantile_ns(0.99)
            .map(|ns| ns as f64 / 1e6)
    };
    let Some(felt) = p99(phase, &phase.headline_clock()) else {
        return sentences;
    };
    let is_apart = |other: f64| felt > NOTICED_MS && felt > APART * other;
    let closed = leg
        .phases
        .iter()
        .rfind(|other| other.purpose != Purpose::WarmUp && other.offered_per_s.is_none());
    let closed = closed.and_then(|phase| p99(phase, &LatencyClock::Taken));
    let sent = p99(phase, &LatencyClock::Sent);
    if phase.offered_per_s.is_none() {
        if let Some(sent) = sent.filter(|sent| is_apart(*sent)) {
            sentences.push(format!(
                "P99 {} felt, {} from the real send: requests waited for a stream or a connection",
                ms(felt),
                ms(sent)
            ));
        }
        return sentences;
    }
    if let Some(closed) = closed.filter(|closed| is_apart(*closed)) {
        sentences.push(format!(
            "P99 {} open, {} closed: in a closed loop nobody arrives while the server stalls",
            ms(felt),
            ms(closed)
        ));
    } else if let Some(sent) = sent.filter(|sent| is_apart(*sent)) {
        sentences.push(format!(
            "P99 {} from the intended send, {} from the real one: requests queued before they were sent",
            ms(felt),
            ms(sent)
        ));
    }
    sentences
}

/// P99 of the send lag in ms, where it is a part of what was felt.
pub(super) fn lag_ms(phase: &Phase) -> Option<f64> {
    let lag = phase.send_lag.as_ref()?.read().ok()?;
    let lag = lag.quantile_ns(0.99)? as f64 / 1e6;
    let felt = phase.headline_latencies().quantile_ns(0.99)? as f64 / 1e6;
    (lag > 1.0 && lag > LAG_SHARE * felt).then_some(lag)
}
