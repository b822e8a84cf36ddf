//! The values of one metric at one moment, with their labels.

use super::values::Histogram;
use prometheus_client::encoding::{MetricEncoder, NoLabelSet};
use std::collections::BTreeMap;
use std::fmt;

/// What a number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows. Its name ends with `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often values were within bounds.
    Histogram,
}

type Labels = Vec<(&'static str, String)>;

/// What readers say; equal labels are added up.
#[derive(Debug, Default)]
pub struct Samples {
    values: BTreeMap<Labels, Value>,
}

#[derive(Debug)]
enum Value {
    Count(u64),
    Number(f64),
    Spread(Vec<(f64, u64)>, f64),
}

impl Samples {
    /// So many.
    pub fn count(&mut self, labels: &[(&'static str, &str)], count: u64) {
        self.add(labels, Value::Count(count));
    }

    /// A number.
    pub fn value(&mut self, labels: &[(&'static str, &str)], number: f64) {
        self.add(labels, Value::Number(number));
    }

    /// A histogram.
    pub fn histogram(&mut self, labels: &[(&'static str, &str)], histogram: &Histogram) {
        let (buckets, sum) = histogram.read();
        self.add(labels, Value::Spread(buckets, sum));
    }

    fn add(&mut self, labels: &[(&'static str, &str)], value: Value) {
        let labels = labels.iter().map(|(name, of)| (*name, (*of).to_owned()));
        let labels: Labels = labels.collect();
        match self.values.get_mut(&labels) {
            Some(known) => known.add(value),
            None => {
                self.values.insert(labels, value);
            }
        }
    }

    pub(super) fn encode(
        &self,
        mut metric: MetricEncoder<'_>,
        kind: Kind,
    ) -> Result<(), fmt::Error> {
        for (labels, value) in &self.values {
            match labels.is_empty() {
                true => value.encode(&mut metric, kind)?,
                false => value.encode(&mut metric.encode_family(labels)?, kind)?,
            }
        }
        Ok(())
    }
}

impl Value {
    fn add(&mut self, other: Self) {
        match (self, other) {
            (Self::Count(known), Self::Count(more)) => *known += more,
            (Self::Number(known), Self::Number(more)) => *known += more,
            (Self::Spread(known, sum), Self::Spread(more, by)) => {
                for ((_, known), (_, more)) in known.iter_mut().zip(more) {
                    *known += more;
                }
                *sum += by;
            }
            (known, other) => debug_assert!(false, "{known:?} and {other:?} under one name"),
        }
    }

    fn encode(&self, metric: &mut MetricEncoder<'_>, kind: Kind) -> Result<(), fmt::Error> {
        match (self, kind) {
            (Self::Count(count), Kind::Counter) => {
                metric.encode_counter::<NoLabelSet, _, u64>(count, None)
            }
            (Self::Number(number), Kind::Counter) => {
                metric.encode_counter::<NoLabelSet, _, u64>(number, None)
            }
            (Self::Count(count), _) => metric.encode_gauge(count),
            (Self::Number(number), _) => metric.encode_gauge(number),
            (Self::Spread(buckets, sum), _) => {
                let count = buckets.iter().map(|(_, count)| count).sum();
                // What is beyond all bounds shows in the count.
                let bounded = &buckets[..buckets.len().saturating_sub(1)];
                metric.encode_histogram::<NoLabelSet>(*sum, count, bounded, None)
            }
        }
    }
}
