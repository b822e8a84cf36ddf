//! Which places subjects may claim, and in which words; the statistics behind them are those of
//! [`crate::stats`].

use super::numbers::counted;
use super::subjects::{Row, rows};
use super::text::clean;
use crate::result::{Run, Scenario, metric};
use crate::stats::{self, Method, NoPlaces, ROUNDS_FOR_RANKING, Separation};
use std::collections::BTreeMap;

/// By what subjects are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Goal {
    /// Closed loops: whoever finishes more per second.
    #[default]
    Throughput,
    /// Open loops offer everybody the same: whoever keeps buyers waiting the least.
    Latency,
}

impl Goal {
    fn of(run: &Run, scenario: &Scenario) -> Self {
        let legs = run.legs.iter().filter(|leg| leg.scenario == scenario.name);
        let mut phases = legs.filter_map(|leg| leg.measured()).peekable();
        let some = phases.peek().is_some();
        if some && phases.all(|phase| phase.offered_per_s.is_some()) {
            Self::Latency
        } else {
            Self::Throughput
        }
    }

    pub(super) fn metric(self) -> &'static str {
        match self {
            Self::Throughput => "throughput_per_s",
            Self::Latency => "p99_ms",
        }
    }
}

/// A subject's figure with how far it may be trusted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub middle: f64,
    pub lower: f64,
    pub upper: f64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ranking {
    pub goal: Goal,
    /// Best and worst place that a subject may have, by its id; empty when there is no ranking.
    pub places: BTreeMap<String, (usize, usize)>,
    /// Ids of those who are left out for want of rounds, and may be better than whoever has a place.
    pub unplaced: Vec<String>,
    /// By subject. After Tukey's test, means of which those are separated whose bounds do not
    /// overlap; with three or four rounds, the extremes.
    pub spreads: BTreeMap<String, Spread>,
    /// Half of the significant difference, as a share: the bounds of every mean.
    pub margin: Option<f64>,
    /// How far the order may be trusted, as a sentence; empty when there is nothing to order.
    pub remark: String,
}

impl Ranking {
    /// `1`, or `2–3` where neighbours are not separated.
    pub(super) fn place(&self, subject: &str) -> Option<String> {
        self.places.get(subject).map(|(best, worst)| {
            if best == worst {
                best.to_string()
            } else {
                format!("{best}–{worst}")
            }
        })
    }
}

/// The subjects of a scenario that measured something, best first, and what their order is worth.
pub(super) fn ranked<'a>(run: &'a Run, scenario: &'a Scenario) -> (Vec<Row<'a>>, Ranking) {
    let goal = Goal::of(run, scenario);
    let metric = metric(goal.metric()).expect("a metric of the registry");
    let compared = stats::ranking(run, &scenario.name, metric);
    let ranking = Ranking {
        goal,
        places: places(&compared),
        unplaced: compared.unplaced().map(str::to_owned).collect(),
        spreads: spreads(&compared),
        margin: half_difference_ln(&compared).map(|half_ln| half_ln.exp() - 1.0),
        remark: remark(&compared),
    };
    (rows(run, scenario, &compared), ranking)
}

fn places(compared: &stats::Ranking) -> BTreeMap<String, (usize, usize)> {
    // Who was left out for want of rounds may have any place.
    let all = compared.entries.len() + compared.unplaced().count();
    let worse_than = |subject: &str| {
        let worse = compared
            .pairs
            .iter()
            .filter(|pair| pair.better == subject && pair.separation == Separation::Separated);
        worse.count()
    };
    let entries = compared.entries.iter();
    let placed = entries.filter_map(|entry| Some((entry, entry.place?)));
    placed
        .map(|(entry, place)| {
            let worst = all - worse_than(&entry.subject);
            (entry.subject.clone(), (place as usize, worst))
        })
        .collect()
}

fn half_difference_ln(compared: &stats::Ranking) -> Option<f64> {
    match compared.method {
        Method::Tukey {
            significant_difference_ln,
            ..
        } => Some(significant_difference_ln / 2.0),
        Method::Ranges | Method::Values(_) => None,
    }
}

fn spreads(compared: &stats::Ranking) -> BTreeMap<String, Spread> {
    let half_ln = half_difference_ln(compared);
    let of = |entry: &stats::Entry| {
        let summary = &entry.summary;
        let spread = match half_ln {
            Some(half_ln) => {
                let middle = summary.middle();
                let factor = half_ln.exp();
                Spread {
                    middle,
                    lower: middle / factor,
                    upper: middle * factor,
                }
            }
            None => Spread {
                middle: summary.median?,
                lower: summary.min,
                upper: summary.max,
            },
        };
        Some((entry.subject.clone(), spread))
    };
    let enough = half_ln.is_some() || compared.method == Method::Ranges;
    let entries = compared.entries.iter().filter(|_| enough);
    entries.filter_map(of).collect()
}

/// Shorter than that of the statistics, for a narrow screen.
fn remark(compared: &stats::Ranking) -> String {
    let used = compared.rounds_used.len() as u64;
    let rounds = match compared.rounds_run as u64 {
        run if run == used => counted(run, "round"),
        run => format!("{used} of {}", counted(run, "round")),
    };
    let not_separated = not_separated(compared);
    match compared.method {
        Method::Tukey { .. } => {
            let unplaced: Vec<String> = compared.unplaced().map(clean).collect();
            let unplaced = match unplaced.as_slice() {
                [] => String::new(),
                names => format!(
                    " Too few rounds for a place, and perhaps better: {}.",
                    names.join(", ")
                ),
            };
            format!("Ranked over {rounds}.{unplaced}{not_separated}")
        }
        Method::Values(NoPlaces::Alone | NoPlaces::NoGoodDirection) => String::new(),
        Method::Values(_) if compared.entries.len() < 2 => String::new(),
        Method::Values(NoPlaces::TooFewRounds) if compared.rounds_run == 1 => {
            "One round: no ranking.".to_owned()
        }
        _ => format!("{rounds}: no ranking ({ROUNDS_FOR_RANKING} are needed).{not_separated}"),
    }
}

/// Neighbours that are equal as far as can be told.
fn not_separated(compared: &stats::Ranking) -> String {
    let neighbours = compared.entries.windows(2);
    let equal = neighbours.filter(|two| {
        let pair = compared.pair(&two[0].subject, &two[1].subject);
        pair.is_some_and(|pair| pair.separation == Separation::NotSeparated)
    });
    let names: Vec<String> = equal
        .map(|two| format!("{} and {}", clean(&two[0].subject), clean(&two[1].subject)))
        .collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!(" Not separated: {}.", names.join(", ")),
    }
}
