//! By how much a figure of one result differs from that of the first, and what that is worth.

use super::matched::Matched;
use super::{Options, Source};
use crate::result::{AuditVerdict, Leg, Metric, Run};
use crate::stats::{BlockDesign, FAMILYWISE_ERROR, ROUNDS_FOR_RANKING, Summary, why_not_counted};
use std::collections::BTreeMap;

/// One metric of one subject in two results.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Id of the subject.
    pub subject: String,
    /// Position of the result among the sources; it is held against the first.
    pub source: usize,
    pub metric: Metric,
    pub base: Summary,
    pub other: Summary,
    /// The other by the base; none where a value is not positive, and so in no ratio.
    pub ratio: Option<f64>,
    pub held: Held,
}

/// What a ratio is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Held {
    /// Medians of two runs on two moments, which may differ for reasons of the machine.
    Apart,
    /// Rounds that were interleaved: the ratio is the geometric mean of those of the rounds.
    Paired {
        rounds: usize,
        /// Least and greatest ratio of a round.
        min: f64,
        max: f64,
        /// From five rounds on: bounds that are wrong in 5 % of all comparisons, each by itself.
        interval: Option<(f64, f64)>,
    },
}

/// Figures that are in both results and say nothing about each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotCompared {
    pub subject: String,
    pub source: usize,
    /// A phrase that names the result by its position: 0 for the first.
    pub because_of: usize,
    pub why: String,
}

impl Difference {
    /// Both as they stand in a table: the middle value, or the mean of the two in the middle.
    pub fn middles(&self) -> (f64, f64) {
        (middle(&self.base), middle(&self.other))
    }

    /// Nothing in both, as of errors there should be.
    fn is_nothing(&self) -> bool {
        self.middles() == (0.0, 0.0)
    }

    /// Whether it goes beyond a share, up or down.
    fn is_beyond(&self, share: f64) -> bool {
        let (base, other) = self.middles();
        match self.ratio {
            Some(ratio) => (ratio - 1.0).abs() > share,
            // From nothing to something there is no ratio, and it is never small.
            None => base != other,
        }
    }
}

fn middle(summary: &Summary) -> f64 {
    let mut values: Vec<f64> = summary.by_round.values().copied().collect();
    values.sort_by(f64::total_cmp);
    let upper = values[values.len() / 2];
    let lower = values[(values.len() - 1) / 2];
    f64::midpoint(lower, upper)
}

/// Rates that differ by more than this share load a system differently, so that nothing else says
/// anything.
const OFFERED_TOLERANCE: f64 = 0.02;

/// Median rate that an open loop offered; none for a closed one.
fn offered_per_s(legs: &BTreeMap<u32, &Leg>) -> Option<f64> {
    let phases = legs.values().filter_map(|leg| leg.measured());
    let mut rates: Vec<f64> = phases.filter_map(|phase| phase.offered_per_s).collect();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied()
}

/// Why figures at these rates are not compared, as a phrase.
fn unlike_rates(base: &BTreeMap<u32, &Leg>, other: &BTreeMap<u32, &Leg>) -> Option<String> {
    let (base, other) = (offered_per_s(base)?, offered_per_s(other)?);
    let is_alike = (other / base - 1.0).abs() <= OFFERED_TOLERANCE;
    (!is_alike)
        .then(|| format!("{other:.0} requests/s were offered, and {base:.0}/s in the first result"))
}

/// Compares everybody who is in the first source and another; returns how many differences are
/// within the threshold.
pub(super) fn fill(
    scenario: &mut Matched<'_>,
    sources: &[Source<'_>],
    metrics: &[&'static Metric],
    options: &Options,
) -> usize {
    let mut found = Vec::new();
    for source in 1..sources.len() {
        for subject in &scenario.subjects {
            if !subject.is_in[0] || !subject.is_in[source] {
                continue;
            }
            let legs_in = |index: usize| {
                let of_it = scenario.of_each[index];
                let name = of_it.map_or("", |of_it| of_it.name.as_str());
                legs(sources[index].run, name, subject.id).map_err(|why| NotCompared {
                    subject: subject.id.to_owned(),
                    source,
                    because_of: index,
                    why,
                })
            };
            let are_interleaved = are_interleaved(sources[0].run, sources[source].run);
            match legs_in(0).and_then(|base| Ok((base, legs_in(source)?))) {
                Err(not) => scenario.not_compared.push(not),
                Ok((base, other)) => {
                    if let Some(why) = unlike_rates(&base, &other) {
                        scenario.not_compared.push(NotCompared {
                            subject: subject.id.to_owned(),
                            source,
                            because_of: source,
                            why,
                        });
                        continue;
                    }
                    let hold = Holding {
                        subject: subject.id,
                        source,
                        base: &base,
                        other: &other,
                        are_interleaved,
                    };
                    found.extend(metrics.iter().map(|metric| hold.metric(metric)));
                }
            }
        }
    }
    let mut hidden = 0;
    for one in found {
        match one {
            Ok(difference) if difference.is_nothing() && !options.chooses_metrics() => {}
            Ok(difference) => match options.threshold {
                Some(share) if !difference.is_beyond(share) => hidden += 1,
                _ => scenario.differences.push(difference),
            },
            Err(not) if options.chooses_metrics() => scenario.not_compared.push(not),
            Err(_) => {}
        }
    }
    hidden
}

/// One subject in two results.
struct Holding<'a> {
    subject: &'a str,
    source: usize,
    base: &'a BTreeMap<u32, &'a Leg>,
    other: &'a BTreeMap<u32, &'a Leg>,
    are_interleaved: bool,
}

impl Holding<'_> {
    fn metric(&self, metric: &'static Metric) -> Result<Difference, NotCompared> {
        let not = |because_of: usize| NotCompared {
            subject: self.subject.to_owned(),
            source: self.source,
            because_of,
            why: format!("{} was not measured", metric.id),
        };
        let base = of(metric, self.base).ok_or_else(|| not(0))?;
        let other = of(metric, self.other).ok_or_else(|| not(self.source))?;
        let (ratio, held) = ratio(&base, &other, self.are_interleaved);
        Ok(Difference {
            subject: self.subject.to_owned(),
            source: self.source,
            metric: *metric,
            base,
            other,
            ratio,
            held,
        })
    }
}

/// Whether the same rounds of both were measured together.
fn are_interleaved(one: &Run, other: &Run) -> bool {
    let same_series = one.series.is_some() && one.series == other.series;
    one.id == other.id || same_series
}

/// The legs whose figures may be compared, one per round, or why none may: as in a ranking, a
/// subject whose audit failed once is out, however fast it was.
fn legs<'a>(run: &'a Run, scenario: &str, subject: &str) -> Result<BTreeMap<u32, &'a Leg>, String> {
    let Some(record) = run.subject(subject) else {
        return Err("it is not in the list of subjects".to_owned());
    };
    let all: Vec<&Leg> = run
        .legs
        .iter()
        .filter(|leg| leg.scenario == scenario && leg.subject == subject)
        .collect();
    let failed = |leg: &&&Leg| {
        let verdict = leg.audit.as_ref().map(|audit| &audit.verdict);
        verdict == Some(&AuditVerdict::Failed)
    };
    if let Some(leg) = all.iter().find(failed) {
        return Err(format!("its audit failed in round {}", leg.round));
    }
    let mut counted = BTreeMap::new();
    let mut why = "its legs belong to a search or a gate".to_owned();
    for leg in all
        .into_iter()
        .filter(|leg| leg.probe.is_none() && leg.pair.is_none())
    {
        match why_not_counted(leg, &record.standing, run.scenario(scenario)) {
            None => drop(counted.insert(leg.round, leg)),
            Some(reason) => why = format!("no round counts: {reason}"),
        }
    }
    if counted.is_empty() {
        return Err(why);
    }
    Ok(counted)
}

fn of(metric: &Metric, legs: &BTreeMap<u32, &Leg>) -> Option<Summary> {
    let values = legs
        .iter()
        .filter_map(|(round, leg)| Some((*round, metric.of(leg)?)));
    Summary::of(values.collect())
}

fn ratio(base: &Summary, other: &Summary, are_interleaved: bool) -> (Option<f64>, Held) {
    let is_positive = base.min > 0.0 && other.min > 0.0;
    if are_interleaved && is_positive {
        let common = base
            .by_round
            .iter()
            .filter_map(|(round, value)| Some((value.ln(), other.by_round.get(round)?.ln())));
        let (base_ln, other_ln): (Vec<f64>, Vec<f64>) = common.unzip();
        if !base_ln.is_empty() {
            let (ratio, held) = paired(base_ln, other_ln);
            return (Some(ratio), held);
        }
    }
    let ratio = middle(other) / middle(base);
    let ratio = (is_positive && ratio.is_finite()).then_some(ratio);
    (ratio, Held::Apart)
}

/// Logarithms of the same rounds, at least one.
fn paired(base_ln: Vec<f64>, other_ln: Vec<f64>) -> (f64, Held) {
    let differences: Vec<f64> = other_ln.iter().zip(&base_ln).map(|(b, a)| b - a).collect();
    let rounds = differences.len();
    let mean_ln = differences.iter().sum::<f64>() / rounds as f64;
    let extreme = |of: fn(f64, f64) -> f64| differences.iter().copied().reduce(of);
    let design = (rounds >= ROUNDS_FOR_RANKING)
        .then(|| BlockDesign::fit(&[other_ln.clone(), base_ln.clone()]).ok());
    let interval = design.flatten().map(|design| {
        let bound = design.significant_difference_ln(FAMILYWISE_ERROR);
        let interval = design.interval(0, 1, bound);
        (interval.lower_ln.exp(), interval.upper_ln.exp())
    });
    let held = Held::Paired {
        rounds,
        min: extreme(f64::min).unwrap_or(mean_ln).exp(),
        max: extreme(f64::max).unwrap_or(mean_ln).exp(),
        interval,
    };
    (mean_ln.exp(), held)
}
