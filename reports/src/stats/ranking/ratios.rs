//! Ratios of one subject to another within the same round: to the ceiling, or to a reference.

use super::counted::values;
use crate::result::{Metric, Run, Standing, Subject};
use crate::stats::summary::Summary;
use std::collections::BTreeMap;

/// A subject's values divided by another's.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratios {
    /// Ids of both.
    pub subject: String,
    pub base: String,
    /// Of the rounds in which both count; a slow minute that hurt both alike is not in it.
    pub summary: Summary,
}

/// Ratios of a subject to another one, both by their ids, round by round. None when there is no round
/// in which both count and the base is not 0.
pub fn ratios(
    run: &Run,
    scenario: &str,
    metric: &Metric,
    subject: &str,
    base: &str,
) -> Option<Ratios> {
    let values_of = |id: &str| Some(values(run, scenario, metric, run.subject(id)?).0);
    let (values, base_values) = (values_of(subject)?, values_of(base)?);
    let ratio = |(round, value): (u32, f64)| {
        let base = base_values.get(&round)?;
        (*base != 0.0).then_some((round, value / base))
    };
    let by_round: BTreeMap<u32, f64> = values.into_iter().filter_map(ratio).collect();
    Some(Ratios {
        subject: subject.to_owned(),
        base: base.to_owned(),
        summary: Summary::of(by_round)?,
    })
}

/// The subject that shows what the path around an engine can do, where a scenario has one.
pub fn ceiling<'a>(run: &'a Run, scenario: &str) -> Option<&'a Subject> {
    run.subjects.iter().find(|subject| {
        let was_measured = run.legs_of(scenario, &subject.id).next().is_some();
        subject.standing == Standing::Ceiling && was_measured
    })
}
