//! What one of the results does not hold, although another does: a silent gap would pass for an
//! equal.

use super::Source;
use super::matched::Matched;
use crate::result::Run;
use std::fmt;

/// A scenario, or a subject of one, that a result lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub scenario: String,
    /// Id; none where the whole scenario is missing.
    pub subject: Option<String>,
    /// Position of the result among the sources, and its path.
    pub source: usize,
    pub path: String,
    /// Why it measured nothing there, as a phrase; none where it was not part of the run.
    pub broke: Option<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            None => write!(f, "the scenario {}", self.scenario)?,
            Some(subject) => write!(f, "{subject} of {}", self.scenario)?,
        }
        match &self.broke {
            None => write!(f, " is not in {}", self.path),
            Some(why) => write!(f, " broke in {} ({why})", self.path),
        }
    }
}

pub(super) fn missing(sources: &[Source<'_>], scenarios: &[Matched<'_>]) -> Vec<Missing> {
    let mut found = Vec::new();
    for matched in scenarios {
        let scenario = &matched.scenario().name;
        for (index, (source, own)) in sources.iter().zip(&matched.of_each).enumerate() {
            let mut add = |subject: Option<&str>, broke: Option<String>| {
                found.push(Missing {
                    scenario: scenario.clone(),
                    subject: subject.map(str::to_owned),
                    source: index,
                    path: source.path.to_owned(),
                    broke,
                });
            };
            let Some(own) = own else {
                add(None, None);
                continue;
            };
            for subject in matched.subjects.iter().filter(|one| !one.is_in[index]) {
                let why = why_nothing(source.run, &own.name, subject.id);
                add(Some(subject.id), why);
            }
        }
    }
    found
}

/// Of a subject that took part and measured nothing.
fn why_nothing(run: &Run, scenario: &str, subject: &str) -> Option<String> {
    let mut legs = run.legs_of(scenario, subject).peekable();
    if legs.peek().is_none() {
        let skipped = run.subject(subject)?.skipped_why.as_deref()?;
        return Some(format!("it was skipped: {skipped}"));
    }
    let error = legs.find_map(|leg| leg.error.as_deref());
    let first_line = error.and_then(|error| error.lines().next());
    Some(first_line.unwrap_or("it finished nothing").to_owned())
}

/// Everything that is missing, then what allows it, as one sentence.
pub(super) fn refusal(missing: &[Missing]) -> String {
    let said: Vec<String> = missing.iter().map(ToString::to_string).collect();
    format!(
        "these results do not hold the same: {}; choose what all of them have with --engine or --filter, or \
         compare the rest with --allow missing",
        said.join("; ")
    )
}
