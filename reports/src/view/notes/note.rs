//! A labelled sentence, and lists in sentences.

use crate::view::text::Tone;

/// A labelled sentence.
#[derive(Clone, Debug)]
pub(in crate::view) struct Note {
    pub label: &'static str,
    pub tone: Tone,
    pub text: String,
    /// 0 stays on the screen; of the others, the highest gives way first.
    pub expendable: u8,
}

impl Note {
    pub(in crate::view) fn new(label: &'static str, tone: Tone, text: impl Into<String>) -> Self {
        Self {
            label,
            tone,
            text: text.into(),
            expendable: 0,
        }
    }

    pub(in crate::view) fn expendable(self, order: u8) -> Self {
        Self {
            expendable: order,
            ..self
        }
    }
}

/// `a`, `a and 1 more`, `a, b and 3 more`.
pub(super) fn some_of(items: &[String], shown: usize, separator: &str) -> String {
    let (first, rest) = items.split_at(items.len().min(shown));
    let first = first.join(separator);
    match rest.len() {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
