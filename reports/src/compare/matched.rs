//! Which scenario of one result is which of another, and who was measured in each.

use super::difference::{Difference, NotCompared};
use super::{FilterKey, Options, Source};
use crate::result::{Leg, Run, Scenario};

/// One scenario in all results.
#[derive(Clone, Debug)]
pub struct Matched<'a> {
    /// Of each source; absent where it has no such scenario.
    pub of_each: Vec<Option<&'a Scenario>>,
    /// Everybody who was measured in it somewhere, in the order of the sources.
    pub subjects: Vec<MatchedSubject<'a>>,
    /// Those to be shown, by subject, source and metric.
    pub differences: Vec<Difference>,
    pub not_compared: Vec<NotCompared>,
}

/// One subject in all results.
#[derive(Clone, Debug)]
pub struct MatchedSubject<'a> {
    pub id: &'a str,
    /// Whether each source measured it.
    pub is_in: Vec<bool>,
}

impl<'a> Matched<'a> {
    /// The scenario as the first source that has it knows it.
    pub fn scenario(&self) -> &'a Scenario {
        let first = self.of_each.iter().flatten().next();
        first.expect("a scenario is made from a source that has it")
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.of_each.iter().flatten().map(|one| one.name.as_str())
    }

    pub(super) fn subject_ids(&self) -> impl Iterator<Item = &'a str> {
        self.subjects.iter().map(|subject| subject.id)
    }

    /// Whether the highest rate of somebody was searched in the first source and in another.
    pub(super) fn has_a_search_in_common(&self, sources: &[Source<'_>]) -> bool {
        let is_searched = |index: usize, id: &str| {
            let of_it = self.of_each[index];
            let mut searches = sources[index].run.searches.iter();
            of_it.is_some_and(|of_it| {
                searches.any(|one| (&*one.scenario, &*one.subject) == (&*of_it.name, id))
            })
        };
        self.subject_ids()
            .any(|id| is_searched(0, id) && (1..sources.len()).any(|index| is_searched(index, id)))
    }

    /// Whether somebody was measured in the first source and in another.
    pub(super) fn has_a_pair(&self) -> bool {
        let pairs = |subject: &MatchedSubject<'_>| {
            let is_in = &subject.is_in;
            is_in[0] && is_in[1..].contains(&true)
        };
        self.subjects.iter().any(pairs)
    }
}

/// Scenarios are the same by their names, or, where names differ, by their hashes, which leave the
/// name out.
pub(super) fn scenarios<'a>(sources: &[Source<'a>]) -> Vec<Matched<'a>> {
    let mut matched: Vec<Matched<'a>> = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        for scenario in &source.run.scenarios {
            let is_free = |one: &Matched<'_>| one.of_each[index].is_none();
            let by_name =
                |one: &Matched<'_>| is_free(one) && one.names().any(|name| name == scenario.name);
            let by_hash = |one: &Matched<'_>| {
                let has_namesake = one.names().any(|name| source.run.scenario(name).is_some());
                is_free(one) && !has_namesake && one.scenario().sha256 == scenario.sha256
            };
            let found = matched.iter().position(by_name);
            let found = found.or_else(|| matched.iter().position(by_hash));
            match found {
                Some(at) => matched[at].of_each[index] = Some(scenario),
                None => {
                    let mut of_each = vec![None; sources.len()];
                    of_each[index] = Some(scenario);
                    matched.push(Matched {
                        of_each,
                        subjects: Vec::new(),
                        differences: Vec::new(),
                        not_compared: Vec::new(),
                    });
                }
            }
        }
    }
    for one in &mut matched {
        one.subjects = subjects(sources, &one.of_each);
    }
    matched
}

fn subjects<'a>(
    sources: &[Source<'a>],
    of_each: &[Option<&'a Scenario>],
) -> Vec<MatchedSubject<'a>> {
    let mut matched: Vec<MatchedSubject<'a>> = Vec::new();
    for (index, (source, scenario)) in sources.iter().zip(of_each).enumerate() {
        let Some(scenario) = scenario else { continue };
        for subject in &source.run.subjects {
            let mut legs = source.run.legs_of(&scenario.name, &subject.id);
            if !legs.any(has_measured) {
                continue;
            }
            match matched.iter_mut().find(|one| one.id == subject.id) {
                Some(known) => known.is_in[index] = true,
                None => {
                    let mut is_in = vec![false; sources.len()];
                    is_in[index] = true;
                    matched.push(MatchedSubject {
                        id: &subject.id,
                        is_in,
                    });
                }
            }
        }
    }
    matched
}

/// Leaves out scenarios and subjects that nobody asked for.
pub(super) fn keep_wanted(scenarios: &mut Vec<Matched<'_>>, options: &Options) {
    scenarios.retain_mut(|one| {
        let names: Vec<&str> = one.names().collect();
        one.subjects
            .retain(|subject| options.wants_subject(subject.id));
        options.wants(FilterKey::Scenario, &names) && !one.subjects.is_empty()
    });
}

/// Ids of the subjects that measured something in any scenario.
pub(super) fn measured_subjects(run: &Run) -> Vec<&str> {
    let measured = |id: &str| {
        run.legs
            .iter()
            .any(|leg| leg.subject == id && has_measured(leg))
    };
    let ids = run.subjects.iter().map(|subject| subject.id.as_str());
    ids.filter(|id| measured(id)).collect()
}

/// What each source has, for those who find nothing in common: `a.json has null in laptop`.
pub(super) fn inventory(sources: &[Source<'_>], scenarios: &[Matched<'_>]) -> String {
    let of = |(index, source): (usize, &Source<'_>)| {
        let mut held = Vec::new();
        for one in scenarios {
            let Some(scenario) = one.of_each[index] else {
                continue;
            };
            let ids = one.subjects.iter().filter(|subject| subject.is_in[index]);
            let ids: Vec<&str> = ids.map(|subject| subject.id).collect();
            if !ids.is_empty() {
                held.push(format!("{} in {}", ids.join(", "), scenario.name));
            }
        }
        match held.as_slice() {
            [] => format!("{} measured nothing that was asked for", source.path),
            held => format!("{} has {}", source.path, held.join(" and ")),
        }
    };
    let all: Vec<String> = sources.iter().enumerate().map(of).collect();
    all.join("; ")
}

fn has_measured(leg: &Leg) -> bool {
    leg.measured().is_some_and(|phase| phase.finished > 0)
}
