//! Reads a result file. Whatever is wrong with it is one sentence that names the file.

use crate::result::{ResultError, Run};
use std::fmt;
use std::path::{Path, PathBuf};

/// A file that is no result of this tool, or not one for this version.
#[derive(Debug)]
pub struct ReadError {
    pub path: PathBuf,
    pub kind: ReadErrorKind,
}

#[derive(Debug)]
pub enum ReadErrorKind {
    /// It is not there, or may not be read.
    Unreadable(std::io::Error),
    Refused(ResultError),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            ReadErrorKind::Unreadable(error) => write!(f, "{path} cannot be read: {error}"),
            ReadErrorKind::Refused(error) => write!(f, "{path}: {error}"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // Both are part of the sentence already.
        None
    }
}

/// Reads a result of schema 2 from its file.
pub fn read(path: impl AsRef<Path>) -> Result<Run, ReadError> {
    let path = path.as_ref();
    let failed = |kind| ReadError {
        path: path.to_owned(),
        kind,
    };
    let bytes = std::fs::read(path).map_err(|error| failed(ReadErrorKind::Unreadable(error)))?;
    let refused = |error| failed(ReadErrorKind::Refused(error));
    let text = std::str::from_utf8(&bytes).map_err(|_| refused(ResultError::NotText))?;
    Run::from_json(text).map_err(refused)
}
