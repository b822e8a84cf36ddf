//! What is said about a run in sentences: alarms, the verdict, warnings and facts. The first screen
//! and the Markdown both show them.

mod alarms;
mod facts;
mod verdict;
mod warnings;

pub(super) use alarms::{alarms, errors};
pub(super) use facts::facts;
pub(super) use verdict::verdict;
pub(super) use warnings::warnings;

use super::text::Tone;

/// A labelled sentence.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub label: &'static str,
    pub tone: Tone,
    pub text: String,
    /// 0 stays on the screen; of the others, the highest gives way first.
    pub expendable: u8,
}

impl Note {
    fn new(label: &'static str, tone: Tone, text: impl Into<String>) -> Self {
        Self {
            label,
            tone,
            text: text.into(),
            expendable: 0,
        }
    }

    fn expendable(self, order: u8) -> Self {
        Self {
            expendable: order,
            ..self
        }
    }
}

/// `a`, `a and 1 more`, `a, b and 3 more`.
fn some_of(items: &[String], shown: usize, separator: &str) -> String {
    let (first, rest) = items.split_at(items.len().min(shown));
    let first = first.join(separator);
    match rest.len() {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
