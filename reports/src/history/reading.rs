//! Reads a history. A line that is broken, cut short or of another version is refused by its number:
//! a history with holes would show change points that are none.

use super::line::{Line, VERSION};

/// A history as it was read and added to. Its lines are kept as they stand, with the fields that this
/// version does not know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// As it stands in the file, without its end.
    pub text: String,
    pub line: Line,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    #[error(
        "line {line}, the last one, is cut short, so its writer died: delete it, and add its result again"
    )]
    Torn { line: usize },
    #[error(
        "line {line} is of version {found}, and this version reads only {VERSION}: read it with a newer version"
    )]
    Version { line: usize, found: u64 },
    #[error("line {line} has no version number \"history\", so this is not a history of this tool")]
    Foreign { line: usize },
    #[error("line {line} is broken: {why}")]
    Broken { line: usize, why: String },
}

impl History {
    /// Reads the text of a whole file. An empty one is a history without lines.
    pub fn parse(text: &str) -> Result<Self, HistoryError> {
        let mut entries = Vec::new();
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let number = index + 1;
            let line = line
                .strip_suffix('\n')
                .ok_or(HistoryError::Torn { line: number })?;
            entries.push(Entry {
                text: line.to_owned(),
                line: parsed(line, number)?,
            });
        }
        Ok(Self { entries })
    }

    /// In the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn push(&mut self, line: Line) {
        let text = serde_json::to_string(&line).expect("a line holds nothing that JSON cannot");
        self.entries.push(Entry { text, line });
    }
}

/// The version is looked at first, so that a line of another one is refused for that reason and not
/// because some field differs.
fn parsed(text: &str, line: usize) -> Result<Line, HistoryError> {
    let broken = |error: serde_json::Error| HistoryError::Broken {
        line,
        // The place is one of this line, not of the file.
        why: error.to_string().replace("line 1 column", "column"),
    };
    let value: serde_json::Value = serde_json::from_str(text).map_err(broken)?;
    let version = value.get("history").and_then(serde_json::Value::as_u64);
    match version {
        Some(version) if version == u64::from(VERSION) => {
            serde_json::from_value(value).map_err(broken)
        }
        Some(found) => Err(HistoryError::Version { line, found }),
        None => Err(HistoryError::Foreign { line }),
    }
}
