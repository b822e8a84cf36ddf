//! Which leg speaks for an engine: its only one, or the round with the median throughput. A whole leg is chosen
//! rather than a median per column, so that the figures of a row belong together.

use crate::model::{Leg, RunResult};

#[derive(Debug)]
pub(super) struct EngineRow<'a> {
    pub leg: &'a Leg,
    /// How many rounds it was chosen from; failed and interrupted ones count only when there is nothing else.
    pub of_rounds: usize,
    pub ratio_to_null: Option<Ratio>,
}

/// Throughput against `null` in the same rounds: the median, and the range when there was more than one round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratio {
    pub median: f64,
    pub range: Option<(f64, f64)>,
}

/// One row per engine, in the order in which the engines first ran.
pub(super) fn engine_rows(run: &RunResult) -> Vec<EngineRow<'_>> {
    let mut names: Vec<&str> = Vec::new();
    for leg in &run.legs {
        if !names.contains(&leg.engine.as_str()) {
            names.push(&leg.engine);
        }
    }
    names.into_iter().filter_map(|name| engine_row(run, name)).collect()
}

fn engine_row<'a>(run: &'a RunResult, name: &str) -> Option<EngineRow<'a>> {
    let mut legs: Vec<&Leg> = run.legs.iter().filter(|leg| leg.engine == name).collect();
    if legs.iter().any(|leg| leg.complete) {
        legs.retain(|leg| leg.complete);
    }
    legs.sort_by(|a, b| a.requests_per_s.total_cmp(&b.requests_per_s));
    let leg = *legs.get(legs.len().saturating_sub(1) / 2)?;
    Some(EngineRow { leg, of_rounds: legs.len(), ratio_to_null: ratio_to_null(run, name) })
}

fn ratio_to_null(run: &RunResult, name: &str) -> Option<Ratio> {
    let complete = |engine: &'static str| {
        run.legs.iter().filter(move |leg| leg.complete && leg.engine == engine && leg.requests_per_s > 0.0)
    };
    if name == "null" {
        return None;
    }
    let mut ratios: Vec<f64> = complete("null")
        .filter_map(|null| {
            let other = run.legs.iter().find(|leg| leg.complete && leg.engine == name && leg.round == null.round)?;
            Some(other.requests_per_s / null.requests_per_s)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let median = *ratios.get(ratios.len().saturating_sub(1) / 2)?;
    let range = (ratios.len() > 1).then(|| (ratios[0], ratios[ratios.len() - 1]));
    Some(Ratio { median, range })
}
