//! The core of the ranking: subjects with their values by round, put in order and compared as far as
//! the number of common rounds allows.

use super::counted::Counted;
use super::outcome::{
    Entry, FAMILYWISE_ERROR, Method, NoPlaces, NotRanked, PairComparison, ROUNDS_FOR_RANGES,
    ROUNDS_FOR_RANKING, Separation,
};
use crate::result::{Good, Metric};
use crate::stats::block_design::{BlockDesign, compact_letters};
use std::collections::BTreeSet;

pub(super) struct Placed {
    pub(super) method: Method,
    /// The best first.
    pub(super) entries: Vec<Entry>,
    pub(super) pairs: Vec<PairComparison>,
    pub(super) rounds_used: Vec<u32>,
}

/// Who keeps the others from a ranking for want of rounds is moved to `not_ranked`.
pub(super) fn place(
    mut subjects: Vec<Counted>,
    metric: &Metric,
    not_ranked: &mut Vec<NotRanked>,
) -> Placed {
    not_ranked.extend(exclude_for_missing_rounds(&mut subjects));
    let rounds = common_rounds(&subjects);
    let no_places = no_places(&subjects, metric, rounds.len());
    if no_places.is_none() {
        for subject in &mut subjects {
            subject.by_round.retain(|round, _| rounds.contains(round));
        }
    }
    let rounds_used: BTreeSet<u32> = subjects.iter().flat_map(rounds_of).collect();
    let mut entries: Vec<Entry> = subjects.into_iter().filter_map(Counted::shown).collect();
    sort(&mut entries, &metric.good());
    let (method, pairs) = match no_places {
        Some(why) => (Method::Values(why), Vec::new()),
        None if rounds.len() < ROUNDS_FOR_RANKING => {
            let compare = |(better, worse)| compare_ranges(&entries[better], &entries[worse]);
            let pairs = every_pair(entries.len()).map(compare).collect();
            (Method::Ranges, pairs)
        }
        None => tukey(&mut entries),
    };
    Placed {
        method,
        entries,
        pairs,
        rounds_used: rounds_used.into_iter().collect(),
    }
}

/// Why not even the extremes can be compared.
fn no_places(subjects: &[Counted], metric: &Metric, common_rounds: usize) -> Option<NoPlaces> {
    let mut values = subjects
        .iter()
        .flat_map(|subject| subject.by_round.values());
    if subjects.len() < 2 {
        Some(NoPlaces::Alone)
    } else if metric.good() == Good::Neutral {
        Some(NoPlaces::NoGoodDirection)
    } else if values.any(|value| *value <= 0.0) {
        Some(NoPlaces::NotPositive)
    } else {
        (common_rounds < ROUNDS_FOR_RANGES).then_some(NoPlaces::TooFewRounds)
    }
}

/// Takes out subjects one by one, each time the one without which most rounds are complete, until
/// there are enough for a ranking of at least two. Where that cannot be reached, nobody is taken
/// out. Of equals the one with the fewest rounds of its own goes, then the last.
fn exclude_for_missing_rounds(subjects: &mut Vec<Counted>) -> Vec<NotRanked> {
    let (mut kept, mut excluded) = (subjects.clone(), Vec::new());
    while kept.len() >= 2 {
        let common = common_rounds(&kept).len();
        if common >= ROUNDS_FOR_RANKING {
            *subjects = kept;
            return excluded;
        }
        let gain = |index: &usize| {
            let mut others = kept.clone();
            let taken = others.remove(*index);
            let own = std::cmp::Reverse(taken.by_round.len());
            (common_rounds(&others).len(), own, *index)
        };
        let Some(index) = (0..kept.len()).max_by_key(gain) else {
            break;
        };
        let taken = kept.remove(index);
        let why = format!(
            "{} of its rounds count, {common} together with the others; places need {ROUNDS_FOR_RANKING}",
            taken.by_round.len()
        );
        excluded.push(NotRanked {
            wants_rounds: true,
            ..taken.not_ranked(why)
        });
    }
    Vec::new()
}

fn rounds_of(subject: &Counted) -> BTreeSet<u32> {
    subject.by_round.keys().copied().collect()
}

/// Rounds in which every subject has a value.
fn common_rounds(subjects: &[Counted]) -> BTreeSet<u32> {
    let sets = subjects.iter().map(rounds_of);
    sets.reduce(|common, rounds| &common & &rounds)
        .unwrap_or_default()
}

fn sort(entries: &mut [Entry], good: &Good) {
    let by_name = |a: &Entry, b: &Entry| a.subject.cmp(&b.subject);
    entries.sort_by(|a, b| {
        let order = a.summary.middle().total_cmp(&b.summary.middle());
        let order = match good {
            Good::Up => order.reverse(),
            _ => order,
        };
        order.then_with(|| by_name(a, b))
    });
}

/// Every pair of the indexes, the better one first.
fn every_pair(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |better| (better + 1..count).map(move |worse| (better, worse)))
}

fn compare_ranges(better: &Entry, worse: &Entry) -> PairComparison {
    let (one, other) = (&better.summary, &worse.summary);
    let overlap = one.min <= other.max && other.min <= one.max;
    PairComparison {
        better: better.subject.clone(),
        worse: worse.subject.clone(),
        ratio: one.middle() / other.middle(),
        interval: None,
        separation: if overlap {
            Separation::NotSeparated
        } else {
            Separation::NotRanked
        },
    }
}

/// `entries` are sorted and have the same rounds, two at least; they are given places and letters.
fn tukey(entries: &mut [Entry]) -> (Method, Vec<PairComparison>) {
    let logarithms = |entry: &Entry| entry.summary.by_round.values().map(|v| v.ln()).collect();
    let rows: Vec<Vec<f64>> = entries.iter().map(logarithms).collect();
    let design = BlockDesign::fit(&rows).expect("complete rounds of positive values");
    let significant_difference_ln = design.significant_difference_ln(FAMILYWISE_ERROR);
    let letters = compact_letters(&design.means_ln, significant_difference_ln);
    let mut better_ones = vec![0u32; entries.len()];
    let mut compare = |(better, worse): (usize, usize)| {
        let interval = design.interval(better, worse, significant_difference_ln);
        better_ones[worse] += u32::from(interval.separates());
        PairComparison {
            better: entries[better].subject.clone(),
            worse: entries[worse].subject.clone(),
            ratio: interval.difference_ln.exp(),
            interval: Some((interval.lower_ln.exp(), interval.upper_ln.exp())),
            separation: if interval.separates() {
                Separation::Separated
            } else {
                Separation::NotSeparated
            },
        }
    };
    let pairs = every_pair(entries.len()).map(&mut compare).collect();
    for ((entry, letters), better_ones) in entries.iter_mut().zip(letters).zip(better_ones) {
        entry.place = Some(1 + better_ones);
        entry.letters = Some(letters);
    }
    let method = Method::Tukey {
        df: design.df,
        spread_ln: design.spread_ln,
        significant_difference_ln,
    };
    (method, pairs)
}
