//! Several results held against the first of them: what is alike enough to be compared, which
//! scenarios and subjects they have in common, and by how much their figures differ. Data only;
//! [`crate::view`] draws it.
//!
//! Rounds of runs that were interleaved (of the same run, or of one series) are compared pair by
//! pair. Everything else was measured on two moments, between which the machine changes, too: there
//! is only a ratio of medians, and it is never called more than that.

mod difference;
mod field;
mod filter;
mod matched;
mod missing;

pub use difference::{Difference, Held, NotCompared};
pub use field::{Field, UnknownField, Unlike, unlike_runs};
pub use filter::{Filter, FilterError, FilterKey};
pub use matched::{Matched, MatchedSubject};
pub use missing::Missing;

use crate::result::{METRICS, Metric, Run, metric};
use std::collections::BTreeSet;

/// What is compared where nobody asks for something else.
const USUAL_METRICS: [&str; 7] = [
    "throughput_per_s",
    "p50_ms",
    "p99_ms",
    "cpu_us_per_request",
    "cpu_us_per_order",
    "durable_p99_ms",
    "errors",
];

/// A result with the file that it came from, which errors name.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub path: &'a str,
    pub run: &'a Run,
}

/// What is compared, and what may differ.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Fields that may differ.
    pub allow: BTreeSet<Field>,
    /// Ids of subjects that every result must have; all when empty.
    pub subjects: Vec<String>,
    /// Of those with the same key one must match, and so for every key.
    pub filters: Vec<Filter>,
    /// The usual ones when empty.
    pub metrics: Vec<&'static Metric>,
    /// Differences up to this share, 0.05 for 5 %, are counted and not shown.
    pub threshold: Option<f64>,
}

impl Options {
    /// Whether the user chose the metrics.
    fn chooses_metrics(&self) -> bool {
        !self.metrics.is_empty() || self.filters.iter().any(|one| one.key == FilterKey::Metric)
    }

    fn metrics(&self) -> Vec<&'static Metric> {
        let named = |id: &&str| metric(id).expect("a metric of the registry");
        let all: Vec<&'static Metric> = if !self.metrics.is_empty() {
            self.metrics.clone()
        } else if self.chooses_metrics() {
            METRICS.iter().collect()
        } else {
            USUAL_METRICS.iter().map(named).collect()
        };
        let wanted = |metric: &&Metric| self.wants(FilterKey::Metric, &[metric.id]);
        all.into_iter().filter(wanted).collect()
    }

    /// Whether one of the names is wanted by the filters of this key.
    fn wants(&self, key: FilterKey, names: &[&str]) -> bool {
        let mut filters = self.filters.iter().filter(|one| one.key == key).peekable();
        filters.peek().is_none() || filters.any(|one| names.iter().any(|name| one.matches(name)))
    }

    fn wants_subject(&self, id: &str) -> bool {
        let named = self.subjects.is_empty() || self.subjects.iter().any(|one| one == id);
        named && self.wants(FilterKey::Engine, &[id])
    }
}

/// Results held against the first.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    /// One at least; the others are held against the first.
    pub sources: Vec<Source<'a>>,
    /// Fields that differ, and that were allowed to.
    pub allowed: Vec<Unlike>,
    /// What one of the results lacks, and was allowed to.
    pub missing: Vec<Missing>,
    pub scenarios: Vec<Matched<'a>>,
    /// The metrics that the user chose; empty for the usual ones.
    pub chosen: Vec<&'static Metric>,
    pub threshold: Option<f64>,
    /// Differences within the threshold.
    pub hidden: usize,
}

/// Why results are not compared. Every message is one sentence that names the files.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CompareError {
    #[error("there is no result to compare")]
    NoSource,
    #[error("{second} holds the same run as {first}, so there is nothing to compare")]
    SameRun { first: String, second: String },
    #[error("{}", field::refusal(.0))]
    Unlike(Vec<Unlike>),
    #[error("{}", missing::refusal(.0))]
    Missing(Vec<Missing>),
    #[error("{path} has no engine {name:?}; it has: {known}")]
    NoSuchEngine {
        name: String,
        path: String,
        known: String,
    },
    #[error("--filter {filter} matches nothing; there are: {known}")]
    MatchesNothing { filter: String, known: String },
    #[error("nothing can be compared: {0}")]
    NothingInCommon(String),
}

/// Holds results against the first one.
pub fn compare<'a>(
    sources: &[Source<'a>],
    options: &Options,
) -> Result<Comparison<'a>, CompareError> {
    if sources.is_empty() {
        return Err(CompareError::NoSource);
    }
    refuse_same_runs(sources)?;
    let metrics = options.metrics();
    let mut scenarios = matched::scenarios(sources);
    refuse_what_matches_nothing(&scenarios, &metrics, options)?;
    matched::keep_wanted(&mut scenarios, options);
    refuse_missing_engines(sources, &scenarios, options)?;
    let (allowed, refused): (Vec<Unlike>, Vec<Unlike>) = field::unlike(sources, &scenarios)
        .into_iter()
        .partition(|unlike| options.allow.contains(&unlike.field));
    if !refused.is_empty() {
        return Err(CompareError::Unlike(refused));
    }
    let has_a_pair = scenarios.iter().any(Matched::has_a_pair);
    if scenarios.is_empty() || (sources.len() > 1 && !has_a_pair) {
        return Err(CompareError::NothingInCommon(matched::inventory(
            sources, &scenarios,
        )));
    }
    let missing = missing::missing(sources, &scenarios);
    if !missing.is_empty() && !options.allow.contains(&Field::Missing) {
        return Err(CompareError::Missing(missing));
    }
    let mut hidden = 0;
    for scenario in &mut scenarios {
        hidden += difference::fill(scenario, sources, &metrics, options);
    }
    refuse_nothing_compared(sources, &scenarios, hidden)?;
    Ok(Comparison {
        sources: sources.to_vec(),
        allowed,
        missing,
        scenarios,
        chosen: match options.chooses_metrics() {
            true => metrics,
            false => Vec::new(),
        },
        threshold: options.threshold,
        hidden,
    })
}

/// One result alone is shown; of several, something must be held against the first.
fn refuse_nothing_compared(
    sources: &[Source<'_>],
    scenarios: &[Matched<'_>],
    hidden: usize,
) -> Result<(), CompareError> {
    let is_compared = hidden > 0
        || scenarios
            .iter()
            .any(|one| !one.differences.is_empty() || one.has_a_search_in_common(sources));
    if sources.len() == 1 || is_compared {
        return Ok(());
    }
    let not_compared = scenarios.iter().flat_map(|one| &one.not_compared);
    let mut reasons: Vec<String> = Vec::new();
    for not in not_compared {
        let path = sources[not.because_of].path;
        let reason = format!("{}: in {path}, {}", not.subject, not.why);
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    Err(CompareError::NothingInCommon(reasons.join("; ")))
}

fn refuse_same_runs(sources: &[Source<'_>]) -> Result<(), CompareError> {
    for (index, second) in sources.iter().enumerate() {
        let same = |first: &&Source<'_>| first.run.id == second.run.id && first.run == second.run;
        if let Some(first) = sources[..index].iter().find(same) {
            return Err(CompareError::SameRun {
                first: first.path.to_owned(),
                second: second.path.to_owned(),
            });
        }
    }
    Ok(())
}

fn refuse_what_matches_nothing(
    scenarios: &[Matched<'_>],
    metrics: &[&Metric],
    options: &Options,
) -> Result<(), CompareError> {
    let nothing = |key: FilterKey, known: Vec<&str>| {
        let filters = options.filters.iter().filter(|one| one.key == key);
        let filters: Vec<String> = filters.map(ToString::to_string).collect();
        CompareError::MatchesNothing {
            filter: filters.join(" --filter "),
            known: known.join(", "),
        }
    };
    if metrics.is_empty() {
        let known = METRICS.iter().map(|metric| metric.id).collect();
        return Err(nothing(FilterKey::Metric, known));
    }
    let names: Vec<&str> = scenarios.iter().flat_map(Matched::names).collect();
    if !names.is_empty() && !options.wants(FilterKey::Scenario, &names) {
        return Err(nothing(FilterKey::Scenario, names));
    }
    let mut ids: Vec<&str> = Vec::new();
    for id in scenarios.iter().flat_map(Matched::subject_ids) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if !ids.is_empty() && !options.wants(FilterKey::Engine, &ids) {
        return Err(nothing(FilterKey::Engine, ids));
    }
    Ok(())
}

/// What was asked for by its name must be in every result.
fn refuse_missing_engines(
    sources: &[Source<'_>],
    scenarios: &[Matched<'_>],
    options: &Options,
) -> Result<(), CompareError> {
    for (index, source) in sources.iter().enumerate() {
        for name in &options.subjects {
            let mut of_each = scenarios.iter().flat_map(|one| &one.subjects);
            if of_each.any(|subject| subject.id == *name && subject.is_in[index]) {
                continue;
            }
            let known = matched::measured_subjects(source.run);
            return Err(CompareError::NoSuchEngine {
                name: name.clone(),
                path: source.path.to_owned(),
                known: known.join(", "),
            });
        }
    }
    Ok(())
}
