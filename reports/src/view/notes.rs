//! What is said about a run in sentences: alarms, the verdict, warnings and facts. The first screen
//! and the Markdown both show them.

mod note;

mod alarms;
mod facts;
mod verdict;
mod warnings;

pub(super) use alarms::{alarms, errors, errors_in_full};
pub(super) use facts::facts;
pub(super) use note::Note;
pub(super) use verdict::{audits, leader, verdict};
pub(super) use warnings::{warnings, warnings_of_each};
