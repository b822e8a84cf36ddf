//! Rendering of a run as text and as Markdown. It is pure: the same result gives the same bytes.
//! `report` decides what is said and in which order; `text` and `markdown` decide only how it
//! looks.

mod document;
mod format;
mod markdown;
mod report;
mod rounds;
mod text;

pub use format::{duration_s, grouped, mebibytes, milliseconds};

use crate::model::RunResult;

/// The run for a terminal, tables drawn with box characters.
pub fn as_text(run: &RunResult) -> String {
    text::render(&report::report(run))
}

/// The run for a pull request or a notebook, as GitHub-flavoured Markdown.
pub fn as_markdown(run: &RunResult) -> String {
    markdown::render(&report::report(run))
}
