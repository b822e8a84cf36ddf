//! Latency distributions. While something is measured they are [`HistRecorder`]s; in a result they
//! are [`Hist`]s, which hold the whole histogram in HdrHistogram's own V2 format (compressed, base
//! 64), so that any two can be merged and any percentile read later, by other tools too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Shortest latency that is told apart: 1 µs. Anything shorter counts as this.
pub const LATENCY_MIN_NS: u64 = 1_000;
/// Longest latency that is told apart: 600 s. A longer one counts as this, and as saturated.
pub const LATENCY_MAX_NS: u64 = 600_000_000_000;

const NS_PER_US: u64 = 1_000;

/// A distribution in a result. The histogram counts µs from 1 to 600,000,000 whatever was recorded,
/// so that all of them can be merged; sum, smallest and largest value are exact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hist {
    pub count: u64,
    /// How many of `count` were longer than 600 s.
    pub saturated: u64,
    pub sum_ns: u64,
    /// 0 in an empty distribution, as is `max_ns`.
    pub min_ns: u64,
    pub max_ns: u64,
    /// Significant decimal digits of a value: 3, or 2 within a timeline.
    pub digits: u8,
    pub v2_deflate_base64: String,
}

/// A distribution that does not hold what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a latency histogram cannot be read: {0}")]
pub struct HistError(String);

/// Records latencies as they are measured.
#[derive(Clone, Debug)]
pub struct HistRecorder {
    histogram: Histogram<u64>,
    saturated: u64,
    sum_ns: u64,
    min_ns: u64,
    max_ns: u64,
}

/// What can be read from a distribution.
pub type Latencies = HistRecorder;

impl HistRecorder {
    /// An empty one of 3 significant digits, for what is measured.
    pub fn new() -> Self {
        Self::with_digits(3)
    }

    /// An empty one of 2 significant digits, for the many intervals of a timeline.
    pub fn coarse() -> Self {
        Self::with_digits(2)
    }

    fn with_digits(digits: u8) -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX_NS / NS_PER_US, digits);
        Self {
            histogram: histogram.expect("bounds and digits are valid"),
            saturated: 0,
            sum_ns: 0,
            min_ns: 0,
            max_ns: 0,
        }
    }

    pub fn record_ns(&mut self, latency_ns: u64) {
        let is_first = self.histogram.is_empty();
        self.saturated += u64::from(latency_ns > LATENCY_MAX_NS);
        let us = latency_ns.clamp(LATENCY_MIN_NS, LATENCY_MAX_NS) / NS_PER_US;
        self.histogram.saturating_record(us);
        self.sum_ns = self.sum_ns.saturating_add(latency_ns);
        self.min_ns = if is_first {
            latency_ns
        } else {
            self.min_ns.min(latency_ns)
        };
        self.max_ns = self.max_ns.max(latency_ns);
    }

    /// Adds everything that another one has recorded.
    pub fn merge(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        self.min_ns = if self.is_empty() {
            other.min_ns
        } else {
            self.min_ns.min(other.min_ns)
        };
        self.max_ns = self.max_ns.max(other.max_ns);
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.saturated += other.saturated;
        self.histogram
            .add(&other.histogram)
            .expect("all have the same bounds");
    }

    /// Forgets everything, and keeps the memory.
    pub fn reset(&mut self) {
        self.histogram.reset();
        (self.saturated, self.sum_ns, self.min_ns, self.max_ns) = (0, 0, 0, 0);
    }

    pub fn is_empty(&self) -> bool {
        self.histogram.is_empty()
    }

    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// How many were longer than what is told apart.
    pub fn saturated(&self) -> u64 {
        self.saturated
    }

    /// Exact; 0 in an empty one.
    pub fn mean_ns(&self) -> f64 {
        match self.count() {
            0 => 0.0,
            count => self.sum_ns as f64 / count as f64,
        }
    }

    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    pub fn min_ns(&self) -> u64 {
        self.min_ns
    }

    pub fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// The value that the share `quantile` (0 to 1) of all latencies does not exceed, to the
    /// precision of the digits; none in an empty one.
    pub fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        (!self.is_empty()).then(|| {
            let us = self.histogram.value_at_quantile(quantile);
            (us * NS_PER_US).clamp(self.min_ns, self.max_ns.max(self.min_ns))
        })
    }

    /// How many latencies are at most this long, to the precision of the digits.
    pub fn count_up_to_ns(&self, limit_ns: u64) -> u64 {
        let us = (limit_ns / NS_PER_US).clamp(1, LATENCY_MAX_NS / NS_PER_US);
        self.histogram.count_between(0, us)
    }

    /// The histogram itself, in µs, for what needs its cells (a drawing, an export).
    pub fn histogram_us(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// As it stands in a result.
    pub fn to_hist(&self) -> Hist {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.histogram, &mut bytes)
            .expect("a histogram fits into memory");
        Hist {
            count: self.count(),
            saturated: self.saturated,
            sum_ns: self.sum_ns,
            min_ns: self.min_ns,
            max_ns: self.max_ns,
            digits: self.histogram.sigfig(),
            v2_deflate_base64: BASE64.encode(bytes),
        }
    }
}

impl Default for HistRecorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Hist {
    /// The distribution, to read figures from it or to merge it.
    ///
    /// # Errors
    /// When the text is no histogram, or holds another number of values than it says.
    pub fn read(&self) -> Result<Latencies, HistError> {
        let failed = |what: &dyn std::fmt::Display| HistError(what.to_string());
        let bytes = BASE64
            .decode(&self.v2_deflate_base64)
            .map_err(|error| failed(&error))?;
        let read: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| failed(&error))?;
        // Into one of the fixed bounds, so that it merges with all others.
        let mut latencies = HistRecorder::with_digits(self.digits.clamp(1, 5));
        latencies
            .histogram
            .add(&read)
            .map_err(|error| failed(&error))?;
        if latencies.count() != self.count {
            return Err(HistError(format!(
                "it says {} values and holds {}",
                self.count,
                latencies.count()
            )));
        }
        latencies.saturated = self.saturated;
        latencies.sum_ns = self.sum_ns;
        latencies.min_ns = self.min_ns;
        latencies.max_ns = self.max_ns;
        Ok(latencies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(latencies_ns: impl IntoIterator<Item = u64>) -> HistRecorder {
        let mut recorder = HistRecorder::new();
        latencies_ns
            .into_iter()
            .for_each(|latency| recorder.record_ns(latency));
        recorder
    }

    #[test]
    fn a_distribution_survives_writing_and_reading() {
        let recorder = recorded((1..=100_000).map(|n| n * 37_123));
        let read = recorder.to_hist().read().expect("read");
        assert_eq!(read.to_hist(), recorder.to_hist());
        for quantile in [0.0, 0.5, 0.99, 0.999, 1.0] {
            assert_eq!(read.quantile_ns(quantile), recorder.quantile_ns(quantile));
        }
    }

    #[test]
    fn sum_mean_and_extremes_are_exact() {
        let recorder = recorded([1_500, 2_501, 900]);
        assert_eq!((recorder.min_ns(), recorder.max_ns()), (900, 2_501));
        assert_eq!(recorder.mean_ns(), 4_901.0 / 3.0);
        assert_eq!(recorder.quantile_ns(1.0), Some(2_000));
    }

    #[test]
    fn merging_is_recording_everything_in_one() {
        let mut merged = recorded([5_000, 7_000]);
        merged.merge(&recorded([]));
        merged.merge(&recorded([1_000_000]));
        assert_eq!(
            merged.to_hist(),
            recorded([5_000, 7_000, 1_000_000]).to_hist()
        );
        let mut empty = recorded([]);
        empty.merge(&merged);
        assert_eq!(empty.to_hist(), merged.to_hist());
    }

    #[test]
    fn what_is_too_long_is_counted_as_such() {
        let recorder = recorded([LATENCY_MAX_NS + 1, 3_000]);
        assert_eq!((recorder.count(), recorder.saturated()), (2, 1));
        assert_eq!(recorder.quantile_ns(0.5), Some(3_000));
    }

    #[test]
    fn an_empty_one_has_no_quantile() {
        let empty = recorded([]);
        assert_eq!(empty.quantile_ns(0.5), None);
        assert_eq!(empty.to_hist().read().expect("read").count(), 0);
    }

    #[test]
    fn a_damaged_one_is_refused() {
        let mut hist = recorded([5_000, 9_000]).to_hist();
        hist.count = 3;
        let refused = hist.read().expect_err("refused").to_string();
        assert!(
            refused.contains("it says 3 values and holds 2"),
            "{refused}"
        );
        hist.v2_deflate_base64 = "AAAA".to_owned();
        assert!(hist.read().is_err());
    }
}
