//! The history of a system's speed, in a format of its own: one line of JSON per commit, machine
//! class and scenario. A line holds ratios of a head to an anchor commit that was measured in the
//! same run, because absolute figures of machines that change are noise. Pure: the file is the
//! business of whoever reads and appends it.

mod adding;
mod line;
mod reading;
mod series;

pub use adding::{Added, Adding, Refused};
pub use line::{Commit, Key, Line, MIDDLE_ERROR, Ratio, VERSION};
pub use reading::{Entry, History, HistoryError};
pub use series::{CHANGES, Change, POINTS_MAX, Series};
