//! Results of the lab as data, and their presentation: the result model with its schema number, the
//! statistics of its figures, the log of what each buyer was told, and pure rendering as text and
//! Markdown. Nothing here measures or connects.

pub mod compare;
pub mod expect;
pub mod gate;
pub mod history;
pub mod outcome_log;
pub mod result;
pub mod stats;
pub mod view;

mod read;

pub use read::{ReadError, ReadErrorKind, read};
pub use view::html;
