//! Who is faster than whom, and how sure that is: the subjects of one scenario by one metric.
//!
//! Five rounds and more are compared as a block design ([`super::BlockDesign`]). With three or four,
//! the extremes are shown and nobody has a place; with fewer, only values. A leg counts when nothing
//! speaks against its figures ([`why_not_counted`]), and a subject whose audit failed in any round
//! is out, however fast it was. Compared are the rounds in which the legs of all compared subjects
//! count.

mod outcome;

mod counted;
mod placing;
mod ratios;

pub use counted::why_not_counted;
pub use outcome::{
    Entry, FAMILYWISE_ERROR, LeftOut, Method, NoPlaces, NotRanked, PairComparison,
    ROUNDS_FOR_RANGES, ROUNDS_FOR_RANKING, Ranking, Separation,
};
pub use ratios::{Ratios, ceiling, ratios};

use crate::result::{Metric, Run};
use counted::{Counted, Subjects};
use std::collections::BTreeSet;

/// The ranking of a scenario's subjects by a metric. A scenario without legs gives an empty one, and
/// of a metric without a good direction only values are shown.
pub fn ranking(run: &Run, scenario: &str, metric: &Metric) -> Ranking {
    let rounds = run.legs.iter().filter(|leg| leg.scenario == scenario);
    let rounds: BTreeSet<u32> = rounds.map(|leg| leg.round).collect();
    let Subjects {
        competing,
        ceilings,
        mut not_ranked,
        left_out,
    } = Subjects::of(run, scenario, metric);
    let placed = placing::place(competing, metric, &mut not_ranked);
    Ranking {
        scenario: scenario.to_owned(),
        metric: *metric,
        method: placed.method,
        entries: placed.entries,
        pairs: placed.pairs,
        ceilings: ceilings.into_iter().filter_map(Counted::shown).collect(),
        not_ranked,
        left_out,
        rounds_used: placed.rounds_used,
        rounds_run: rounds.len(),
    }
}
