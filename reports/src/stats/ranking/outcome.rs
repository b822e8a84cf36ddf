//! What a ranking says, as data: who has which place, what every pair comes to, and who has no place
//! for which reason.

use crate::result::Metric;
use crate::stats::block_design::detectable_ln;
use crate::stats::summary::Summary;

/// Rounds from which on subjects get places.
pub const ROUNDS_FOR_RANKING: usize = 5;
/// Rounds from which on extremes are compared.
pub const ROUNDS_FOR_RANGES: usize = 3;
/// Probability that any two equal subjects of a ranking are called different.
pub const FAMILYWISE_ERROR: f64 = 0.05;

/// Probability with which [`Ranking::detectable_ratio`] would be found.
const POWER: f64 = 0.9;

/// The ranking of a scenario's subjects. It is computed from a result and never stored.
#[derive(Clone, Debug)]
pub struct Ranking {
    pub scenario: String,
    pub metric: Metric,
    pub method: Method,
    /// Those who compete, the best first: by the mean of logarithms over the rounds used.
    pub entries: Vec<Entry>,
    /// Every pair of `entries`, the better one first; empty where only values are shown.
    pub pairs: Vec<PairComparison>,
    /// Subjects that sell nothing: shown, and not ranked.
    pub ceilings: Vec<Entry>,
    /// Subjects that have no place, and why.
    pub not_ranked: Vec<NotRanked>,
    /// Legs that do not count, and why.
    pub left_out: Vec<LeftOut>,
    /// Rounds that are in the comparison, in order.
    pub rounds_used: Vec<u32>,
    /// Rounds that the run has, whether they count or not.
    pub rounds_run: usize,
}

/// How far the subjects may be compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Nothing is compared.
    Values(NoPlaces),
    /// Three or four rounds.
    Ranges,
    /// Tukey's test of all pairs.
    Tukey {
        df: f64,
        /// Spread of a subject between rounds: standard deviation of the logarithms.
        spread_ln: f64,
        /// Differences beyond this are separated.
        significant_difference_ln: f64,
    },
}

/// Why there are only values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlaces {
    /// Fewer than three that count for all.
    TooFewRounds,
    /// Nobody to compare with.
    Alone,
    /// Neither more nor less of the metric is better.
    NoGoodDirection,
    /// A value is 0, and so has no logarithm and is in no ratio to others.
    NotPositive,
}

/// One subject with its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Id of the subject.
    pub subject: String,
    pub summary: Summary,
    /// One more than the number of subjects that are better and separated from it, so that several
    /// may share a place; only after Tukey's test.
    pub place: Option<u32>,
    /// Subjects that share a letter are not separated; only after Tukey's test.
    pub letters: Option<String>,
}

/// Two subjects of a ranking.
#[derive(Clone, Debug, PartialEq)]
pub struct PairComparison {
    pub better: String,
    pub worse: String,
    /// The better one's value by the worse one's, as the geometric mean of the rounds' ratios: above
    /// 1 where more is better, below 1 where less is.
    pub ratio: f64,
    /// Simultaneous confidence bounds of `ratio`; only after Tukey's test.
    pub interval: Option<(f64, f64)>,
    pub separation: Separation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separation {
    /// Different beyond chance.
    Separated,
    /// Equal as far as can be told.
    NotSeparated,
    /// The values lie apart, but there are too few rounds to call that more than chance.
    NotRanked,
}

impl Separation {
    /// For a table.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Separated => "separated",
            Self::NotSeparated => "not separated",
            Self::NotRanked => "not ranked",
        }
    }
}

/// A leg whose figures are not compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Id of the leg.
    pub leg: String,
    pub subject: String,
    pub round: u32,
    /// A phrase, as for a table.
    pub why: String,
}

/// A subject that has no place.
#[derive(Clone, Debug, PartialEq)]
pub struct NotRanked {
    /// Id of the subject.
    pub subject: String,
    /// A phrase, as for a table.
    pub why: String,
    /// Of the rounds that count, where there are such.
    pub summary: Option<Summary>,
    /// Nothing speaks against its figures but that they are too few: it may be better than whoever
    /// has a place.
    pub wants_rounds: bool,
}

impl Ranking {
    pub fn entry(&self, subject: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.subject == subject)
    }

    pub fn pair(&self, one: &str, other: &str) -> Option<&PairComparison> {
        self.pairs.iter().find(|pair| {
            let pair = (pair.better.as_str(), pair.worse.as_str());
            pair == (one, other) || pair == (other, one)
        })
    }

    /// Ids of those who may be better than whoever has a place.
    pub fn unplaced(&self) -> impl Iterator<Item = &str> {
        let unplaced = self.not_ranked.iter().filter(|one| one.wants_rounds);
        unplaced.map(|one| one.subject.as_str())
    }

    /// The ratio of two subjects that as many rounds with the spread of these find nine times out of
    /// ten: what "not separated" leaves open. Only after Tukey's test.
    pub fn detectable_ratio(&self) -> Option<f64> {
        let Method::Tukey { spread_ln, .. } = self.method else {
            return None;
        };
        let (subjects, rounds) = (self.entries.len(), self.rounds_used.len());
        let shift_ln = detectable_ln(subjects, rounds, spread_ln, FAMILYWISE_ERROR, POWER);
        Some(shift_ln.exp())
    }

    /// What the order is worth, in one sentence for under the table.
    pub fn sentence(&self) -> String {
        let (used, run, needed) = (self.rounds_used.len(), self.rounds_run, ROUNDS_FOR_RANKING);
        let rounds = match (used, run) {
            (1, 1) => "one round".to_owned(),
            (used, run) if used == run => format!("{used} rounds"),
            (used, run) => format!("{used} of {run} rounds, those that count for all"),
        };
        match self.method {
            Method::Tukey { .. } => format!(
                "Ranked over {rounds}: who shares a letter is not separated (Tukey, {:.0} % for all \
                 pairs together).",
                FAMILYWISE_ERROR * 100.0
            ),
            Method::Ranges => {
                format!("Not ranked over {rounds}: places need {needed}; shown are the extremes.")
            }
            Method::Values(NoPlaces::TooFewRounds) => format!(
                "Not ranked over {run} {}: the order may be noise; places need {needed}.",
                if run == 1 { "round" } else { "rounds" }
            ),
            Method::Values(NoPlaces::Alone) => {
                "Not ranked: there is nobody to compare with.".to_owned()
            }
            Method::Values(NoPlaces::NoGoodDirection) => format!(
                "Not ranked: neither more nor less of {} is better.",
                self.metric.id
            ),
            Method::Values(NoPlaces::NotPositive) => format!(
                "Not ranked: {} is 0 somewhere, and 0 is in no ratio to others.",
                self.metric.id
            ),
        }
    }
}
