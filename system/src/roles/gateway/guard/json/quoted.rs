//! Names that clients made up, as errors repeat them.

/// Longest one, characters.
const QUOTED_MAX: usize = 48;

/// In quotes, short, and without anything that would end a line.
pub fn quoted(name: &str) -> String {
    match name.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => format!("{:?}", format!("{}…", &name[..end])),
        None => format!("{name:?}"),
    }
}
