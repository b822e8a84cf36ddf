//! Results as people read them: the first screen of a terminal, the details behind it, Markdown for
//! a pull request or a notebook, and distributions for HdrHistogram's tools. Pure: text from a
//! result, without a clock, a terminal or a file.

mod audit;
mod comparison;
mod details;
mod first_screen;
mod gate;
mod grid;
mod hgrm;
mod history;
pub mod html;
mod layout;
mod markdown;
mod matrix;
mod not_measured;
mod notes;
mod numbers;
mod page;
mod page_html;
mod phrases;
mod ranking;
mod stalls;
mod subjects;
mod table;
mod text;

pub use audit::audit;
pub use comparison::{comparison, comparison_html, comparison_markdown};
pub use details::details;
pub use first_screen::{LINES_MAX, first_screen};
pub use gate::junit;
pub use hgrm::hgrm;
pub use history::{HistoryFilter, history};
pub use markdown::markdown;
pub use not_measured::{not_measured_junit, not_measured_markdown};
pub use numbers::{grouped, significant};

/// What a text is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Width of the terminal. Less than [`Screen::COLUMNS_MIN`] counts as that, more than
    /// [`Screen::COLUMNS_MAX`] as that.
    pub columns: usize,
    /// With ANSI colours.
    pub colour: bool,
}

impl Screen {
    pub const COLUMNS_MIN: usize = 60;
    /// Longer lines are hard to follow.
    pub const COLUMNS_MAX: usize = 160;
    /// Where there is no terminal: a file, a pipe.
    pub const PLAIN: Self = Self {
        columns: 80,
        colour: false,
    };

    fn columns(self) -> usize {
        self.columns.clamp(Self::COLUMNS_MIN, Self::COLUMNS_MAX)
    }
}
