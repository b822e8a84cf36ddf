//! The metrics of a process, by their names, each with what reads it.

use super::samples::{Kind, Samples};
use super::values::Histogram;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What counters end with; the format's encoder adds it.
const TOTAL: &str = "_total";

type Reader = Box<dyn Fn(&mut Samples) + Send + Sync>;

struct Family {
    kind: Kind,
    help: &'static str,
    readers: Vec<Reader>,
}

/// The metrics of a process; cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics {
    families: Arc<Mutex<BTreeMap<&'static str, Family>>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let families = self.families();
        f.debug_set().entries(families.keys()).finish()
    }
}

impl Metrics {
    /// Registers one more reader of the metric `name`; `help` is a sentence without its full stop.
    ///
    /// A reader is quick and waits for nobody. It says every value that a label can have, as 0 where
    /// nothing has happened.
    pub fn register(
        &self,
        kind: Kind,
        name: &'static str,
        help: &'static str,
        read: impl Fn(&mut Samples) + Send + Sync + 'static,
    ) {
        debug_assert_eq!(name.ends_with(TOTAL), kind == Kind::Counter, "{name}");
        let mut families = self.families();
        let family = families.entry(name).or_insert_with(|| Family {
            kind,
            help,
            readers: Vec::new(),
        });
        debug_assert_eq!(family.kind, kind, "{name}");
        family.readers.push(Box::new(read));
    }

    /// A counter without labels.
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        self.register(Kind::Counter, name, help, move |out| {
            out.count(&[], read());
        });
    }

    /// A gauge without labels.
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.register(Kind::Gauge, name, help, move |out| out.value(&[], read()));
    }

    /// A histogram without labels, kept by whoever measures.
    pub fn histogram<T: Send + Sync + 'static>(
        &self,
        name: &'static str,
        help: &'static str,
        owner: Arc<T>,
        of: impl Fn(&T) -> &Histogram + Send + Sync + 'static,
    ) {
        self.register(Kind::Histogram, name, help, move |out| {
            out.histogram(&[], of(&owner));
        });
    }

    /// All of them in the text format of Prometheus (0.0.4).
    pub fn text(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        match prometheus_text::encode(&mut text, &registry) {
            Ok(()) => text,
            Err(fmt::Error) => unreachable!("a string takes everything that is written"),
        }
    }

    fn families(&self) -> MutexGuard<'_, BTreeMap<&'static str, Family>> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, family) in self.families().iter() {
            let mut samples = Samples::default();
            for read in &family.readers {
                read(&mut samples);
            }
            let name = name.strip_suffix(TOTAL).unwrap_or(name);
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let metric = encoder.encode_descriptor(name, family.help, None, kind)?;
            samples.encode(metric, family.kind)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn what_several_count_under_the_same_labels_is_added_up() {
        let metrics = Metrics::default();
        for thread in 1..=2 {
            metrics.register(Kind::Counter, "told_total", "Answers", move |out| {
                out.count(&[("kind", "new")], thread);
                out.count(&[("kind", "repeated")], 0);
            });
        }
        assert_eq!(
            metrics.text(),
            "# HELP told_total Answers\n# TYPE told_total counter\n\
             told_total{kind=\"new\"} 3\ntold_total{kind=\"repeated\"} 0\n"
        );
    }

    #[test]
    fn a_reader_says_what_is_at_the_moment_of_the_scrape() {
        let metrics = Metrics::default();
        let depth = Arc::new(AtomicU64::new(0));
        let read = depth.clone();
        metrics.gauge("depth", "How deep", move || {
            read.load(Ordering::Relaxed) as f64 / 2.0
        });
        depth.store(5, Ordering::Relaxed);
        assert!(metrics.text().ends_with("\ndepth 2.5\n"));
    }

    #[test]
    fn a_histogram_has_cumulative_buckets_in_base_units() {
        let metrics = Metrics::default();
        let waits = Arc::new(Histogram::durations(&[1_000_000, 2_000_000]));
        for ns in [500_000, 1_000_000, 1_500_000, 3_000_000] {
            waits.observe(ns);
        }
        metrics.histogram("wait_seconds", "Waits", waits, |waits| waits);
        let text = metrics.text();
        for line in [
            "wait_seconds_bucket{le=\"0.001\"} 2",
            "wait_seconds_bucket{le=\"0.002\"} 3",
            "wait_seconds_bucket{le=\"+Inf\"} 4",
            "wait_seconds_sum 0.006",
            "wait_seconds_count 4",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn what_a_label_says_cannot_break_the_format() {
        let metrics = Metrics::default();
        metrics.register(Kind::Gauge, "odd", "Odd", |out| {
            out.value(&[("name", "a\"b\\c\nd")], 1.0);
        });
        let text = metrics.text();
        assert!(
            text.ends_with("odd{name=\"a\\\"b\\\\c\\nd\"} 1.0\n"),
            "{text}"
        );
    }
}
