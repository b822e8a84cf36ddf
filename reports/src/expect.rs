//! Expectations of a run, `p99_ms<100`: parsed from a scenario or the command line, and held against
//! legs. They are of any metric in the registry, in that metric's own unit.

use crate::result::{Expectation, Leg, Metric, UnknownMetric, metric};
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;

/// What is wanted of a metric. In a file it is a string.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Expected {
    pub metric: &'static Metric,
    pub relation: Relation,
    /// Finite, in the unit of the metric.
    pub bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
}

/// In the order of reading: `<=` must be found before `<`.
const RELATIONS: &[(&str, Relation)] = &[
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("==", Relation::Equal),
    ("<", Relation::Less),
    (">", Relation::More),
];

/// A text that is no expectation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpectError {
    #[error(
        "the expectation {text:?} has no relation; write a metric, one of <, <=, >, >=, == and a number, \
         as in p99_ms<100"
    )]
    Relation { text: String },
    #[error("the expectation {text:?}: {source}")]
    Metric { text: String, source: UnknownMetric },
    #[error("the expectation {text:?} needs a number after {relation}{unit}, got {bound:?}")]
    Bound {
        text: String,
        relation: &'static str,
        /// `, in ms`, or empty.
        unit: String,
        bound: String,
    },
}

impl Relation {
    pub fn as_str(self) -> &'static str {
        let of = RELATIONS.iter().find(|(_, relation)| *relation == self);
        of.map_or("", |(text, _)| text)
    }

    /// Whether `actual` is in this relation to `bound`. A number that is none is in no relation.
    pub fn holds(self, actual: f64, bound: f64) -> bool {
        match self {
            Self::Less => actual < bound,
            Self::AtMost => actual <= bound,
            Self::More => actual > bound,
            Self::AtLeast => actual >= bound,
            Self::Equal => actual == bound,
        }
    }
}

impl FromStr for Expected {
    type Err = ExpectError;

    /// A metric's id, a relation and a number, with or without spaces between them; the number may
    /// have `_` between its digits.
    fn from_str(text: &str) -> Result<Self, ExpectError> {
        let no_relation = || ExpectError::Relation {
            text: text.to_owned(),
        };
        let at = text.find(['<', '>', '=']).ok_or_else(no_relation)?;
        let (id, rest) = text.split_at(at);
        let found = RELATIONS
            .iter()
            .find_map(|(sign, relation)| Some((*relation, rest.strip_prefix(sign)?)));
        let (relation, bound) = found.ok_or_else(no_relation)?;
        let metric = metric(id.trim()).map_err(|source| ExpectError::Metric {
            text: text.to_owned(),
            source,
        })?;
        let bound = bound.trim();
        let number = bound.replace('_', "").parse::<f64>().ok();
        let number = number.filter(|number| number.is_finite());
        let bound = number.ok_or_else(|| ExpectError::Bound {
            text: text.to_owned(),
            relation: relation.as_str(),
            unit: match metric.unit {
                "" => String::new(),
                unit => format!(", in {unit} and without the unit"),
            },
            bound: bound.to_owned(),
        })?;
        Ok(Self {
            metric,
            relation,
            bound,
        })
    }
}

impl TryFrom<String> for Expected {
    type Error = ExpectError;

    fn try_from(text: String) -> Result<Self, ExpectError> {
        text.parse()
    }
}

impl PartialEq for Expected {
    fn eq(&self, other: &Self) -> bool {
        let parts = |it: &Self| (it.metric.id, it.relation, it.bound);
        parts(self) == parts(other)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, relation) = (self.metric.id, self.relation.as_str());
        write!(f, "{id}{relation}{}", self.bound)
    }
}

impl Expected {
    /// Holds it against a leg. A figure that was not measured meets no expectation.
    pub fn hold_against(&self, leg: &Leg) -> Expectation {
        let actual = self.metric.of(leg);
        Expectation {
            metric: self.metric.id.to_owned(),
            leg: leg.id.clone(),
            relation: self.relation.as_str().to_owned(),
            bound: self.bound,
            actual,
            met: actual.is_some_and(|actual| self.relation.holds(actual, self.bound)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Limit, Noise, Phase, Purpose};
    use std::collections::BTreeMap;

    fn parse(text: &str) -> Expected {
        text.parse().expect(text)
    }

    fn refusal(text: &str) -> String {
        text.parse::<Expected>().expect_err(text).to_string()
    }

    #[test]
    fn a_metric_a_relation_and_a_number_are_read() {
        for (text, shown) in [
            ("p99_ms<100", "p99_ms<100"),
            ("errors==0", "errors==0"),
            (" throughput_per_s >= 10_000 ", "throughput_per_s>=10000"),
            ("committed_share >= 0.95", "committed_share>=0.95"),
            ("drain_s<=1.5", "drain_s<=1.5"),
            ("accepted > 1e3", "accepted>1000"),
        ] {
            assert_eq!(parse(text).to_string(), shown);
            // What is shown can be read again.
            assert_eq!(parse(shown).to_string(), shown);
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_with_what_is_allowed() {
        let unknown = refusal("p99<100");
        let expected =
            "the expectation \"p99<100\": unknown metric \"p99\"; known: throughput_per_s, ";
        assert!(unknown.starts_with(expected), "{unknown}");
        let allowed = "has no relation; write a metric, one of <, <=, >, >=, == and a number, as in p99_ms<100";
        for text in ["", "p99_ms", "p99_ms=100", "p99_ms=<100", "p99_ms 100"] {
            let said = format!("the expectation {text:?} {allowed}");
            assert_eq!(refusal(text), said);
        }
        assert_eq!(
            refusal("p99_ms<100ms"),
            "the expectation \"p99_ms<100ms\" needs a number after <, in ms and without the unit, got \"100ms\""
        );
        assert_eq!(
            refusal("errors=="),
            "the expectation \"errors==\" needs a number after ==, got \"\""
        );
        for bound in ["nan", "inf", "==5", "1,5", "<2"] {
            let text = format!("p99_ms<{bound}");
            assert!(text.parse::<Expected>().is_err(), "{text}");
        }
    }

    #[test]
    fn bounds_are_held_as_written() {
        for (relation, met_by) in [
            ("<", [true, false, false]),
            ("<=", [true, true, false]),
            ("==", [false, true, false]),
            (">=", [false, true, true]),
            (">", [false, false, true]),
        ] {
            let expected = parse(&format!("committed_share{relation}0.5"));
            for (actual, met) in [0.4, 0.5, 0.6].into_iter().zip(met_by) {
                assert_eq!(
                    expected.relation.holds(actual, 0.5),
                    met,
                    "{actual}{relation}0.5"
                );
            }
            assert!(!expected.relation.holds(f64::NAN, 0.5));
        }
    }

    #[test]
    fn a_file_holds_it_as_a_string() {
        let read: Vec<Expected> = serde_json::from_str(r#"["errors==0"]"#).expect("read");
        assert_eq!(read, [parse("errors == 0")]);
        let refused = serde_json::from_str::<Expected>("\"errors\"").expect_err("refused");
        assert!(refused.to_string().contains("has no relation"), "{refused}");
    }

    #[test]
    fn the_figure_of_a_leg_is_held_against_the_bound() {
        let mut leg = Leg::begin("7", "smoke", "lua-single-key", 1, 1);
        leg.phases = vec![measured()];
        leg.committed_at_last_reply = Some(0.9);
        for (text, met) in [
            ("committed_share>=0.95", false),
            ("committed_share>0.8", true),
        ] {
            let held = parse(text).hold_against(&leg);
            assert_eq!((held.actual, held.met), (Some(0.9), met), "{text}");
        }
        assert!(parse("errors==0").hold_against(&leg).met);
    }

    /// A phase of which nothing is known but that it measured.
    fn measured() -> Phase {
        Phase {
            name: "measure".to_owned(),
            purpose: Purpose::Measure,
            start_unix_us: 0,
            length_ns: 1,
            offered_per_s: None,
            due: 0,
            sent: 0,
            waiting_at_end: 0,
            finished: 0,
            dropped: BTreeMap::new(),
            operations: BTreeMap::new(),
            statuses: BTreeMap::new(),
            send_lag: None,
            buy_again: None,
            tail_ns: 0,
            in_flight: None,
            little: None,
            timeline: Vec::new(),
            usage: BTreeMap::new(),
            noise: Noise::default(),
            limit: Limit::unknown(),
        }
    }

    #[test]
    fn a_figure_that_was_not_measured_meets_nothing() {
        let leg = Leg::begin("7", "smoke", "null", 1, 1);
        for text in ["errors==0", "p99_ms<100", "committed_share>=0"] {
            let held = parse(text).hold_against(&leg);
            assert_eq!((held.actual, held.met), (None, false), "{text}");
            assert_eq!(held.leg, "7");
        }
    }
}
